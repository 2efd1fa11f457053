"""Draw new pictures from the prior."""

import argparse
import math

import torch

from easyvae.cli.common import add_model, existing_parent
from easyvae.model import VAE
from easyvae.plots import save_images
from easyvae.processes import choose_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae sample`."""
    add_model(parser)
    parser.add_argument("-n", type=int, default=16, help="how many")
    parser.add_argument("--temperature", type=float, default=1.0, help="spread of the latents")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="samples.png", help=".png, .jpg or .webp")
    parser.add_argument("--scale", type=int, default=1, help="times larger than life")


def run(args: argparse.Namespace) -> None:
    """Samples, and writes a grid."""
    device = choose_device(args.device)
    model = VAE.load(args.model, device=device)
    generator = torch.Generator(device).manual_seed(args.seed)
    images = model.sample(args.n, temperature=args.temperature, generator=generator)
    out = existing_parent(args.out)
    save_images(images, out, columns=math.ceil(math.sqrt(args.n)), scale=args.scale)
    print(out)
