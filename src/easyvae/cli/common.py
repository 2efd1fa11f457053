"""What several commands share."""

import argparse
import os
import re
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from easyvae.cli.drawn import open_kittens
from easyvae.data import Pictures, load_pictures, read_image
from easyvae.kittens import draw_kittens
from easyvae.model import VAE
from easyvae.reporter import Reporter

SMALLEST = 16
"""How wide a kitten is at least, in pixels."""
KITTENS = 5000
"""How many kittens `kittens` stands for."""


def open_pictures(
    path: str,
    shape: tuple[int, ...],
    *,
    flip: bool = False,
    keep_copies: bool = False,
    quiet: bool = True,
    start: int = 0,
) -> Pictures:
    """Opens what PATH stands for: a folder, a zip, or the built-in set from kitten `start` on.

    Raises:
        ValueError: If there are no pictures there, or the shape is not a picture's.
    """
    count = kittens_in(path)
    if count is None:
        copies: Literal["keep", "drop"] = "keep" if keep_copies else "drop"
        say = Reporter(enabled=not quiet)
        try:
            return load_pictures(path, shape, flip=flip, copies=copies, progress=say.scan)
        finally:
            say.close()
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        raise ValueError(f"kittens are square and have 3 channels; the model takes {shape}")
    size = shape[1]
    if size < SMALLEST:
        raise ValueError(
            f"kittens are at least {SMALLEST} pixels wide; the model takes {size} (--image-size)"
        )
    _check_memory(path, count, 3 * size * size)
    images = draw_kittens(count, size=size, start=start)[0] if start else open_kittens(count, size)
    return Pictures(torch.from_numpy(images), flip=flip, origin=None if start else path)


def kittens_in(path: str) -> int | None:
    """Returns how many kittens `kittens:N` asks for, or `None` where `path` is a path.

    Raises:
        ValueError: If N is not a number from 1 to 999,999,999.

    Example:
        >>> kittens_in("kittens"), kittens_in("kittens:12"), kittens_in("./kittens")
        (5000, 12, None)
    """
    name, colon, count = path.partition(":")
    if name != "kittens":
        return None
    if not colon:
        return KITTENS
    if not re.fullmatch("[1-9][0-9]{0,8}", count):
        raise ValueError(
            f"PATH (={path!r}) must be `kittens` or `kittens:N`, N from 1 to 999,999,999"
        )
    return int(count)


def _check_memory(path: str, count: int, size: int) -> None:
    """Refuses more kittens than half of the machine's memory holds: they are drawn into it.

    Args:
        path: What was asked for.
        count: How many.
        size: Bytes of each.
    """
    try:
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not tell
        return
    if 0 < memory < 2 * count * size:
        raise ValueError(
            f"PATH (={path!r}) would take {count * size / 1e9:,.1f} GB of memory, and this "
            f"machine has {memory / 1e9:,.1f} GB; half of it holds {memory // (2 * size):,}"
        )


def read_pictures(paths: list[str], model: VAE) -> Tensor:
    """Reads picture files at a model's size, (n, C, H, W) in uint8."""
    return torch.stack([torch.from_numpy(read_image(path, model.input_shape)) for path in paths])


def add_model(parser: argparse.ArgumentParser) -> None:
    """Adds `--model` and `--device`."""
    parser.add_argument(
        "--model", required=True, metavar="FILE", help="a .safetensors file or a run folder"
    )
    add_device(parser)


def add_device(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`."""
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps, ...")


def add_seed(parser: argparse.ArgumentParser) -> None:
    """Adds `--seed`."""
    parser.add_argument("--seed", type=_seed, default=0, metavar="N")


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
