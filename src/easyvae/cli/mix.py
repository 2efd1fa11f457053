"""Turn one picture into another: a strip (.png) or an animation (.gif)."""

import argparse

from easyvae.cli.common import add_model, add_scale, existing_parent, load_model, read_pictures


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae mix`."""
    parser.add_argument("a", metavar="A", help="the picture to begin with")
    parser.add_argument("b", metavar="B", help="the picture to end with")
    add_model(parser)
    parser.add_argument(
        "--steps", type=int, default=10, metavar="N", help="frames, both ends included"
    )
    parser.add_argument(
        "--method",
        choices=["lerp", "slerp"],
        default="lerp",
        help="the way through the latents: the straight line, or the great circle",
    )
    parser.add_argument(
        "--out", default="mix.png", metavar="FILE", help=".png, .jpg, .webp, or .gif to animate"
    )
    add_scale(parser)


def run(args: argparse.Namespace) -> None:
    """Mixes, and writes the file; the first and last frames are the model's reconstructions."""
    from easyvae.latents import interpolate
    from easyvae.plots import save_animation, save_images

    model = load_model(args)
    a, b = read_pictures([args.a, args.b], model)
    frames = interpolate(model, a, b, args.steps, method=args.method)
    out = existing_parent(args.out)
    save = save_animation if out.suffix.lower() == ".gif" else save_images
    save(frames, out, scale=args.scale)
    print(out)
