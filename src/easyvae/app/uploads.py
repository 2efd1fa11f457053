"""Pictures that people bring: read from the request's body, kept in memory, never on disk."""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator
from threading import Lock

import torch
from starlette.requests import ClientDisconnect, Request
from torch import Tensor

from easyvae.app.errors import RequestError, busy
from easyvae.data import ImageError, read_image

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 40_000_000
KEPT = 256
"""How many pictures are kept; the one that was not looked at for longest goes first."""
AT_ONCE = 4
"""How many bodies are read at a time: so many times 10 MB are the most they take."""
QUEUE = 64
SECONDS = 20.0
"""How long a body may take."""
DRAIN = 2.0


class Shelf:
    """The pictures that were brought, at the models' size; the newest 256 of them.

    Args:
        shape: (C, H, W) of the models.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Is empty."""
        self._shape = shape
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
            while len(self._pictures) > KEPT:
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


class Reception:
    """Reads bodies: a few at a time, up to a size, and not for ever."""

    def __init__(self, *, seconds: float = SECONDS) -> None:
        """Waits for the first one."""
        self._seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def read(self, request: Request) -> bytes:
        """Returns the body of a request.

        Raises:
            RequestError: If it is empty, too large, too slow, or too many are waiting.
        """
        stream = request.stream()
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced) > MAX_BYTES:
            await _drain(stream)
            raise _too_large()
        if self._waiting >= QUEUE:
            raise busy("too many uploads at once", 2)
        self._waiting += 1
        try:
            async with asyncio.timeout(2 * self._seconds):  # to come to its turn
                await self._places.acquire()
        except TimeoutError:
            raise busy("too many uploads at once", 2) from None
        finally:
            self._waiting -= 1
        try:
            async with asyncio.timeout(self._seconds):
                return await _collect(stream)
        except TimeoutError:
            raise RequestError(
                408, "too_slow", f"the upload took more than {self._seconds:g} seconds"
            ) from None
        except ClientDisconnect:
            raise RequestError(400, "gone", "the upload was broken off") from None
        finally:
            self._places.release()


async def _collect(stream: AsyncIterator[bytes]) -> bytes:
    parts = bytearray()
    async for part in stream:
        parts += part
        if len(parts) > MAX_BYTES:
            parts.clear()
            await _drain(stream)
            raise _too_large()
    if not parts:
        raise RequestError(400, "empty", "the body must be a JPEG, PNG or WEBP file")
    return bytes(parts)


async def _drain(stream: AsyncIterator[bytes]) -> None:
    """Lets go of some more of a body: a client that is still sending may not see the answer."""
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in stream:
                pass
    except (TimeoutError, ClientDisconnect):
        pass


def _too_large() -> RequestError:
    return RequestError(
        413, "too_large", f"a picture may have {MAX_BYTES // 2**20} MB", {"Connection": "close"}
    )
