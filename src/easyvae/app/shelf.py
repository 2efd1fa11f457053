"""The pictures that people have brought: kept in memory, never on disk."""

import hashlib
import math
from collections import OrderedDict
from threading import Lock

import torch
from torch import Tensor

from easyvae.app.errors import RequestError
from easyvae.data import ImageError, read_image

MAX_PIXELS = 40_000_000
KEPT = 256
"""How many pictures are kept; the one that was not looked at for longest goes first."""
KEPT_BYTES = 2**26
"""How much they may take: of large pictures fewer are kept, but never under four."""


class Shelf:
    """The pictures that were brought, at the models' size; the newest of them.

    Args:
        shape: (C, H, W) of the models.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Is empty."""
        self._shape = shape
        self._most = max(4, min(KEPT, KEPT_BYTES // math.prod(shape)))
        self._pictures: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = Lock()

    def add(self, data: bytes) -> str:
        """Decodes a picture and returns its hash.

        Only the pixels are kept: cropped about the centre, upright, at the models' size.

        Raises:
            RequestError: If it is none, or too large.
        """
        try:
            pixels = read_image(data, self._shape, name="the upload", max_pixels=MAX_PIXELS)
        except ImageError as error:
            too_large = "megapixels" in error.fault
            raise RequestError(
                413 if too_large else 415,
                "too_many_pixels" if too_large else "not_a_picture",
                str(error),
            ) from None
        key = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
        with self._lock:
            self._pictures[key] = torch.from_numpy(pixels)
            self._pictures.move_to_end(key)
            while len(self._pictures) > self._most:
                self._pictures.popitem(last=False)
        return key

    def get(self, key: str) -> Tensor:
        """Returns a picture, (C, H, W) in uint8.

        Raises:
            RequestError: If it is not, or no longer, here.
        """
        with self._lock:
            if key not in self._pictures:
                raise RequestError(
                    404,
                    "upload_gone",
                    "this picture was kept in memory only, and is gone: upload it again",
                )
            self._pictures.move_to_end(key)
            return self._pictures[key]
