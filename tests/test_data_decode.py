"""Reading one picture: correct pixels, or one error that names the file."""

import contextlib
import io
import pickle
import struct
import subprocess
import sys
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin
from PIL.Image import Exif

from easyvae.data import ImageError, read_image
from easyvae.data import decode as pictures
from easyvae.data.decode import flatten

RNG = np.random.default_rng(0)
WHITE = [255, 255, 255]


def encode(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, colour: int, data: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(data, 9)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    return RNG.integers(0, 256, (height, width, channels), dtype=np.uint8)


def test_right_size_is_bit_identical() -> None:
    """A picture of the right size keeps the decoder's pixels, channels first."""
    pixels = noise(64, 64)
    assert np.array_equal(
        read_image(encode(Image.fromarray(pixels)), (3, 64, 64)), pixels.transpose(2, 0, 1)
    )
    grey = read_image(encode(Image.fromarray(pixels[..., 0])), (1, 64, 64))
    assert np.array_equal(grey[0], pixels[..., 0])
    assert grey.flags.writeable  # as a tensor has to be
    jpeg = encode(Image.fromarray(pixels), "JPEG")
    decoded = np.asarray(Image.open(io.BytesIO(jpeg)))
    assert np.array_equal(read_image(jpeg, (3, 64, 64)), decoded.transpose(2, 0, 1))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_formats(kind: str, tmp_path: Path) -> None:
    """JPEG, PNG and WEBP are read from a path, whatever its extension."""
    path = tmp_path / "x.bin"
    path.write_bytes(encode(Image.new("RGB", (40, 40), (200, 30, 60)), kind))
    found = read_image(path, (3, 40, 40))
    assert found.dtype == np.uint8
    assert np.abs(found.reshape(3, -1).mean(1) - [200, 30, 60]).max() < 4


def test_crops_about_the_centre() -> None:
    """A wide picture loses its sides and a tall one its top and bottom."""
    wide = np.zeros((30, 90, 3), np.uint8)
    wide[:, 30:60] = 255
    assert read_image(encode(Image.fromarray(wide)), (3, 30, 30)).min() == 255
    tall = np.ascontiguousarray(wide.transpose(1, 0, 2))
    assert read_image(encode(Image.fromarray(tall)), (3, 30, 30)).min() == 255


def test_non_square_shape_and_grey() -> None:
    """A (1, H, W) shape gives grey pixels of that size."""
    data = encode(Image.new("RGB", (50, 80), (255, 0, 0)))
    found = read_image(data, (1, 45, 80))
    assert found.shape == (1, 45, 80)
    assert set(found.ravel().tolist()) == {76}


def test_sixteen_bit_grey_is_scaled() -> None:
    """16-bit grey is divided by 257, not clipped at 255."""
    values = np.array([[0, 257, 25700, 65535]], np.uint16)
    found = read_image(encode(Image.fromarray(values)), (1, 1, 4))
    assert found.ravel().tolist() == [0, 1, 100, 255]


def test_sixteen_bit_colour() -> None:
    """16-bit RGB keeps its high bytes."""
    row = struct.pack(">6H", 0, 25700, 65535, 514, 0, 65535)
    found = read_image(png(2, 1, 16, 2, b"\0" + row), (3, 1, 2))
    assert found.transpose(1, 2, 0).tolist() == [[[0, 100, 255], [2, 0, 255]]]


def test_sixteen_bit_grey_with_a_transparent_value() -> None:
    """The transparent value of a 16-bit grey PNG shows the background."""
    values = np.array([[1000, 65535]], np.uint16)
    data = encode(Image.fromarray(values), transparency=1000)
    found = read_image(data, (1, 1, 2), background=(80, 80, 80))
    assert found.ravel().tolist() == [80, 255]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_composited(mode: str) -> None:
    """Colour hidden under transparency does not show: the background does."""
    data = encode(Image.new("RGBA", (8, 8), (255, 0, 0, 0)).convert(mode))
    assert read_image(data, (3, 8, 8))[:, 0, 0].tolist() == WHITE
    assert read_image(data, (3, 8, 8), background=(1, 2, 3))[:, 0, 0].tolist() == [1, 2, 3]


def test_half_transparent() -> None:
    """Half-transparent black over white is mid-grey."""
    data = encode(Image.new("RGBA", (8, 8), (0, 0, 0, 128)))
    assert read_image(data, (1, 8, 8)).max() == 127


def test_hidden_colour_does_not_bleed_on_resize() -> None:
    """Compositing comes before resizing, so that hidden colour leaves no fringe."""
    pixels = np.zeros((64, 64, 4), np.uint8)
    pixels[..., 0] = 255  # red, hidden
    pixels[:, :32] = 255  # opaque white
    assert read_image(encode(Image.fromarray(pixels)), (3, 16, 16)).min() == 255


def test_palette_with_alpha() -> None:
    """A palette's transparent entry shows the background; its others their colours."""
    image = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])
    for transparency in (0, b"\x00\xff"):
        found = read_image(encode(image, transparency=transparency), (3, 1, 2))
        assert found.transpose(1, 2, 0).tolist() == [[WHITE, [0, 0, 255]]]


@pytest.mark.parametrize(("mode", "value"), [("L", 7), ("RGB", (7, 7, 7))])
def test_transparent_value(mode: str, value: object) -> None:
    """A colour declared transparent (tRNS) shows the background."""
    data = encode(Image.new(mode, (4, 4), value), transparency=value)
    assert read_image(data, (3, 4, 4)).min() == 255


def test_one_bit() -> None:
    """1-bit pictures become 0 and 255."""
    bits = Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1")
    assert read_image(encode(bits), (1, 1, 2)).ravel().tolist() == [0, 255]


def test_cmyk() -> None:
    """A CMYK JPEG becomes RGB: cyan is no red."""
    data = encode(Image.new("CMYK", (16, 16), (255, 0, 0, 0)), "JPEG")
    red, green, blue = read_image(data, (3, 16, 16)).reshape(3, -1).mean(1)
    assert red < 10
    assert green > 245
    assert blue > 245


UPRIGHT = noise(6, 4)
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    """Each of the eight EXIF orientations is turned upright."""
    exif = Exif()
    exif[0x0112] = orientation
    data = encode(Image.fromarray(np.ascontiguousarray(STORED[orientation])), exif=exif)
    assert np.array_equal(read_image(data, (3, 6, 4)), UPRIGHT.transpose(2, 0, 1))


@pytest.mark.parametrize("exif", [b"II*\0\xff\xff\xff\xff", b"XXXX", b"MM\0*\0\0\0\x08\xff"])
def test_damaged_exif_is_passed_over(exif: bytes) -> None:
    """Damaged EXIF neither warns nor spoils the pixels."""
    data = encode(Image.new("RGB", (8, 8), "red"), "JPEG", exif=b"Exif\0\0" + exif)
    assert read_image(data, (3, 8, 8))[0].min() > 250


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP"])
def test_animations(kind: str) -> None:
    """Of an animated PNG or WEBP the first frame is read; a GIF is refused."""
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("black", "white")]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    if kind == "GIF":
        with pytest.raises(ImageError, match="not a JPEG, PNG or WEBP"):
            read_image(data, (3, 8, 8))
    else:
        assert read_image(data, (3, 8, 8)).max() < 3


NOT_PICTURES = {
    "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n",
    "fits": b"SIMPLE  =                    T".ljust(80) + b"END".ljust(2800),
    "svg": b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"></svg>',
    "html": b"<!DOCTYPE html><html><body>404</body></html>",
    "bmp": encode(Image.new("RGB", (4, 4)), "BMP"),
    "tiff": encode(Image.new("RGB", (4, 4)), "TIFF"),
}


@pytest.mark.parametrize("kind", NOT_PICTURES)
def test_other_formats_are_refused(kind: str, tmp_path: Path) -> None:
    """Other formats under a picture's name are refused, by path and in one line."""
    path = tmp_path / "x.png"
    path.write_bytes(NOT_PICTURES[kind])
    with pytest.raises(ImageError) as caught:
        read_image(path, (3, 8, 8))
    assert caught.value.path == str(path)
    assert str(caught.value) == f"{path}: not a JPEG, PNG or WEBP picture"


def test_empty_file() -> None:
    """A file of 0 bytes is refused as empty."""
    with pytest.raises(ImageError, match=r"^a\.jpg: the file is empty$"):
        read_image(b"", (3, 8, 8), name="a.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_truncation_at_any_place(kind: str) -> None:
    """A file cut short anywhere is refused (but for the few bytes that only say it ends)."""
    data = encode(Image.fromarray(noise(48, 48)), kind)
    for length in [*range(0, len(data) - 20, max(1, len(data) // 40)), len(data) // 2]:
        with pytest.raises(ImageError) as caught:
            read_image(data[:length], (3, 48, 48), name="cut")
        assert "\n" not in str(caught.value)
        assert "BytesIO" not in str(caught.value)


def test_random_damage_gives_image_errors_only() -> None:
    """Whatever bytes are changed, the outcome is a picture or an `ImageError`."""
    for kind in ("JPEG", "PNG", "WEBP"):
        whole = np.frombuffer(encode(Image.fromarray(noise(16, 16)), kind), np.uint8)
        for _ in range(60):
            data = whole.copy()
            data[RNG.integers(0, len(data), 4)] = RNG.integers(0, 256, 4)
            with contextlib.suppress(ImageError):
                assert read_image(data.tobytes(), (3, 16, 16)).shape == (3, 16, 16)


def test_pixel_bomb_is_refused_before_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    """A small PNG that would open to 13,500 x 13,500 is refused, without a warning or a decode."""
    bomb = png(13500, 13500, 1, 0, bytes(13500 * (13500 // 8 + 2)))
    assert len(bomb) < 40_000
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", None)  # to decode would be an error
    with pytest.raises(ImageError, match=r"^bomb\.png: its size is over the limit of 89 mega"):
        read_image(bomb, (3, 64, 64), name="bomb.png")
    with pytest.raises(ImageError, match=r"10000 x 9000 pixels is over the limit of 89 mega"):
        read_image(png(10000, 9000, 1, 0, b""), (3, 64, 64))


@pytest.mark.parametrize("size", [(1, 39_999_999), (39_999_999, 1), (1, 1_000_001)])
def test_a_picture_of_endless_rows_is_refused_before_decoding(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    """A row takes memory beyond its pixels: 40 million of one pixel took a gigabyte."""
    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", None)  # to decode would be an error
    with pytest.raises(ImageError, match=r"pixels: a side may have 1,000,000"):
        read_image(png(*size, 8, 0, b""), (3, 64, 64))


def test_large_photo_keeps_its_quality() -> None:
    """A large JPEG decoded at reduced size is as good as one resized from all its pixels."""
    y, x = np.mgrid[0:1200, 0:1200] / 1200
    smooth = np.stack([x, y, np.sin(9 * x * y) / 2 + 0.5], -1)
    photo = Image.fromarray((smooth * 255).astype(np.uint8))
    data = encode(photo, "JPEG", quality=95)
    best = np.asarray(photo.resize((64, 64), Image.Resampling.LANCZOS)).transpose(2, 0, 1)
    assert np.abs(read_image(data, (3, 64, 64)).astype(int) - best).mean() < 1


@pytest.mark.parametrize("shape", [(4, 64, 64), (2, 64, 64), (3, 64), (3, 8, 8, 8), (3, 0, 64)])
def test_shapes_no_file_can_fill(shape: tuple[int, ...]) -> None:
    """A shape without 1 or 3 channels and two sizes is a ValueError that shows it."""
    with pytest.raises(ValueError, match=r"`shape` \(=.*must have 1 or 3 channels"):
        read_image(b"", shape)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    """A missing file, and a folder, are errors that name the path."""
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        read_image(tmp_path / "none.jpg", (3, 8, 8))
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path, (3, 8, 8))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no FIFOs")
def test_fifo_does_not_block(tmp_path: Path) -> None:
    """A FIFO with a picture's name is refused rather than waited for."""
    import os

    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(ImageError, match="not a regular file"):
        read_image(tmp_path / "x.jpg", (3, 8, 8))


def test_error_survives_pickling_and_prints_one_line() -> None:
    """An ImageError keeps its path and fault when pickled; line breaks are escaped."""
    error = pickle.loads(pickle.dumps(ImageError("a\nb\udcff.jpg", "cut short")))
    assert error.path == "a\nb\udcff.jpg"
    assert str(error) == "a\\nb\\udcff.jpg: cut short"


def test_missing_pillow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Pillow the error says what to install."""
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pip install "Pillow>=\d'):
        read_image(b"x", (3, 8, 8))


def test_threads_leave_the_warning_filters_alone() -> None:
    """Decoding in many threads ends with the warning filters as they were."""
    before = list(warnings.filters)
    data = encode(Image.new("RGB", (8, 8)))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: read_image(data, (3, 8, 8)), range(200)))
    assert warnings.filters == before


MODES = ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I;16"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("transparency", [None, 7])
@pytest.mark.parametrize("target", ["L", "RGB"])
def test_bands_are_the_picture(
    monkeypatch: pytest.MonkeyPatch, mode: str, transparency: int | None, target: str
) -> None:
    """Converted band by band a picture has the same pixels as in one piece."""
    if mode == "I;16":
        image = Image.fromarray(RNG.integers(0, 9, (50, 30), np.uint16) * 7000)
    elif mode == "PA":
        image = Image.merge("LA", [Image.fromarray(noise(50, 30)[..., 0])] * 2).convert("PA")
    else:
        four = np.concatenate([noise(50, 30), noise(50, 30)[..., :1]], 2)
        image = Image.fromarray(four).convert(mode)
    if transparency is not None and mode in ("L", "P", "I;16"):
        image.info["transparency"] = transparency * (1000 if mode == "I;16" else 1)
    whole = flatten(image, target, (9, 80, 200))
    monkeypatch.setattr(pictures, "_BAND", 200)
    banded = flatten(image, target, (9, 80, 200))
    assert whole.mode == banded.mode == target
    assert np.array_equal(np.asarray(whole), np.asarray(banded))


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is measured on Linux only")
@pytest.mark.parametrize(
    ("mode", "size", "most"),
    [
        pytest.param("RGB", (5000, 4000), 5, marks=pytest.mark.slow),
        pytest.param("RGBA", (5000, 4000), 10, marks=pytest.mark.slow),
        ("I;16", (5000, 4000), 8),
        ("RGBA", (20, 1_000_000), 12),
    ],
)
def test_the_peak_of_a_large_picture(
    mode: str, size: tuple[int, int], most: int, tmp_path: Path
) -> None:
    """So many bytes a pixel: the picture and one copy, four bytes each, or two in 16 bits.

    And some twenty for each row of both.
    """
    Image.new(mode, size).save(tmp_path / "large.png", compress_level=1)
    script = """
import sys
from pathlib import Path
from easyvae.data import read_image

def highest():
    return 1024 * int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

from PIL import Image, ImageOps, PngImagePlugin  # not to be counted
before = highest()
read_image(sys.argv[1], (3, 64, 64))
print(highest() - before)
"""
    command = [sys.executable, "-c", script, str(tmp_path / "large.png")]
    found = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(found.stdout) < most * size[0] * size[1]
