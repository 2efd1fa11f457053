"""Turn one picture into another: a strip (.png) or an animation (.gif)."""

import argparse

from easyvae.cli.common import add_model, existing_parent, read_pictures
from easyvae.latents import interpolate
from easyvae.model import VAE
from easyvae.plots import save_animation, save_images
from easyvae.processes import choose_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae mix`."""
    parser.add_argument("a", metavar="A", help="the picture to begin with")
    parser.add_argument("b", metavar="B", help="the picture to end with")
    add_model(parser)
    parser.add_argument("--steps", type=int, default=10, help="frames, both ends included")
    parser.add_argument("--method", choices=["slerp", "lerp"], default="slerp")
    parser.add_argument("--out", default="mix.png", help=".png, .jpg, .webp, or .gif to animate")
    parser.add_argument("--scale", type=int, default=1, help="times larger than life")


def run(args: argparse.Namespace) -> None:
    """Mixes, and writes the file; the first and last frames are the model's reconstructions."""
    model = VAE.load(args.model, device=choose_device(args.device))
    a, b = read_pictures([args.a, args.b], model)
    frames = interpolate(model, a, b, args.steps, method=args.method)
    out = existing_parent(args.out)
    if out.suffix.lower() == ".gif":
        save_animation(frames, out, scale=args.scale)
    else:
        save_images(frames, out, scale=args.scale)
    print(out)
