"""Measure a model on pictures that it has not seen."""

import argparse
import json
import math

from easyvae.cli.common import add_device, open_pictures
from easyvae.comparison.tables import TABLES
from easyvae.evaluation import evaluate
from easyvae.model import VAE
from easyvae.processes import choose_device


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae evaluate`."""
    parser.add_argument("model", metavar="MODEL", help="a .safetensors file or a run folder")
    parser.add_argument("path", metavar="PATH", help="folder or zip of pictures, or kittens[:N]")
    parser.add_argument(
        "--training",
        metavar="PATH",
        help="the pictures it was trained on: adds samples of a mixture, and the nearest ones",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=0,
        metavar="K",
        help="importance samples per picture for the log-likelihood, such as 200",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Measures, and prints the figures."""
    model = VAE.load(args.model, device=choose_device(args.device))
    pictures = open_pictures(args.path, model.input_shape)
    training = open_pictures(args.training, model.input_shape) if args.training else None
    figures = evaluate(
        model,
        pictures,
        training,
        importance_samples=args.samples,
        seed=args.seed,
    ).figures
    if args.json:
        finite = {
            name: value if value is None or math.isfinite(value) else None
            for name, value in figures.items()
        }
        print(json.dumps({"pictures": len(pictures), **finite}))
        return
    print(f"{len(pictures):,} pictures")
    for table in TABLES:
        known = [column for column in table.columns if figures[column.figure] is not None]
        if known:
            print(f"\n{table.title}")
        for column in known:
            print(f"  {column.title:<18} {format(figures[column.figure], column.format):>10}")
