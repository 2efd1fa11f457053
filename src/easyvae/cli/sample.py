"""Draw new pictures from the prior, or from a mixture fitted to the latents of pictures."""

import argparse
import math

from easyvae.cli.common import (
    add_model,
    add_scale,
    add_seed,
    existing_parent,
    load_model,
    open_pictures,
)

COMPONENTS = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae sample`."""
    add_model(parser)
    parser.add_argument("-n", type=int, default=16, metavar="N", help="how many")
    parser.add_argument(
        "--images", metavar="PATH", help="draw from the latents of these, not from the prior"
    )
    parser.add_argument(
        "--components",
        type=int,
        metavar="K",
        help=f"Gaussians fitted to the latents of --images (default: {COMPONENTS})",
    )
    parser.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="spread of the latents: less is nearer to the average picture",
    )
    add_seed(parser)
    parser.add_argument("--out", default="samples.png", metavar="FILE", help=".png, .jpg or .webp")
    add_scale(parser)


def run(args: argparse.Namespace) -> None:
    """Samples, and writes a grid."""
    import torch

    from easyvae.latents import GaussianMixture, embed
    from easyvae.plots import save_images
    from easyvae.plots.images import check_pixels

    if args.components is not None and args.images is None:
        raise ValueError(
            "--components needs --images PATH, the pictures whose latents the mixture is fitted to"
        )
    model = load_model(args)
    check_pixels(args.n * math.prod(model.input_shape[1:]) * args.scale**2)
    generator = torch.Generator(next(model.parameters()).device).manual_seed(args.seed)
    if args.images is None:
        images = model.sample(args.n, temperature=args.temperature, generator=generator)
    else:
        pictures = open_pictures(args.images, model.input_shape)
        # Samples, not means: in training the decoder saw the latents with their noise.
        latents = embed(model, pictures.images, sample=True, generator=generator)
        components = COMPONENTS if args.components is None else args.components
        mixture = GaussianMixture.fit(latents, components, seed=args.seed)
        z = mixture.sample(args.n, temperature=args.temperature, generator=generator)
        with torch.no_grad():
            images = model.decode(z)
    out = existing_parent(args.out)
    save_images(images, out, columns=math.ceil(math.sqrt(args.n)), scale=args.scale)
    print(out)
