"""Measure a model on pictures that it has not seen."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from easyvae.cli.common import add_device, add_path, add_seed, load_model, open_pictures

if TYPE_CHECKING:
    from easyvae.data import Pictures
    from easyvae.training.run_folder import Division


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae evaluate`."""
    parser.add_argument("model", metavar="MODEL", help="a .safetensors file or a run folder")
    add_path(parser)
    parser.add_argument(
        "--training",
        metavar="PATH",
        help="the pictures it was trained on: adds samples of a mixture, and the nearest ones; "
        "where PATH is what a run was trained on, the rest of it if not given",
    )
    parser.add_argument(
        "--samples",
        type=int,
        default=0,
        metavar="K",
        help="importance samples per picture for the log-likelihood, such as 200; with 0 it is "
        "left out",
    )
    add_seed(parser)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Measures, and prints the figures."""
    from easyvae.evaluation import evaluate
    from easyvae.evaluation.figures import as_finite, describe_figures

    model = load_model(args)
    pictures, division = _open(args.path, args.model, model.input_shape)
    part = "all"
    images: Any = pictures
    training: Any = None
    headline = f"{len(pictures):,} picture{'s' * (len(pictures) != 1)}"
    if division is not None and division.held_out is None:
        part = "training"
        print(
            f"easyvae: the run was trained on all of {args.path} and held none of it out: these "
            "figures are of pictures that the model has seen",
            file=sys.stderr,
        )
    elif division is not None:
        part, images, training = "held-out", division.held_out, division.training
        headline = f"{len(images):,} pictures that the run held out of {len(pictures):,}"
    if args.training:
        training = open_pictures(args.training, model.input_shape)
    evaluation = evaluate(model, images, training, importance_samples=args.samples, seed=args.seed)
    figures = evaluation.figures
    if args.json:
        finite = {name: as_finite(value) for name, value in figures.items()}
        print(json.dumps({"pictures": len(images), "part": part, **finite}))
        return
    print(headline)
    print(describe_figures(figures))


def _open(path: str, model: str, shape: tuple[int, ...]) -> "tuple[Pictures, Division | None]":
    """Opens pictures, and finds out what the run that the model comes from has made of them."""
    from easyvae.training.run_folder import divide_as_run, read_run

    run = read_run(model)
    pictures = open_pictures(path, shape)
    division = None if run is None else divide_as_run(pictures, run)
    if run and not division and pictures.report and pictures.report.copies:
        whole = open_pictures(path, shape, copies="keep")  # as the run may have had them
        if division := divide_as_run(whole, run):
            return whole, division
    return pictures, division
