"""The built-in kittens as pictures to train on; large sets are kept drawn in the cache folder."""

import hashlib
import re
from contextlib import suppress
from importlib.resources import files

import numpy as np
import torch
from numpy.typing import NDArray

from easyvae.data.cache import Cache, cache_folder, memory_size
from easyvae.data.pictures import Pictures
from easyvae.kittens import draw_kittens

SMALLEST = 16
"""How wide a kitten is at least, in pixels."""
KITTENS = 5000
"""How many kittens `kittens` stands for."""
_FEW = 1000  # as many are drawn sooner than anybody would notice
MAX_BYTES = 2**33
"""Largest set to be drawn, 700,000 kittens at 64 pixels: a stranger's model may ask for wide ones,
and drawing a gigabyte takes minutes."""


def kittens_in(path: str) -> int | None:
    """Returns how many kittens `kittens:N` asks for, or `None` where `path` is a path.

    Raises:
        ValueError: If N is not a number from 1 to 999,999,999.
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


def load_kittens(
    name: str, shape: tuple[int, ...], *, flip: bool = False, start: int = 0
) -> Pictures:
    """Returns the kittens that `kittens` or `kittens:N` stands for, from number `start` on.

    Raises:
        ValueError: If the shape is no kitten's, (3, size, size), or there are more than memory has
            room for.
    """
    count = kittens_in(name)
    if count is None:
        raise ValueError(f"`name` (={name!r}) must be `kittens` or `kittens:N`")
    if len(shape) != 3 or shape[0] != 3 or shape[1] != shape[2]:
        raise ValueError(f"kittens are square and have 3 channels; the model takes {shape}")
    size = shape[1]
    if size < SMALLEST:
        raise ValueError(
            f"kittens are at least {SMALLEST} pixels wide; the model takes {size} (--image-size)"
        )
    memory, each = memory_size(), 3 * size * size
    if memory < 2 * count * each:  # they are drawn into it
        raise ValueError(
            f"PATH (={name!r}) would take {count * each / 1e9:,.1f} GB of memory, and this "
            f"machine has {memory / 1e9:,.1f} GB; half of it holds {memory // (2 * each):,}"
        )
    images = draw_kittens(count, size=size, start=start)[0] if start else open_kittens(count, size)
    return Pictures(torch.from_numpy(images), flip=flip, origin=None if start else name)


def open_kittens(count: int, size: int) -> NDArray[np.uint8]:
    """Returns the first kittens of seed 0, from the cache folder if they have been drawn before.

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
    drawing = _drawing()
    kept = cache.load(drawing)
    if kept is not None:
        return kept.images.numpy()
    drawn, _ = draw_kittens(count, size=size)
    # Where nothing can be kept, they are drawn again the next time.
    with suppress(OSError), cache.new_rows(drawn.nbytes) as rows:
        for picture in drawn:
            rows.append(picture)
        cache.commit(rows, drawing)
    return drawn


def _drawing() -> str:
    """Returns a hash of all that the pictures depend on: another drawing is another file."""
    digest = hashlib.sha256(np.__version__.encode())
    sources = (entry for entry in files("easyvae.kittens").iterdir() if entry.name[-3:] == ".py")
    for source in sorted(sources, key=lambda entry: entry.name):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
