"""Large sets of kittens kept in the cache folder: drawing takes a millisecond each."""

import hashlib
from contextlib import suppress
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from easyvae.data.cache import Cache, FileRows, cache_folder, memory_size
from easyvae.kittens import draw_kittens

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
