"""Train models side by side, and write a report on them; the same command again goes on."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyvae.cli.common import (
    BETA,
    add_architecture,
    add_path,
    add_reconstruction,
    add_training,
    read_architecture,
    read_training,
)

if TYPE_CHECKING:
    from easyvae.losses import BetaLoss
    from easyvae.model import VAE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae compare`."""
    add_path(parser)
    parser.add_argument(
        "--betas",
        type=float,
        nargs="+",
        default=[],
        metavar="BETA",
        help="train a model for each of these",
    )
    parser.add_argument(
        "--models",
        metavar="FILE",
        help="JSON of further models by name: "
        '{"small": {"model": {"channels": [16, 32]}, "loss": {"beta": 1}}}; '
        'or {"mine": {"file": "runs/cats"}} for a trained one',
    )
    parser.add_argument(
        "--out", default="comparison", metavar="DIR", help="folder of the report and the runs"
    )
    add_reconstruction(parser)
    parser.add_argument(
        "--samples",
        type=int,
        default=0,
        metavar="K",
        help="importance samples per picture for the log-likelihood; with 0 it is left out",
    )
    add_architecture(parser)
    add_training(parser, validation="share to hold out, or PATH of other pictures")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")


def run(args: argparse.Namespace) -> None:
    """Trains, measures, and writes the report."""
    from easyvae.comparison import compare
    from easyvae.model import VAE
    from easyvae.plots.style import new_figure

    architecture = read_architecture(args)
    loss = {"beta": BETA, "reconstruction": args.reconstruction}
    models = read_models(Path(args.models), architecture, loss, args.seed) if args.models else {}
    first = next(iter(models.values()), None) or VAE(**architecture)
    shape = (first[0] if isinstance(first, tuple) else first).input_shape
    new_figure(1, 1)  # without matplotlib there is no report: to be told now, not in hours
    comparison = compare(
        models=models,
        betas=args.betas,
        out=args.out,
        importance_samples=args.samples,
        reconstruction=args.reconstruction,
        **read_training(args, shape),
        **(architecture if args.betas else {}),
    )
    print(json.dumps(comparison.record()) if args.json else comparison)
    report = comparison.save()
    if not args.json:
        print(report)


def read_models(
    path: Path, architecture: dict[str, Any], loss: dict[str, Any], seed: int
) -> "dict[str, VAE | tuple[VAE, BetaLoss]]":
    """Reads a JSON file of models.

    Args:
        path: The file: for each name `{"model": arguments of VAE, "loss": arguments of BetaLoss}`
            or `{"file": a trained model}`.
        architecture: Arguments of `VAE` where the file has none.
        loss: Arguments of `BetaLoss` likewise.
        seed: Of the weights.

    Raises:
        ValueError: If it is no such file.
        OSError: If it cannot be read.
    """
    import torch

    from easyvae.core.files import read_json
    from easyvae.losses import BetaLoss
    from easyvae.model import VAE

    entries = read_json(path)
    if not all(isinstance(entry, dict) for entry in entries.values()):
        raise ValueError(f"--models (={str(path)!r}) must map names to models")
    models: dict[str, VAE | tuple[VAE, BetaLoss]] = {}
    for name, entry in entries.items():
        unknown = entry.keys() - {"model", "loss", "file"}
        if unknown or ("file" in entry and len(entry) > 1):
            raise ValueError(
                f"--models (={str(path)!r}): {name!r} must have `model` and `loss`, or `file`, "
                f"not {', '.join(sorted(entry))}"
            )
        try:
            if "file" in entry:
                models[name] = VAE.load(entry["file"])
            else:
                chosen = BetaLoss(**{**loss, **entry.get("loss", {})})
                torch.manual_seed(seed)
                models[name] = (VAE(**{**architecture, **entry.get("model", {})}), chosen)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--models (={str(path)!r}): {name!r}: {error}") from None
    return models
