"""What reaches a picture's decoder: all that makes the pixels, and no more work than they are."""

import contextlib
import io
import random
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin
from PIL.Image import Exif
from PIL.PngImagePlugin import PngInfo

from easyvae.data import ImageError, read_image
from easyvae.data.decode import MAX_PARTS, MAX_SCANNED, MAX_SCANS, reduce_file

RNG = np.random.default_rng(0)
END = b"\xff\xd9"


def encode(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def frame(width: int, height: int, marker: int = 0xC2, components: int = 1) -> bytes:
    """A frame's header, from which on the picture has this size."""
    each = b"".join(bytes([i + 1, 0x11, 0]) for i in range(components))
    return segment(marker, struct.pack(">BHHB", 8, height, width, components) + each)


def scan(first: int = 1, last: int = 63, bits: int = 0x10, data: bytes = bytes(50)) -> bytes:
    """A scan of the first component; by default one that refines all of its 63 AC coefficients."""
    return segment(0xDA, bytes([1, 1, 0, first, last, bits])) + data


TABLES = (
    segment(0xDB, bytes([0] + [1] * 64))
    + segment(0xC4, bytes([0x00, 1] + [0] * 15 + [0]))
    + segment(0xC4, bytes([0x10, 1] + [0] * 15 + [0xE0]))  # one bit ends thousands of blocks
)


def jpeg(width: int, height: int, scans: int, **options: bytes) -> bytes:
    """A progressive grey JPEG of so many scans, of which all but the first say nothing."""
    first = scan(0, 0, 0x01, bytes(20))
    rest = scan(**options) * (scans - 1)
    return b"\xff\xd8" + TABLES + frame(width, height) + first + rest + END


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(extra: bytes, *, before: bytes = b"IDAT") -> bytes:
    """A red PNG of 8 x 8 with further chunks."""
    data = encode(Image.new("RGB", (8, 8), "red"), "PNG")
    at = data.index(before) - 4
    return data[:at] + extra + data[at:]


def decoded(data: bytes) -> tuple[str, np.ndarray, object]:
    with Image.open(io.BytesIO(data), formats=["JPEG", "PNG", "WEBP"]) as image:
        image.load()
        return image.mode, np.asarray(image), image.info.get("transparency")


PHOTO = Image.fromarray(RNG.integers(0, 256, (40, 30, 3), np.uint8))
FILES = {
    "baseline": encode(PHOTO, "JPEG"),
    "progressive": encode(PHOTO, "JPEG", progressive=True),
    "restarts": encode(PHOTO, "JPEG", restart_marker_blocks=1),
    "progressive restarts": encode(PHOTO, "JPEG", progressive=True, restart_marker_rows=1),
    "grey": encode(PHOTO.convert("L"), "JPEG"),
    "cmyk": encode(PHOTO.convert("CMYK"), "JPEG"),
    "metadata": encode(
        PHOTO, "JPEG", comment=b"x" * 500, icc_profile=bytes(90_000), exif=bytes(40), dpi=(9, 9)
    ),
    "all scans": jpeg(16, 16, MAX_SCANS),
    "rgb png": encode(PHOTO, "PNG", dpi=(9, 9), icc_profile=bytes(900)),
    "palette": encode(PHOTO.convert("P"), "PNG", transparency=3),
    "palette alpha": encode(PHOTO.convert("P"), "PNG", transparency=bytes([0, 90, 255])),
    "16 bit": encode(
        Image.fromarray(RNG.integers(0, 9, (9, 9), np.uint16)), "PNG", transparency=7
    ),
    "alpha": encode(PHOTO.convert("RGBA"), "PNG"),
    "apng": encode(PHOTO, "PNG", save_all=True, append_images=[PHOTO.rotate(180)] * 3),
    "webp": encode(PHOTO, "WEBP", save_all=True, append_images=[PHOTO.rotate(180)]),
}


@pytest.mark.parametrize("name", FILES)
def test_the_pixels_stay_what_they_are(name: str) -> None:
    """Bit for bit, whatever else is left out; and nothing is left out twice."""
    reduced = reduce_file(FILES[name])
    assert len(reduced) <= len(FILES[name])
    assert reduce_file(reduced) == reduced
    for found, wanted in zip(decoded(reduced), decoded(FILES[name]), strict=True):
        assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"first": 1, "last": 63, "bits": 0x00},
        {"first": 0, "last": 0, "bits": 0x10, "data": b""},
        {"data": b"\xff\xd0\xff\x00\xff\xff"},
        {"data": b"\xff\x01\0\0"},
        {"data": segment(0xFE, b"")},
        {"data": TABLES},
    ],
)
def test_thousands_of_scans_are_refused_before_anything_is_decoded(
    monkeypatch: pytest.MonkeyPatch, options: dict[str, bytes]
) -> None:
    """A file of some hundred kilobytes would take a minute; whatever stands between the scans."""
    monkeypatch.setattr(
        JpegImagePlugin.JpegImageFile, "_open", None
    )  # an error, if it came so far
    with pytest.raises(
        ImageError, match=r"^slow\.jpg: a JPEG of at least 51 scans of 39,942,400 "
    ):
        read_image(jpeg(6320, 6320, 2700, **options), (3, 64, 64), name="slow.jpg")


@pytest.mark.parametrize("side", [100, 6320, 9400])
def test_scans_are_weighed_by_pixels(side: int) -> None:
    """A hundred of a small picture, fifty of 40 megapixels, twenty-two of the largest."""
    most = min(MAX_SCANS, MAX_SCANNED // side**2)
    assert most == {100: 100, 6320: 50, 9400: 22}[side]
    assert reduce_file(jpeg(side, side, most)) == jpeg(side, side, most)
    with pytest.raises(ValueError, match=f"at least {most + 1} scans"):
        reduce_file(jpeg(side, side, most + 1))


def test_the_largest_frame_counts() -> None:
    """A second header that says less does not make the scans cheaper."""
    large = b"\xff\xd8" + TABLES + frame(6320, 6320) + frame(8, 8) + scan() * 60 + END
    with pytest.raises(ValueError, match="at least 51 scans"):
        reduce_file(large)


@pytest.mark.parametrize("marker", [0xC9, 0xCA])
def test_arithmetic_coding_is_refused(marker: int) -> None:
    """Its decoder makes pixels for seconds out of no bytes at all."""
    data = b"\xff\xd8" + TABLES + frame(64, 64, marker) + scan(0, 63, 0) + END
    with pytest.raises(ImageError, match="arithmetic coding"):
        read_image(data, (3, 8, 8))


def test_a_picture_has_one_end() -> None:
    """What follows it, such as a second picture or a film, is not read."""
    data = FILES["progressive"]
    assert reduce_file(data + scan() * 10_000) == reduce_file(data)
    data = FILES["rgb png"]
    assert reduce_file(data + chunk(b"IDAT", b"") * 10_000) == reduce_file(data)


@pytest.mark.parametrize(
    "data",
    [
        FILES["grey"][:2] + segment(0xE1, b"Exif\0\0" + bytes(60)) * 90_000 + FILES["grey"][2:],
        FILES["grey"][:2] + segment(0xE2, b"MPF\0" + bytes(60)) * 90_000 + FILES["grey"][2:],
        FILES["grey"][:2] + b"\xff" * 1_000_000 + FILES["grey"][2:],
        with_chunks(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6), 9)) * 3000),
        with_chunks(chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(10**6))) * 9, before=b"IEND"),
        with_chunks(chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**6), 9)) * 3000),
        with_chunks(chunk(b"eXIf", bytes(9)) * 30_000),
    ],
    ids=["exif", "mpf", "fill", "profiles", "late profiles", "texts", "png exif"],
)
def test_metadata_costs_its_decoder_nothing(data: bytes) -> None:
    """Megabytes of pieces, some of which cost Pillow a time that grows with their square."""
    assert len(reduce_file(data)) < 2000
    read_image(data, (3, 8, 8))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + segment(0xFE, b"") * (MAX_PARTS + 1) + FILES["grey"][2:],
        FILES["grey"][:-2] + TABLES * (MAX_PARTS // 3) + END,
        with_chunks(chunk(b"IDAT", b"") * (MAX_PARTS + 1)),
        with_chunks(chunk(b"tEXt", b"a\0") * (MAX_PARTS + 1)),
    ],
    ids=["comments", "tables", "data", "texts"],
)
def test_parts_have_an_end(data: bytes) -> None:
    """Each takes its while to be looked at, however short it is."""
    with pytest.raises(ImageError, match=r"more than 100,000 (segments|chunks)"):
        read_image(data, (3, 8, 8))


def sideways(kind: str) -> bytes:
    """A picture that is to be turned by a quarter: its upper half is white where it is stored."""
    exif = Exif()
    exif[0x0112] = 6
    image = Image.fromarray(np.repeat(np.array([255, 0], np.uint8), 64 * 8).reshape(16, 64))
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" tiff:Orientation="6"/>'
    if kind == "jpeg xmp":
        return encode(image, "JPEG", xmp=xmp)
    texts = PngInfo()
    if kind == "png xmp":
        texts.add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif kind == "imagemagick":
        raw = b"Exif\0\0" + exif.tobytes().removeprefix(b"Exif\0\0")
        texts.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=True)
    else:
        return encode(image, kind.upper(), exif=exif)
    return encode(image, "PNG", pnginfo=texts)


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "jpeg xmp", "png xmp", "imagemagick"])
def test_what_turns_a_picture_upright_is_kept(kind: str) -> None:
    """EXIF, as each format holds it, and XMP where there is none."""
    found = read_image(sideways(kind), (1, 64, 16))[0]
    assert found[:, :6].max() < 40
    assert found[:, 10:].min() > 215


@given(st.integers(0, 2**32), st.sampled_from(sorted(FILES)))
def test_damage_is_the_decoders_to_find(seed: int, name: str) -> None:
    """A file changed or cut anywhere is taken apart all the same, or refused by a `ValueError`."""
    chance = random.Random(seed)
    data = bytearray(FILES[name])
    for _ in range(chance.randrange(6)):
        data[chance.randrange(len(data))] = chance.choice((0, 1, 0xC2, 0xD9, 0xDA, 0xFF))
    cut = bytes(data[: chance.randrange(len(data) + 1)])
    with contextlib.suppress(ValueError):
        assert len(reduce_file(cut)) <= len(cut)
