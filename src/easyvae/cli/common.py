"""What several commands share.

The command line imports torch, and what needs it, only when a command runs: help and usage errors
come at once.
"""

import argparse
import hashlib
import re
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from easyvae.data.cache import Cache, FileRows, cache_folder, memory_size
from easyvae.kittens import draw_kittens

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
) -> "Pictures":
    """Opens what PATH stands for: a folder, a zip, or the built-in set from kitten `start` on.

    Raises:
        ValueError: If there are no pictures there, or the shape is not a picture's.
    """
    import torch

    from easyvae.data import Pictures, load_pictures
    from easyvae.kittens import draw_kittens
    from easyvae.training.console import Reporter

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
    from easyvae.data.cache import memory_size

    memory = memory_size()
    if memory < 2 * count * size:
        raise ValueError(
            f"PATH (={path!r}) would take {count * size / 1e9:,.1f} GB of memory, and this "
            f"machine has {memory / 1e9:,.1f} GB; half of it holds {memory // (2 * size):,}"
        )


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


_FEW = 1000  # as many are drawn sooner than anybody would notice
MAX_BYTES = 2**33
"""Largest set to be drawn, 700,000 kittens at 64 pixels: a stranger's model may ask for wide ones,
and drawing a gigabyte takes minutes."""


def open_kittens(count: int, size: int) -> NDArray[np.uint8]:
    """Returns the first kittens of seed 0, from the cache folder if they have been drawn before.

    Args:
        count: How many.
        size: Height and width.

    Returns:
        (count, 3, size, size). Large sets are mapped from their file; writing to them changes
        the copy in memory alone.

    Raises:
        ValueError: If they take more than 8.6 GB, or than there is memory.
    """
    shape = (3, size, size)
    each = 3 * size * size
    most = min(MAX_BYTES, memory_size()) // each
    if count > most:
        raise ValueError(
            f"{count:,} kittens of {size} x {size} pixels take {count * each / 1e9:,.1f} GB; ask "
            f"for {most:,} at most, as by `kittens:{most}`, or for smaller ones"
        )
    if count <= _FEW:
        return draw_kittens(count, size=size)[0]
    cache = Cache(cache_folder(), f"kittens:{count}", shape, [])
    known = cache.load(_drawing())
    if known is not None:
        return known.images.numpy()
    drawn, _ = draw_kittens(count, size=size)
    with suppress(OSError):  # where nothing can be kept, they are drawn again the next time
        _keep(cache, drawn)
    return drawn


def _keep(cache: Cache, drawn: NDArray[np.uint8]) -> None:
    part = cache.new_data(drawn.nbytes)
    try:
        with FileRows(part, drawn.shape[1:]) as rows:
            for picture in drawn:
                rows.append(picture)
            digests = rows.complete()
        cache.commit(part, digests, _drawing())
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _drawing() -> str:
    """Returns a hash of all that the pictures depend on: another drawing is another file."""
    digest = hashlib.sha256(np.__version__.encode())
    for source in sorted(files("easyvae.kittens").iterdir(), key=lambda entry: entry.name):
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
