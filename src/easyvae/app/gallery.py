"""The set of pictures: originals, captions, and thumbnails on sheets.

What there is not is refused with a `RequestError`.
"""

import hashlib
import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from easyvae.app.errors import RequestError
from easyvae.app.jobs import Recent
from easyvae.core.files import printable
from easyvae.data import Pictures
from easyvae.data.pictures import pieces
from easyvae.plots.images import encode_images, to_bytes

THUMB = 64
"""Longest side of a thumbnail, in pixels; smaller pictures stay as they are."""
COLUMNS = 16
PER_SHEET = 256
AT_ONCE = 64
"""Pictures in one answer; fewer if they are larger than 512 x 512, but never under 16."""
_PIXELS = AT_ONCE * 512 * 512
_KEPT = 48  # sheets of some 150 kB: those of 12,000 pictures


class Gallery:
    """The pictures that the page offers.

    Attributes:
        pictures: The set, (N, 1 or 3, H, W).
        title: What to call it, printable: a folder's name may be no text at all.
        shape: (C, H, W).
        sheets: How many the thumbnails fill.
        thumb: Height and width of a thumbnail.
        at_once: How many pictures may be in one answer.
        id: Of the pictures and their names: what is shown under it never changes.
    """

    def __init__(self, pictures: Pictures, title: str) -> None:
        self.pictures = pictures
        self.title = printable(title)
        self.shape: tuple[int, ...] = tuple(pictures.images.shape[1:])
        self.sheets = math.ceil(len(pictures) / PER_SHEET)
        height, width = self.shape[1:]
        scale = min(1.0, THUMB / max(height, width))
        self.thumb = max(1, round(height * scale)), max(1, round(width * scale))
        self.at_once = max(16, min(AT_ONCE, _PIXELS // (height * width)))
        identity = repr((pictures.fingerprint, pictures.names))
        self.id = hashlib.sha256(identity.encode()).hexdigest()[:12]
        self._sheets: Recent[int, bytes] = Recent(_KEPT)
        self._colours = b""

    def __len__(self) -> int:
        return len(self.pictures)

    def original(self, number: int) -> Tensor:
        """Returns a picture as it is in the set, (C, H, W) in its own type."""
        if not 0 <= number < len(self):
            raise RequestError(
                404, "no_such_picture", f"there is no picture {number}: there are {len(self)}"
            )
        return self.pictures.images[number]

    def captions(self, sheet: int) -> list[str]:
        """Returns the file names of the pictures on a sheet, empty for those from no file."""
        names, numbers = self.pictures.names, self._on_sheet(sheet)
        return [printable(names[number]) if names else "" for number in numbers]

    def sheet(self, sheet: int) -> bytes:
        """Returns a sheet of up to 256 thumbnails, 16 in a row, as a JPEG."""
        jpeg = self._sheets.get(sheet)
        if jpeg is None:
            jpeg = self.thumbnails(self._on_sheet(sheet))
            self._sheets.put(sheet, jpeg)
        return jpeg

    def thumbnails(self, numbers: Iterable[int]) -> bytes:
        """Returns a sheet of chosen thumbnails, 16 in a row, as a JPEG."""
        thumbs = torch.cat([self._thumbnail(self.original(number)) for number in numbers])
        # Without subsampling: the colour of one thumbnail must not bleed into the next.
        return encode_images(thumbs, "JPEG", columns=COLUMNS, gap=0, quality=82, subsampling=0)

    def colours(self) -> bytes:
        """Returns the average red, green and blue of each picture's middle, three bytes each."""
        if not self._colours:
            height, width = self.shape[1:]
            rows = slice(height // 4, height - height // 4)
            columns = slice(width // 4, width - width // 4)
            parts = []
            for piece in pieces(self.pictures.images):
                middle = to_bytes(self.pictures.images[piece])[:, :, rows, columns]
                parts.append(middle.float().mean((2, 3)).round().to(torch.uint8))
            means = torch.cat(parts)  # (N, C)
            self._colours = means.expand(-1, 3).contiguous().numpy().tobytes()
        return self._colours

    def _on_sheet(self, sheet: int) -> range:
        if not 0 <= sheet < self.sheets:
            raise RequestError(404, "no_such_sheet", f"there are {self.sheets} sheets")
        return range(sheet * PER_SHEET, min(len(self), (sheet + 1) * PER_SHEET))

    def _thumbnail(self, image: Tensor) -> Tensor:
        pixels = to_bytes(image[None])
        if pixels.shape[2:] != self.thumb:
            pixels = interpolate(pixels, self.thumb, mode="bilinear", antialias=True)
        return pixels
