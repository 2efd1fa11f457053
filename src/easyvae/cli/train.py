"""Train a model on your own pictures; the same command again goes on where it stopped."""

import argparse
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import torch

from easyvae.blocks import ACTIVATIONS, NORMS
from easyvae.cli.common import add_device, add_seed, kittens_in, open_pictures
from easyvae.files import write_file
from easyvae.history import History
from easyvae.losses import RECONSTRUCTION_TERMS, BetaLoss
from easyvae.model import VAE
from easyvae.optim import DEFAULT_BATCH_SIZE, DEFAULT_LR
from easyvae.schedules import Cyclical, LinearWarmup
from easyvae.training import fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae train`."""
    parser.add_argument("path", metavar="PATH", help="folder or zip of pictures, or kittens[:N]")
    parser.add_argument("--out", help="run folder (default: runs/ and the name of PATH)")
    model = parser.add_argument_group("model")
    model.add_argument("--channels", type=int, nargs="+", default=[32, 64, 128, 256], metavar="C")
    model.add_argument("--latent", type=int, default=128, metavar="D", help="latent size")
    model.add_argument(
        "--image-size", type=int, nargs="+", default=[64], metavar="N", help="side, or two sides"
    )
    model.add_argument("--grey", action="store_true", help="one channel instead of three")
    model.add_argument("--kernel-size", type=int, nargs="+", default=[4], metavar="K")
    model.add_argument("--stride", type=int, nargs="+", default=[2], metavar="S")
    model.add_argument("--activation", choices=list(ACTIVATIONS), default="silu")
    model.add_argument("--norm", choices=NORMS)
    model.add_argument("--residual-blocks", type=int, nargs="+", default=[0], metavar="R")
    model.add_argument(
        "--hidden", type=int, nargs="+", default=[], metavar="H", help="widths of dense layers"
    )
    loss = parser.add_argument_group("loss")
    loss.add_argument("--beta", type=float, default=1.0, help="weight of the KL divergence")
    loss.add_argument("--reconstruction", choices=list(RECONSTRUCTION_TERMS), default="bce")
    loss.add_argument("--free-bits", type=float, default=0.0, metavar="NATS")
    schedule = loss.add_mutually_exclusive_group()
    schedule.add_argument(
        "--warmup", type=float, metavar="SHARE", help="raise beta over this share of the training"
    )
    schedule.add_argument("--cycles", type=int, metavar="N", help="raise beta N times over")
    run = parser.add_argument_group("training")
    run.add_argument("--epochs", type=int, default=20, help="in all, not more")
    run.add_argument("--batch-size", type=int, help=f"{DEFAULT_BATCH_SIZE} if not given")
    run.add_argument("--lr", type=float, help=f"{DEFAULT_LR:g} if not given")
    run.add_argument(
        "--validation", default="0.1", help="share to hold out, PATH of other pictures, or none"
    )
    run.add_argument("--flip", action="store_true", help="mirror pictures at random")
    run.add_argument("--keep-copies", action="store_true", help="train on identical files too")
    add_seed(run)  # type: ignore[arg-type]  # a group adds arguments as a parser does
    run.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    run.add_argument("--fresh", action="store_true", help="start anew and lose the run in --out")
    add_device(run)  # type: ignore[arg-type]  # likewise
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the last epoch's figures")


def run(args: argparse.Namespace) -> None:
    """Trains, and writes the run folder."""
    torch.manual_seed(args.seed)
    model = VAE(
        args.channels,
        args.latent,
        image_size=_one_or_all(args.image_size),
        in_channels=1 if args.grey else 3,
        kernel_size=_one_or_all(args.kernel_size),
        stride=_one_or_all(args.stride),
        activation=args.activation,
        norm=args.norm,
        residual_blocks=_one_or_all(args.residual_blocks),
        hidden=args.hidden,
    )
    loss = BetaLoss(_beta(args), reconstruction=args.reconstruction, free_bits=args.free_bits)
    name = Path(args.path.replace(":", "-")).resolve().stem
    out = Path(args.out or Path("runs", name))
    history = fit(
        model,
        open_pictures(
            args.path,
            model.input_shape,
            flip=args.flip,
            keep_copies=args.keep_copies,
            quiet=args.quiet,
        ),
        loss=loss,
        epochs=args.epochs,
        batch_size=args.batch_size,
        validation=_validation(args, model),
        lr=args.lr,
        device=args.device,
        precision=args.precision,
        seed=args.seed,
        out=out,
        resume=not args.fresh,
        progress=not args.quiet,
    )
    if int(os.environ.get("RANK", "0")) > 0:
        return  # under torchrun the first process speaks for all
    curves = write_curves(history, out)
    files = [out / "model.safetensors", out / "history.csv", *([curves] if curves else [])]
    if args.json:
        print(json.dumps({**history.rows[-1], "files": [str(path) for path in files]}))
    else:
        print("\n".join(str(path) for path in files))


def write_curves(history: History, folder: Path) -> Path | None:
    """Draws the curves of a run into its folder, if matplotlib is there."""
    try:
        figure = history.plot()
    except ImportError:
        print('no curves.png without matplotlib: pip install "easyvae[plot]"', file=sys.stderr)
        return None
    path = folder / "curves.png"
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_file(path, data.getvalue())
    return path


def _one_or_all(values: list[int]) -> int | list[int]:
    return values[0] if len(values) == 1 else values


def _beta(args: argparse.Namespace) -> Any:
    if args.warmup is not None:
        if not 0 < args.warmup <= 1:
            raise ValueError(f"--warmup (={args.warmup:g}) must be above 0 and at most 1")
        return LinearWarmup(args.beta, share=args.warmup)
    return args.beta if args.cycles is None else Cyclical(args.beta, cycles=args.cycles)


def _validation(args: argparse.Namespace, model: VAE) -> Any:
    if args.validation.lower() == "none":
        return None
    try:
        return float(args.validation)
    except ValueError:
        # Kittens for validation are others than those for training.
        start = kittens_in(args.path) or 0
        return open_pictures(args.validation, model.input_shape, start=start)
