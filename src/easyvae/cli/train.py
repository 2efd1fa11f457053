"""Train a model on your own pictures; the same command again goes on where it stopped."""

import argparse
import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from easyvae.cli.common import (
    ACTIVATIONS,
    BATCH_SIZES,
    BETA,
    EPOCHS,
    LR,
    NORMS,
    PRECISIONS,
    RECONSTRUCTIONS,
    VALIDATION,
    WHY_BETA,
    add_architecture,
    add_device,
    add_path,
    add_seed,
    add_warp,
    open_pictures,
    read_warp,
)

if TYPE_CHECKING:
    from easyvae.model import VAE
    from easyvae.training import History


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae train`."""
    add_path(parser)
    parser.add_argument(
        "--out", metavar="DIR", help="run folder (default: runs/ and the name of PATH)"
    )
    _add_model(parser)
    _add_loss(parser)
    run = parser.add_argument_group("training")
    run.add_argument(
        "--epochs",
        type=int,
        default=EPOCHS,
        metavar="N",
        help="how often to go through the pictures, in all and not more",
    )
    run.add_argument("--batch-size", type=int, metavar="N", help=BATCH_SIZES)
    run.add_argument(
        "--lr", type=float, default=LR, help="learning rate at its peak; it falls to 0 at the end"
    )
    run.add_argument(
        "--validation",
        default=str(VALIDATION),
        metavar="V",
        help="share to hold out, PATH of other pictures, or none",
    )
    run.add_argument("--flip", action="store_true", help="mirror pictures at random")
    add_warp(run)
    run.add_argument("--keep-copies", action="store_true", help="train on identical files too")
    add_seed(run)
    run.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the convolutions; auto is bfloat16 where the hardware is fast at it",
    )
    run.add_argument("--fresh", action="store_true", help="start anew and lose the run in --out")
    add_device(run)
    parser.add_argument("--quiet", action="store_true", help="no progress")
    parser.add_argument("--json", action="store_true", help="print the last epoch's figures")


def _add_model(parser: argparse.ArgumentParser) -> None:
    model = parser.add_argument_group(
        "model",
        "kernel size, stride and residual blocks: one number for all layers, or one for each",
    )
    add_architecture(model)
    model.add_argument(
        "--kernel-size", type=int, nargs="+", default=[4], metavar="K", help="of the convolutions"
    )
    model.add_argument(
        "--stride",
        type=int,
        nargs="+",
        default=[2],
        metavar="S",
        help="by how much a layer makes the picture smaller",
    )
    model.add_argument(
        "--activation", choices=ACTIVATIONS, default="silu", help="what follows each layer"
    )
    model.add_argument("--norm", choices=NORMS, help="norm of each layer; none if not given")
    model.add_argument(
        "--residual-blocks",
        type=int,
        nargs="+",
        default=[0],
        metavar="R",
        help="how many follow each layer",
    )
    model.add_argument(
        "--hidden",
        type=int,
        nargs="+",
        default=[],
        metavar="H",
        help="widths of dense layers before the latents; none if not given",
    )


def _add_loss(parser: argparse.ArgumentParser) -> None:
    loss = parser.add_argument_group("loss")
    loss.add_argument(
        "--beta",
        type=float,
        default=BETA,
        help=f"weight of the KL divergence: with the default, {WHY_BETA}",
    )
    loss.add_argument(
        "--reconstruction",
        choices=RECONSTRUCTIONS,
        default="bce",
        help="how a picture and its reconstruction are compared",
    )
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


def run(args: argparse.Namespace) -> None:
    """Trains, and writes the run folder."""
    import torch

    from easyvae.losses import BetaLoss
    from easyvae.model import VAE
    from easyvae.training import fit
    from easyvae.training.console import Reporter

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
            copies="keep" if args.keep_copies else "drop",
            say=Reporter(enabled=not args.quiet),
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
        warp=read_warp(args.warp),
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


def write_curves(history: "History", folder: Path) -> Path | None:
    """Draws the curves of a run into its folder, if matplotlib is there."""
    from easyvae.core.files import write_file

    try:
        figure = history.plot()
    except ImportError as error:
        print(f"no curves.png: {error}", file=sys.stderr)
        return None
    path = folder / "curves.png"
    data = io.BytesIO()
    figure.savefig(data, format="png")
    write_file(path, data.getvalue())
    return path


def _one_or_all(values: list[int]) -> int | list[int]:
    return values[0] if len(values) == 1 else values


def _beta(args: argparse.Namespace) -> Any:
    from easyvae.losses import Cyclical, LinearWarmup

    if args.warmup is not None:
        if not 0 < args.warmup <= 1:
            raise ValueError(f"--warmup (={args.warmup:g}) must be above 0 and at most 1")
        return LinearWarmup(args.beta, share=args.warmup)
    return args.beta if args.cycles is None else Cyclical(args.beta, cycles=args.cycles)


def _validation(args: argparse.Namespace, model: "VAE") -> Any:
    if args.validation.lower() == "none":
        return None
    try:
        return float(args.validation)
    except ValueError:
        # Kittens for validation are others than those for training.
        from easyvae.data.built_in import kittens_in

        start = kittens_in(args.path) or 0
        return open_pictures(args.validation, model.input_shape, start=start)
