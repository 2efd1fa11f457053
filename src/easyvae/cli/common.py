"""What several commands share.

The command line imports torch, and what needs it, only when a command runs: help and usage errors
come at once.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import _ActionsContainer as Arguments

    from torch import Tensor

    from easyvae.data import Pictures
    from easyvae.model import VAE

BETA = 0.1
WHY_BETA = "pictures are nearly as sharp as with any less, and new ones better than with 1"
"""Why this beta, in the words of all pages; docs/concepts.md has the figures."""
LR = 2e-3
BATCH_SIZES = "pictures per step (default: 32, or 16 with warps)"
ACTIVATIONS = ("elu", "gelu", "leaky_relu", "mish", "relu", "silu", "softplus", "tanh")
NORMS = ("batch", "group")
RECONSTRUCTIONS = ("bce", "gaussian", "l1", "mse")
PRECISIONS = ("auto", "float32", "bfloat16")
DEMO = "easyvae-demo"
"""Where `easyvae demo` leaves its model, and `easyvae app` looks for one."""


class Help(argparse.HelpFormatter):
    """Help that states each default once, as it would be typed."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text = action.help or ""
        if action.nargs == 0 or action.default in (None, [], argparse.SUPPRESS):
            return text  # a switch, or an option whose text says what happens without it
        several = isinstance(action.default, Sequence) and not isinstance(action.default, str)
        default = " ".join(map(str, action.default)) if several else action.default
        return f"{text} (default: {default})"


def add_path(parser: argparse.ArgumentParser) -> None:
    """Adds `PATH`."""
    parser.add_argument(
        "path", metavar="PATH", help="folder or zip of pictures, or kittens[:N], the built-in set"
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds `--model` and `--device`."""
    parser.add_argument(
        "--model", required=True, metavar="FILE", help="a .safetensors file or a run folder"
    )
    add_device(parser)


def add_scale(parser: argparse.ArgumentParser) -> None:
    """Adds `--scale`."""
    parser.add_argument("--scale", type=int, default=1, metavar="N", help="times larger than life")


def add_device(parser: "Arguments") -> None:
    """Adds `--device`."""
    parser.add_argument(
        "--device", default="auto", help="cpu, cuda, cuda:1, mps, ..., or auto: the best there is"
    )


def add_seed(parser: "Arguments") -> None:
    """Adds `--seed`."""
    parser.add_argument(
        "--seed", type=_seed, default=0, metavar="N", help="what all random choices come from"
    )


def _seed(text: str) -> int:
    """Reads a seed: torch's generators take 64 bits."""
    if not re.fullmatch("[0-9]+", text) or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 2**63 - 1")
    return int(text)


def add_architecture(parser: argparse.ArgumentParser) -> None:
    """Adds what describes a model; `read_architecture` reads it."""
    group = parser.add_argument_group(
        "model",
        "kernel size, stride and residual blocks: one number for all layers, or one for each",
    )

    def add_numbers(option: str, default: list[int], metavar: str, text: str) -> None:
        group.add_argument(
            option, type=int, nargs="+", default=default, metavar=metavar, help=text
        )

    add_numbers(
        "--channels",
        [32, 64, 128, 256],
        "C",
        "output channels of each layer; each halves the picture",
    )
    group.add_argument(
        "--latent", type=int, default=128, metavar="D", help="numbers that a picture becomes"
    )
    add_numbers("--image-size", [64], "N", "side of the pictures in pixels, or height and width")
    group.add_argument("--grey", action="store_true", help="one channel instead of three")
    add_numbers("--kernel-size", [4], "K", "of the convolutions")
    add_numbers("--stride", [2], "S", "by how much a layer makes the picture smaller")
    group.add_argument(
        "--activation", choices=ACTIVATIONS, default="silu", help="what follows each layer"
    )
    group.add_argument("--norm", choices=NORMS, help="norm of each layer; none if not given")
    add_numbers("--residual-blocks", [0], "R", "how many follow each layer")
    add_numbers(
        "--hidden", [], "H", "widths of dense layers before the latents; none if not given"
    )


def read_architecture(args: argparse.Namespace) -> dict[str, Any]:
    """Returns the arguments of `VAE`."""
    per_layer = ("image_size", "kernel_size", "stride", "residual_blocks")
    lists = {name: getattr(args, name) for name in per_layer}
    return {
        **{name: getattr(args, name) for name in ("channels", "latent", "activation", "norm")},
        **{name: list_[0] if len(list_) == 1 else list_ for name, list_ in lists.items()},
        "in_channels": 1 if args.grey else 3,
        "hidden": args.hidden,
    }


def add_reconstruction(parser: "Arguments") -> None:
    """Adds `--reconstruction`."""
    parser.add_argument(
        "--reconstruction",
        choices=RECONSTRUCTIONS,
        default="bce",
        help="how a picture and its reconstruction are compared",
    )


def add_training(parser: argparse.ArgumentParser, *, validation: str) -> None:
    """Adds what every training takes; `read_training` reads it.

    Args:
        parser: Of the command.
        validation: What may be held out.
    """
    group = parser.add_argument_group("training")
    group.add_argument(
        "--epochs",
        type=int,
        default=20,
        metavar="N",
        help="how often to go through the pictures, in all and not more",
    )
    group.add_argument("--batch-size", type=int, metavar="N", help=BATCH_SIZES)
    group.add_argument(
        "--lr",
        type=float,
        help=f"learning rate at its peak; it falls to 0 at the end (default: {LR:g})",
    )
    group.add_argument("--validation", default="0.1", metavar="V", help=validation)
    group.add_argument("--flip", action="store_true", help="mirror pictures at random")
    group.add_argument(
        "--warp",
        choices=["auto", "on", "off"],
        default="auto",
        help="train with known half-ways, so that mixes move instead of fading; auto is on where "
        "beta is below 0.5",
    )
    group.add_argument("--keep-copies", action="store_true", help="train on identical files too")
    add_seed(group)
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="auto",
        help="of the convolutions; auto is bfloat16 where the hardware is fast at it",
    )
    group.add_argument("--fresh", action="store_true", help="start anew and lose the run in --out")
    add_device(group)
    parser.add_argument("--quiet", action="store_true", help="no progress")


def read_training(args: argparse.Namespace, shape: tuple[int, ...]) -> dict[str, Any]:
    """Opens the pictures, and returns the arguments that `fit` and `compare` have in common."""
    from easyvae.data import Warp
    from easyvae.training.console import Console

    return {
        "data": open_pictures(
            args.path,
            shape,
            flip=args.flip,
            copies="keep" if args.keep_copies else "drop",
            console=Console(enabled=not args.quiet),
        ),
        "validation": _read_validation(args, shape),
        "warp": {"auto": "auto", "on": Warp(), "off": None}[args.warp],
        "resume": not args.fresh,
        "progress": not args.quiet,
        **{
            name: getattr(args, name)
            for name in ("epochs", "batch_size", "lr", "seed", "device", "precision")
        },
    }


def _read_validation(
    args: argparse.Namespace, shape: tuple[int, ...]
) -> "float | Pictures | None":
    if args.validation.lower() == "none":
        return None
    try:
        return float(args.validation)
    except ValueError:
        # Kittens for validation are others than those for training.
        from easyvae.data.built_in import kittens_in

        return open_pictures(args.validation, shape, start=kittens_in(args.path) or 0)


def open_pictures(path: str, shape: tuple[int, ...], **options: Any) -> "Pictures":
    """Opens what PATH stands for, see `easyvae.training.open_data.open_pictures`."""
    from easyvae.training import open_data

    return open_data.open_pictures(path, shape, built_in=True, **options)


def read_pictures(paths: list[str], model: "VAE") -> "Tensor":
    """Reads picture files at a model's size, (n, C, H, W) in uint8."""
    import torch

    from easyvae.data import read_image

    return torch.stack([torch.from_numpy(read_image(path, model.input_shape)) for path in paths])


def load_model(args: argparse.Namespace) -> "VAE":
    """Loads `--model` or MODEL to `--device`."""
    from easyvae.model import VAE
    from easyvae.training.distributed import choose_device

    return VAE.load(args.model, device=choose_device(args.device))


def existing_parent(path: str) -> Path:
    """Returns the path of a file to write, with the folder it goes to made if need be."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
