"""The pictures that people bring: taken in with bounds, kept in memory, never on disk."""

import asyncio
import hashlib
import io
import math
from contextlib import closing

import torch
from starlette.requests import Request
from torch import Tensor

from easyvae.app.errors import RequestError, busy
from easyvae.app.jobs import Jobs, Recent, unless_gone
from easyvae.data import ImageError, read_image

MAX_BYTES = 10 * 2**20
MAX_PIXELS = 40_000_000
AT_ONCE = 4
"""How many bodies are in memory at a time: so many times 10 MB are the most they take."""
QUEUE = 64
"""How many more may wait."""
AHEAD = 2**16
"""How much of a body is read while it waits."""
SECONDS = 20.0
"""How long a body may take."""
DECODERS = 2
"""How many pictures are decoded at a time: one that takes its seconds holds up no other."""
KEPT = 256
"""How many pictures are kept; the one that was not looked at for longest goes first."""
KEPT_BYTES = 2**26
"""How much they may take: of large pictures fewer are kept, but never under four."""


class Uploads:
    """The pictures that were brought, at the models' size; the newest of them.

    Args:
        shape: (C, H, W) of the models.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        most = max(4, min(KEPT, KEPT_BYTES // math.prod(shape)))
        self._pictures: Recent[str, Tensor] = Recent(most)

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
            answer = (413, "too_many_pixels") if too_large else (415, "not_a_picture")
            raise RequestError(*answer, str(error)) from None
        key = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
        self._pictures.put(key, torch.from_numpy(pixels))
        return key

    def get(self, key: str) -> Tensor:
        """Returns a picture, (C, H, W) in uint8.

        Raises:
            RequestError: If it is not, or no longer, here.
        """
        pixels = self._pictures.get(key)
        if pixels is None:
            raise RequestError(
                404,
                "upload_gone",
                "this picture was kept in memory only, and is gone: upload it again",
            )
        return pixels


class UploadReader:
    """Takes pictures in: a few at a time, up to a size, and not for ever.

    Args:
        uploads: Where they are put.
        seconds: How long a body may take.
    """

    def __init__(self, uploads: Uploads, *, seconds: float = SECONDS) -> None:
        self._uploads = uploads
        self._seconds = seconds
        self._places = asyncio.Semaphore(AT_ONCE)
        self._decoder = Jobs("uploads", threads=DECODERS, waiting=AT_ONCE, patient=True)
        self._waiting = 0

    async def take(self, request: Request) -> str:
        """Reads the body of a request, keeps the picture, and returns its hash.

        A body keeps its place until it is decoded: what is read waits for nothing without one.

        Raises:
            RequestError: If it is empty, too large, too slow, or no picture, or if too many are
                waiting.
        """
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:18]) > MAX_BYTES:
            raise _too_large()
        with closing(_Body(request, self._seconds)) as body:
            await self._come_to_its_turn(request, body)
            try:
                await body.read(MAX_BYTES)
                return await self._decoder.run(request, self._uploads.add, body.content())
            finally:
                self._places.release()

    def stop(self) -> None:
        """Takes nothing more in."""
        self._decoder.stop()

    async def _come_to_its_turn(self, request: Request, body: "_Body") -> None:
        if self._waiting >= QUEUE:
            raise busy("too many uploads at once", 2)
        self._waiting += 1
        try:
            await body.read(AHEAD)
            async with asyncio.timeout(2 * self._seconds):
                if body.whole:
                    await unless_gone(request, self._places.acquire())
                else:  # that its client has gone can be seen only behind the rest of the body
                    await self._places.acquire()
        except TimeoutError:
            raise busy("too many uploads at once", 2) from None
        finally:
            self._waiting -= 1


class _Body:
    """The body of a request, as far as it has been read.

    Attributes:
        whole: Whether that is all of it.
    """

    def __init__(self, request: Request, seconds: float) -> None:
        self._receive = request.receive
        self._seconds = seconds
        self._parts = io.BytesIO()
        self.whole = False

    def close(self) -> None:
        """Lets go of the bytes, which an error's traceback would keep until its answer is sent."""
        self._parts.close()

    async def read(self, most: int) -> None:
        """Reads on until there are more than so many bytes, or all."""
        try:
            async with asyncio.timeout(self._seconds):
                while not self.whole and self._parts.tell() <= most:
                    message = await self._receive()
                    if message["type"] == "http.disconnect":
                        raise RequestError(400, "gone", "the upload was broken off")
                    self._parts.write(message.get("body", b""))
                    self.whole = not message.get("more_body", False)
        except TimeoutError:
            raise RequestError(
                408, "too_slow", f"the upload took more than {self._seconds:g} seconds"
            ) from None
        if self._parts.tell() > MAX_BYTES:
            raise _too_large()

    def content(self) -> bytes:
        """Returns the bytes, which are not copied."""
        if not self._parts.tell():
            raise RequestError(400, "empty", "the body must be a JPEG, PNG or WEBP file")
        return self._parts.getvalue()


def _too_large() -> RequestError:
    return RequestError(413, "too_large", f"a picture may have {MAX_BYTES // 2**20} MB")
