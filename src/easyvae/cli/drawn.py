"""Large sets of kittens kept in the cache folder: drawing takes a millisecond each."""

import hashlib
import io
from contextlib import suppress
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from easyvae.data.cache import cache_folder
from easyvae.files import write_file
from easyvae.kittens import draw_kittens

_FEW = 1000  # as many are drawn sooner than anybody would notice


def open_kittens(count: int, size: int) -> NDArray[np.uint8]:
    """Returns the first kittens of seed 0, from the cache folder if they have been drawn before.

    Args:
        count: How many.
        size: Height and width.

    Returns:
        (count, 3, size, size). Large sets are mapped from their file; writing to them changes
        the copy in memory alone.
    """
    if count <= _FEW:
        return draw_kittens(count, size=size)[0]
    folder = cache_folder()
    kept = f"kittens-{count}-{size}-"
    path = folder / f"{kept}{_drawing()}.npy"
    with suppress(OSError, ValueError, EOFError):  # whatever is wrong with it, it is drawn again
        known: NDArray[np.uint8] = np.load(path, mmap_mode="c")
        if known.shape == (count, 3, size, size) and known.dtype == np.uint8:
            return known
    drawn, _ = draw_kittens(count, size=size)
    with suppress(OSError):  # where nothing can be kept, they are drawn again the next time
        folder.mkdir(parents=True, exist_ok=True)
        file = io.BytesIO()
        np.save(file, drawn)
        write_file(path, file.getvalue())
        for old in folder.glob(f"{kept}*.npy"):
            if old != path:
                old.unlink()
    return drawn


def _drawing() -> str:
    """Returns a hash of all that the pictures depend on: another drawing is another file."""
    digest = hashlib.sha256(np.__version__.encode())
    for source in sorted(files("easyvae.kittens").iterdir(), key=lambda entry: entry.name):
        if source.name.endswith(".py"):
            digest.update(source.read_bytes())
    return digest.hexdigest()[:16]
