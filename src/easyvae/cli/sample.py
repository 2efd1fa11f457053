"""Draw new pictures from the prior, or from a mixture fitted to the latents of pictures."""

import argparse
import math

import torch
from torch import Tensor

from easyvae.cli.common import add_model, add_seed, existing_parent, open_pictures
from easyvae.latents import GaussianMixture, embed
from easyvae.model import VAE
from easyvae.plots import save_images
from easyvae.plots.sheets import check_pixels
from easyvae.processes import choose_device

COMPONENTS = 10
"""How many Gaussians the mixture has."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae sample`."""
    add_model(parser)
    parser.add_argument("-n", type=int, default=16, help="how many")
    parser.add_argument(
        "--images", metavar="PATH", help="draw from the latents of these, not from the prior"
    )
    parser.add_argument(
        "--components",
        type=int,
        metavar="K",
        help=f"Gaussians fitted to the latents of --images, {COMPONENTS} if not given",
    )
    parser.add_argument("--temperature", type=float, default=1.0, help="spread of the latents")
    add_seed(parser)
    parser.add_argument("--out", default="samples.png", help=".png, .jpg or .webp")
    parser.add_argument("--scale", type=int, default=1, help="times larger than life")


def run(args: argparse.Namespace) -> None:
    """Samples, and writes a grid."""
    if args.components is not None and args.images is None:
        raise ValueError(
            "--components needs --images PATH, the pictures whose latents the mixture is fitted to"
        )
    device = choose_device(args.device)
    model = VAE.load(args.model, device=device)
    check_pixels(args.n * math.prod(model.input_shape[1:]) * args.scale**2)
    generator = torch.Generator(device).manual_seed(args.seed)
    if args.images is None:
        images = model.sample(args.n, temperature=args.temperature, generator=generator)
    else:
        images = _sample_around(model, args, generator)
    out = existing_parent(args.out)
    save_images(images, out, columns=math.ceil(math.sqrt(args.n)), scale=args.scale)
    print(out)


def _sample_around(model: VAE, args: argparse.Namespace, generator: torch.Generator) -> Tensor:
    """Samples a mixture fitted to the latents of the pictures at `args.images`."""
    components = COMPONENTS if args.components is None else args.components
    pictures = open_pictures(args.images, model.input_shape)
    # Samples, not means: in training the decoder saw the latents with their noise.
    latents = embed(model, pictures.images, sample=True, generator=generator)
    mixture = GaussianMixture.fit(latents, components, seed=args.seed)
    z = mixture.sample(args.n, temperature=args.temperature, generator=generator)
    with torch.no_grad():
        return model.decode(z)
