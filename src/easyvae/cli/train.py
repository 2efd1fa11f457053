"""Train a model on your own pictures; the same command again goes on where it stopped."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyvae.cli.common import (
    BETA,
    WHY_BETA,
    add_architecture,
    add_path,
    add_reconstruction,
    add_training,
    read_architecture,
    read_training,
)

if TYPE_CHECKING:
    from easyvae.training import History


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae train`."""
    add_path(parser)
    parser.add_argument(
        "--out", metavar="DIR", help="run folder (default: runs/ and the name of PATH)"
    )
    add_architecture(parser)
    loss = parser.add_argument_group("loss")
    loss.add_argument(
        "--beta",
        type=float,
        default=BETA,
        help=f"weight of the KL divergence: with the default, {WHY_BETA}",
    )
    add_reconstruction(loss)
    loss.add_argument(
        "--free-bits",
        type=float,
        default=0.0,
        metavar="NATS",
        help="what each latent may hold before it is charged",
    )
    schedule = loss.add_mutually_exclusive_group()
    schedule.add_argument(
        "--warmup", type=float, metavar="SHARE", help="raise beta over this share of the training"
    )
    schedule.add_argument("--cycles", type=int, metavar="N", help="raise beta N times over")
    add_training(parser, validation="share to hold out, PATH of other pictures, or none")
    parser.add_argument("--json", action="store_true", help="print the last epoch's figures")


def run(args: argparse.Namespace) -> None:
    """Trains, and writes the run folder."""
    import torch

    from easyvae.losses import BetaLoss
    from easyvae.model import VAE
    from easyvae.training import fit

    torch.manual_seed(args.seed)
    model = VAE(**read_architecture(args))
    loss = BetaLoss(_beta(args), reconstruction=args.reconstruction, free_bits=args.free_bits)
    name = Path(args.path.replace(":", "-")).resolve().stem
    out = Path(args.out or Path("runs", name))
    history = fit(model, loss=loss, out=out, **read_training(args, model.input_shape))
    if int(os.environ.get("RANK", "0")) > 0:
        return  # under torchrun the first process speaks for all
    curves = write_curves(history, out)
    files = [out / "model.safetensors", out / "history.csv", *([curves] if curves else [])]
    if args.json:
        print(json.dumps({**history.rows[-1], "files": [str(path) for path in files]}))
    else:
        print("\n".join(str(path) for path in files))


def write_curves(history: "History", folder: Path) -> Path | None:
    """Draws the curves of a run into its folder, if matplotlib is there."""
    from easyvae.core.files import write_file
    from easyvae.plots.style import encode_figure

    path = folder / "curves.png"
    try:
        write_file(path, encode_figure(history.plot()))
    except ImportError as error:
        print(f"no curves.png: {error}", file=sys.stderr)
        return None
    return path


def _beta(args: argparse.Namespace) -> Any:
    from easyvae.losses import Cyclical, LinearWarmup

    if args.warmup is not None:
        if not 0 < args.warmup <= 1:
            raise ValueError(f"--warmup (={args.warmup:g}) must be above 0 and at most 1")
        return LinearWarmup(args.beta, share=args.warmup)
    return args.beta if args.cycles is None else Cyclical(args.beta, cycles=args.cycles)
