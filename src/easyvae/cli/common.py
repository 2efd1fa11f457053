"""What several commands share.

The command line imports torch, and what needs it, only when a command runs: help and usage errors
come at once.
"""

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from argparse import _ActionsContainer as Arguments

    from torch import Tensor

    from easyvae.data import Pictures, Warp
    from easyvae.model import VAE

CHANNELS, LATENT, IMAGE_SIZE = (32, 64, 128, 256), 128, 64
BETA = 0.1
WHY_BETA = "pictures are nearly as sharp as with any less, and new ones better than with 1"
"""Why this beta, in the words of all pages; docs/concepts.md has the figures."""
EPOCHS, LR, VALIDATION = 20, 2e-3, 0.1
BATCH_SIZES = "pictures per step (default: 32, or 16 with warps)"
ACTIVATIONS = ("elu", "gelu", "leaky_relu", "mish", "relu", "silu", "softplus", "tanh")
NORMS = ("batch", "group")
RECONSTRUCTIONS = ("bce", "gaussian", "l1", "mse")
PRECISIONS = ("auto", "float32", "bfloat16")
DEMO = "easyvae-demo"
"""Where `easyvae demo` leaves its model, and `easyvae app` looks for one."""


def open_pictures(path: str, shape: tuple[int, ...], **options: Any) -> "Pictures":
    """Opens what PATH stands for, see `easyvae.training.open_data.open_pictures`."""
    from easyvae.training import open_data

    return open_data.open_pictures(path, shape, built_in=True, **options)


def read_pictures(paths: list[str], model: "VAE") -> "Tensor":
    """Reads picture files at a model's size, (n, C, H, W) in uint8."""
    import torch

    from easyvae.data import read_image

    return torch.stack([torch.from_numpy(read_image(path, model.input_shape)) for path in paths])


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


def add_architecture(group: "Arguments") -> None:
    """Adds what describes a model: `--channels`, `--latent`, `--image-size`, `--grey`."""
    group.add_argument(
        "--channels",
        type=int,
        nargs="+",
        default=CHANNELS,
        metavar="C",
        help="output channels of each layer; each halves the picture",
    )
    group.add_argument(
        "--latent",
        type=int,
        default=LATENT,
        metavar="D",
        help="numbers that a picture becomes",
    )
    group.add_argument(
        "--image-size",
        type=int,
        nargs="+",
        default=[IMAGE_SIZE],
        metavar="N",
        help="side of the pictures in pixels, or height and width",
    )
    group.add_argument("--grey", action="store_true", help="one channel instead of three")


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds `--model` and `--device`."""
    parser.add_argument(
        "--model", required=True, metavar="FILE", help="a .safetensors file or a run folder"
    )
    add_device(parser)


def add_scale(parser: "Arguments") -> None:
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


def add_warp(parser: "Arguments") -> None:
    """Adds `--warp`."""
    parser.add_argument(
        "--warp",
        choices=["auto", "on", "off"],
        default="auto",
        help="train with known half-ways, so that mixes move instead of fading; auto is on where "
        "beta is below 0.5",
    )


def read_warp(word: str) -> "Warp | Literal['auto'] | None":
    """Returns what `fit` takes for a word of `--warp`."""
    from easyvae.data import Warp

    return Warp() if word == "on" else None if word == "off" else "auto"


def _seed(text: str) -> int:
    """Reads a seed: torch's generators take 64 bits."""
    if not re.fullmatch("[0-9]+", text) or int(text) >= 2**63:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 2**63 - 1")
    return int(text)


def existing_parent(path: str) -> Path:
    """Returns the path of a file to write, with the folder it goes to made if need be."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    return target
