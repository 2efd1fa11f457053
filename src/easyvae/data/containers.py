"""What a picture file's decoder gets: the parts that make the pixels, in bounded number.

A decoder's time is not bounded by a file's size. 64 bytes add a scan to a progressive JPEG, and
each scan visits every block of the picture again; a thousand bytes add a colour profile of a
megabyte to a PNG; Pillow copies all of the metadata read so far for each further piece of EXIF in
a JPEG. So files are taken apart first, which costs a look at each part, and put together again
without what has no influence on the pixels.

WEBP has no such part: its chunks are walked once, and only its first frame is decoded.
"""

import re
import struct

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
    at, in_scan = 2, False
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        begin = len(data) if found is None else found.start()
        if in_scan:
            kept.append(view[at:begin])
        if found is None:
            return b"".join(kept)
        marker, at = data[begin + 1], begin + 2
        in_scan = False
        if marker == _TEM:
            continue
        if marker in (_SOI, _EOI):  # a second beginning is the decoder's to refuse
            return b"".join([*kept, view[begin:at]])
        end = at + int.from_bytes(view[at : at + 2], "big")
        if end < at + 2 or end > len(data):
            return b"".join([*kept, view[begin:]])
        if marker in _ARITHMETIC:  # whose time no count of its bytes bounds
            raise ValueError("a JPEG with arithmetic coding, which few programs read")
        if marker in _FRAMES and end >= at + 7:
            height, width = struct.unpack_from(">HH", view, at + 3)
            pixels = max(pixels, height * width)
        in_scan = marker == _SOS
        scans += in_scan
        if scans > min(MAX_SCANS, max(1, MAX_SCANNED // max(1, pixels))):
            raise ValueError(
                f"a JPEG of at least {scans} scans of {pixels:,} pixels, and programs write about "
                "ten; save it anew"
            )
        needed = marker != _COMMENT and not 0xE0 <= marker <= 0xEF
        if needed or _take(wanted, bytes([marker]), view[at + 2 : end]):
            kept.append(view[begin:end])
        at = end
    raise ValueError(f"more than {MAX_PARTS:,} segments, and real pictures have far fewer")


def _reduce_png(data: bytes) -> bytes:
    view = memoryview(data)
    kept = [view[:8]]
    wanted = list(_CHUNKS)
    at = 8
    for _ in range(MAX_PARTS):
        end = at + 12 + int.from_bytes(view[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if len(kind) < 4 or end > len(data):
            return b"".join([*kept, view[at:]])
        if kind == b"IEND":
            return b"".join([*kept, view[at:end]])
        critical = not kind[0] & 0x20  # a capital letter: IHDR, PLTE, IDAT
        if critical or _take(wanted, kind, view[at + 8 : end - 4]):
            kept.append(view[at:end])
        at = end
    raise ValueError(f"more than {MAX_PARTS:,} chunks, and real pictures have far fewer")


def _take(wanted: list[tuple[bytes, bytes]], kind: bytes, content: memoryview) -> bool:
    """Returns whether a part is wanted, and if so takes it off the list: one is enough."""
    for entry in wanted:
        if entry[0] == kind and content[: len(entry[1])] == entry[1]:
            wanted.remove(entry)
            return True
    return False
