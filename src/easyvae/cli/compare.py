"""Train models side by side, and write a report on them; the same command again goes on."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyvae.cli.common import (
    BATCH_SIZES,
    BETA,
    EPOCHS,
    RECONSTRUCTIONS,
    VALIDATION,
    add_architecture,
    add_device,
    add_path,
    add_seed,
    add_warp,
    open_pictures,
    read_warp,
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
    add_architecture(parser)
    parser.add_argument(
        "--reconstruction",
        choices=RECONSTRUCTIONS,
        default="bce",
        help="how a picture and its reconstruction are compared",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=EPOCHS,
        metavar="N",
        help="how often to go through the pictures, in all and not more",
    )
    parser.add_argument("--batch-size", type=int, metavar="N", help=BATCH_SIZES)
    parser.add_argument(
        "--validation", type=float, default=VALIDATION, metavar="SHARE", help="share to hold out"
    )
    add_warp(parser)
    parser.add_argument("--keep-copies", action="store_true", help="train on identical files too")
    parser.add_argument(
        "--samples",
        type=int,
        default=0,
        metavar="K",
        help="importance samples per picture for the log-likelihood; with 0 it is left out",
    )
    add_seed(parser)
    parser.add_argument("--fresh", action="store_true", help="train anew what is in --out")
    parser.add_argument(
        "--out", default="comparison", metavar="DIR", help="folder of the report and the runs"
    )
    add_device(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print all figures as JSON")


def run(args: argparse.Namespace) -> None:
    """Trains, measures, and writes the report."""
    from easyvae.comparison import compare
    from easyvae.model import VAE
    from easyvae.plots.style import new_figure
    from easyvae.training.console import Reporter

    size = args.image_size[0] if len(args.image_size) == 1 else args.image_size
    defaults = {
        "channels": args.channels,
        "latent": args.latent,
        "image_size": size,
        "in_channels": 1 if args.grey else 3,
    }
    loss = {"beta": BETA, "reconstruction": args.reconstruction}
    models = read_models(Path(args.models), defaults, loss, args.seed) if args.models else {}
    first = next(iter(models.values()), None) or VAE(**defaults)
    shape = (first[0] if isinstance(first, tuple) else first).input_shape
    new_figure(1, 1)  # without matplotlib there is no report: to be told now, not in hours
    found = compare(
        open_pictures(
            args.path,
            shape,
            copies="keep" if args.keep_copies else "drop",
            say=Reporter(enabled=not args.quiet),
        ),
        models,
        betas=args.betas,
        epochs=args.epochs,
        batch_size=args.batch_size,
        validation=args.validation,
        seed=args.seed,
        device=args.device,
        out=args.out,
        resume=not args.fresh,
        warp=read_warp(args.warp),
        importance_samples=args.samples,
        progress=not args.quiet,
        reconstruction=args.reconstruction,
        **defaults,
    )
    print(json.dumps(found.record()) if args.json else found)
    report = found.save()
    if not args.json:
        print(report)


def read_models(
    path: Path, defaults: dict[str, Any], loss: dict[str, Any], seed: int
) -> "dict[str, VAE | tuple[VAE, BetaLoss]]":
    """Reads the models of a JSON file.

    Args:
        path: The file: for each name `{"model": arguments of VAE, "loss": arguments of BetaLoss}`
            or `{"file": a trained model}`.
        defaults: Arguments of `VAE` where the file has none.
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
    found: dict[str, VAE | tuple[VAE, BetaLoss]] = {}
    for name, entry in entries.items():
        unknown = entry.keys() - {"model", "loss", "file"}
        if unknown or ("file" in entry and len(entry) > 1):
            raise ValueError(
                f"--models (={str(path)!r}): {name!r} must have `model` and `loss`, or `file`, "
                f"not {', '.join(sorted(entry))}"
            )
        try:
            if "file" in entry:
                found[name] = VAE.load(entry["file"])
            else:
                chosen = BetaLoss(**{**loss, **entry.get("loss", {})})
                torch.manual_seed(seed)
                found[name] = (VAE(**{**defaults, **entry.get("model", {})}), chosen)
        except (TypeError, ValueError) as error:
            raise ValueError(f"--models (={str(path)!r}): {name!r}: {error}") from None
    return found
