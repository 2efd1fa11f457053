"""From a picture's file to the pixels a model takes.

A decoder's time is not bounded by a file's size. 64 bytes add a scan to a progressive JPEG, and
each scan visits every block of the picture again; a thousand bytes add a colour profile of a
megabyte to a PNG; Pillow copies all of the metadata read so far for each further piece of EXIF in
a JPEG. So files are taken apart first, which costs a look at each part, and put together again
without what has no influence on the pixels. WEBP has no such part: its chunks are walked once, and
only its first frame is decoded.
"""

import contextlib
import io
import re
import stat
import struct
import threading
import warnings
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from easyvae.core.checks import missing
from easyvae.core.files import printable

if TYPE_CHECKING:
    from PIL import Image


def import_pillow() -> ModuleType:
    """Returns `PIL.Image`, or says how to install it."""
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("reading pictures", "Pillow") from error
    return Image


class _QuietPillow:
    """Holds back Pillow's warnings (large pictures, odd EXIF) while any thread is decoding.

    The list of warning filters belongs to the whole process, and `warnings.catch_warnings` in
    several threads at once can leave it changed for good; so the first one in sets the filter and
    the last one out takes it away.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if self._users == 0:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module=r"PIL\b")
            self._users += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._users -= 1
            if self._users == 0:
                self._filters.__exit__(None, None, None)


quiet_pillow = _QuietPillow()

# Opened by content, whatever the name says: Pillow knows some fifty formats, and the ones left
# out (EPS, which starts Ghostscript, among them) are a risk without a use here.
FORMATS = ("JPEG", "PNG", "WEBP")
EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp"})
MAX_PIXELS = 89_000_000
MAX_SIDE = 1_000_000
"""Largest width or height: a decoded row takes some twenty bytes beyond its pixels."""
MAX_BYTES = 128 * 2**20

# EXIF orientation -> name of the transposition that puts the picture upright.
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_ORIENTATION = 0x0112
_BAND = 2**20  # pixels converted at a time


class ImageError(ValueError):
    """A picture, or a collection of them, that cannot be read.

    Attributes:
        path: the file, folder or archive member at fault.
        fault: what is wrong with it, in one line.

    Example:
        >>> print(ImageError("cats/7.jpg", "the file is empty"))
        cats/7.jpg: the file is empty
    """

    def __init__(self, path: str | PathLike[str], fault: str) -> None:
        # Both arguments are kept in `args`: so the error survives pickling by a worker.
        super().__init__(str(path), fault)
        self.path = str(path)
        self.fault = fault

    def __str__(self) -> str:
        return f"{printable(self.path)}: {self.fault}"


def fault_of(error: Exception) -> str:
    """Returns what an error of another library says, in one printable line."""
    return printable(" ".join(str(error).split()) or type(error).__name__)


def read_image(
    source: str | PathLike[str] | bytes,
    shape: Sequence[int],
    *,
    background: tuple[int, int, int] = (255, 255, 255),
    name: str = "picture",
    max_pixels: int = MAX_PIXELS,
) -> NDArray[np.uint8]:
    """Reads one JPEG, PNG or WEBP picture as the pixels of an image of the given shape.

    The picture is decoded in full, turned upright by its EXIF orientation, laid over `background`
    where it is transparent, reduced from 16 to 8 bits by scale, converted to grey or RGB,
    cropped about its centre to the shape's aspect ratio and resized with a Lanczos filter. One
    that has the right size already keeps its pixels bit for bit. Of an animation the first frame
    is read. Colour profiles are ignored.

    Args:
        source: a path, or a file's content.
        shape: `(C, H, W)`, with 1 (grey) or 3 (RGB) channels.
        background: the red, green and blue (0 to 255) shown through transparent pixels.
        name: what errors call a `source` given as bytes.
        max_pixels: how many pixels the file may have, at most 89 million.

    Returns:
        Pixels from 0 to 255, `(C, H, W)`.

    Raises:
        ImageError: it is no such picture, is damaged or cut short, or has more than `max_pixels`,
            128 MB, a million pixels along a side, or far more scans than any real JPEG (all of
            it seen before anything is decoded). The message names the path and the fault.
        ImportError: Pillow is missing.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (200, 100), "red").save(file, "PNG")
        >>> read_image(file.getvalue(), (3, 64, 64))[:, 0, 0].tolist()
        [255, 0, 0]
    """
    shape = picture_shape(shape)
    if not isinstance(source, bytes):
        name = str(source)
        source = read_file(source)
    most = min(max_pixels, MAX_PIXELS)
    with open_picture(source, name, at_least=4 * max(shape[1:]), max_pixels=most) as image:
        return to_pixels(image, shape, background=background)


def read_file(path: str | PathLike[str]) -> bytes:
    """Returns the content of a regular file of at most `MAX_BYTES`, or raises `ImageError`."""
    try:
        # A FIFO or device would block for ever: looked at before it is opened.
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):
            raise ImageError(path, "not a regular file")
        with Path(path).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(path, reason[:1].lower() + reason[1:]) from error
    if len(data) > MAX_BYTES:
        raise ImageError(path, f"larger than {MAX_BYTES // 2**20} MB")
    return data


def picture_shape(shape: Sequence[int]) -> tuple[int, int, int]:
    """Returns `shape` as a tuple, if it is one that a picture file can fill, or refuses it."""
    sizes = tuple(shape)
    if len(sizes) != 3 or sizes[0] not in (1, 3) or min(sizes) < 1:
        raise ValueError(
            f"`shape` (={sizes}) must have 1 or 3 channels and two sizes, (C, H, W), "
            "to be filled from picture files; give other data as an array or tensor"
        )
    return sizes


@contextlib.contextmanager
def open_picture(
    data: bytes, name: str, *, at_least: int | None = None, max_pixels: int = MAX_PIXELS
) -> Iterator["Image.Image"]:
    """Decodes a picture file's bytes; whatever goes wrong with it becomes an `ImageError`.

    A JPEG may be decoded at a half, quarter or eighth of its size as long as both sides keep
    `at_least` pixels; `None` decodes it at full size.
    """
    pillow = import_pillow()
    too_large = f"over the limit of {max_pixels / 1e6:.0f} megapixels"
    if not data:
        raise ImageError(name, "the file is empty")
    try:
        data = reduce_file(data)
    except ValueError as error:
        raise ImageError(name, str(error)) from None
    with quiet_pillow:
        try:
            with pillow.open(io.BytesIO(data), formats=FORMATS) as image:
                width, height = image.size
                if width * height > max_pixels:
                    raise ImageError(name, f"{width} x {height} pixels is {too_large}")
                if max(width, height) > MAX_SIDE:
                    raise ImageError(
                        name, f"{width} x {height} pixels: a side may have {MAX_SIDE:,}"
                    )
                if at_least and min(image.size) >= 2 * at_least:
                    image.draft(None, (at_least, at_least))  # does nothing but for JPEG
                image.load()
                yield image
        except ImageError:
            raise
        except pillow.DecompressionBombError as error:  # Pillow's own limit, seen on opening
            raise ImageError(name, f"its size is {too_large}") from error
        except pillow.UnidentifiedImageError as error:
            raise ImageError(name, "not a JPEG, PNG or WEBP picture") from error
        # Any exception at all can come out of a decoder fed with hostile bytes.
        except Exception as error:
            raise ImageError(name, f"cannot be decoded: {fault_of(error)}") from error


def to_pixels(
    image: "Image.Image",
    shape: tuple[int, int, int],
    *,
    background: tuple[int, int, int] = (255, 255, 255),
) -> NDArray[np.uint8]:
    """Returns a decoded picture's pixels, upright, opaque, cropped and resized: `(C, H, W)`."""
    from PIL import Image, ImageOps

    channels, height, width = shape
    try:
        turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # Damaged EXIF, of which Pillow raises anything, does not spoil the pixels.
        turn = None
    flat = flatten(image, "L" if channels == 1 else "RGB", background)
    if turn is not None:
        flat = flat.transpose(Image.Transpose[turn])
    if flat.size != (width, height):
        flat = ImageOps.fit(flat, (width, height), Image.Resampling.LANCZOS)
    pixels = np.asarray(flat).reshape(height, width, channels)
    return pixels.transpose(2, 0, 1).copy()  # (C, H, W): grey would be Pillow's own memory


def flatten(
    image: "Image.Image", mode: str, background: tuple[int, int, int] = (255, 255, 255)
) -> "Image.Image":
    """Converts any of Pillow's modes to 8-bit grey or RGB, without transparency.

    Band by band: on the way there are several copies, which for a large picture as a whole would
    take many times its size.
    """
    from PIL import Image

    if image.mode == mode and not image.has_transparency_data:
        return image
    flat = Image.new(mode, image.size)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        flat.paste(_flatten_band(image.crop(box), mode, background), box)
    return flat


def _flatten_band(
    image: "Image.Image", mode: str, background: tuple[int, int, int]
) -> "Image.Image":
    from PIL import Image

    if image.mode.startswith("I"):
        # 16-bit grey, which Pillow's own conversion clips at 255.
        values = np.asarray(image).astype(np.int64).clip(0, 65535)
        clear = image.info.get("transparency")
        image = Image.fromarray(((values + 128) // 257).astype(np.uint8))
        if isinstance(clear, int):
            alpha = Image.fromarray(np.where(values == clear, 0, 255).astype(np.uint8))
            image = Image.merge("LA", (image, alpha))
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, (*background, 255))
        image = Image.alpha_composite(canvas, image.convert("RGBA"))
    return image if image.mode == mode else image.convert(mode)


MAX_SCANS = 100
"""Scans of a JPEG. Programs write one, or, for a progressive picture, about ten."""
MAX_SCANNED = 2_000_000_000
"""Pixels of a JPEG times its scans: 22 scans of the largest picture, 50 of 40 megapixels."""
MAX_PARTS = 100_000
"""Segments of a JPEG or chunks of a PNG. The largest files have some ten thousand."""

# Neither a stuffed zero, nor a fill byte, nor a restart: these belong to the coded data.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SOI, _EOI, _SOS, _TEM, _COMMENT = 0xD8, 0xD9, 0xDA, 0x01, 0xFE
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_ARITHMETIC = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
# Of each the first: its kind of JPEG, its colours, its orientation in EXIF or XMP.
_SEGMENTS = (
    (b"\xe0", b"JFIF\0"),
    (b"\xee", b"Adobe"),
    (b"\xe1", b"Exif\0\0"),
    (b"\xe1", b"http://ns.adobe.com/xap/1.0/\0"),
)

_PNG = b"\x89PNG\r\n\x1a\n"
# Of each the first: its colours, its orientation in EXIF, in ImageMagick's EXIF, or in XMP.
_CHUNKS = (
    (b"tRNS", b""),
    (b"eXIf", b""),
    (b"zTXt", b"Raw profile type exif\0"),
    (b"tEXt", b"Raw profile type exif\0"),
    (b"iTXt", b"XML:com.adobe.xmp\0"),
)


def reduce_file(data: bytes) -> bytes:
    """Returns a JPEG or PNG file without what its pixels do not need; any other file as it is.

    What is cut short or damaged stays so, for the decoder to say.

    Raises:
        ValueError: If decoding it would be more work than any real picture is; the message says
            why.
    """
    if data.startswith(b"\xff\xd8\xff"):
        return _reduce_jpeg(data)
    return _reduce_png(data) if data.startswith(_PNG) else data


def _reduce_jpeg(data: bytes) -> bytes:
    view = memoryview(data)
    kept = [view[:2]]
    wanted = list(_SEGMENTS)
    pixels = scans = 0
    offset, in_scan = 2, False
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, offset)
        begin = len(data) if found is None else found.start()
        if in_scan:
            kept.append(view[offset:begin])
        if found is None:
            return b"".join(kept)
        marker, offset = data[begin + 1], begin + 2
        in_scan = False
        if marker == _TEM:
            continue
        if marker in (_SOI, _EOI):  # a second beginning is the decoder's to refuse
            return b"".join([*kept, view[begin:offset]])
        end = offset + int.from_bytes(view[offset : offset + 2], "big")
        if end < offset + 2 or end > len(data):
            return b"".join([*kept, view[begin:]])
        if marker in _ARITHMETIC:  # whose time no count of its bytes bounds
            raise ValueError("a JPEG with arithmetic coding, which few programs read")
        if marker in _FRAMES and end >= offset + 7:
            height, width = struct.unpack_from(">HH", view, offset + 3)
            pixels = max(pixels, height * width)
        in_scan = marker == _SOS
        scans += in_scan
        if scans > min(MAX_SCANS, max(1, MAX_SCANNED // max(1, pixels))):
            raise ValueError(
                f"a JPEG of at least {scans} scans of {pixels:,} pixels, and programs write about "
                "ten; save it anew"
            )
        needed = marker != _COMMENT and not 0xE0 <= marker <= 0xEF
        if needed or _take(wanted, bytes([marker]), view[offset + 2 : end]):
            kept.append(view[begin:end])
        offset = end
    raise ValueError(f"more than {MAX_PARTS:,} segments, and real pictures have far fewer")


def _reduce_png(data: bytes) -> bytes:
    view = memoryview(data)
    kept = [view[:8]]
    wanted = list(_CHUNKS)
    offset = 8
    for _ in range(MAX_PARTS):
        end = offset + 12 + int.from_bytes(view[offset : offset + 4], "big")
        kind = data[offset + 4 : offset + 8]
        if len(kind) < 4 or end > len(data):
            return b"".join([*kept, view[offset:]])
        if kind == b"IEND":
            return b"".join([*kept, view[offset:end]])
        critical = not kind[0] & 0x20  # a capital letter: IHDR, PLTE, IDAT
        if critical or _take(wanted, kind, view[offset + 8 : end - 4]):
            kept.append(view[offset:end])
        offset = end
    raise ValueError(f"more than {MAX_PARTS:,} chunks, and real pictures have far fewer")


def _take(wanted: list[tuple[bytes, bytes]], kind: bytes, content: memoryview) -> bool:
    """Returns whether a part is wanted, and if so takes it off the list: one is enough."""
    for entry in wanted:
        if entry[0] == kind and content[: len(entry[1])] == entry[1]:
            wanted.remove(entry)
            return True
    return False
