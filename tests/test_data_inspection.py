"""A description of a folder of pictures."""

import io
from pathlib import Path

from PIL import Image

from easyvae.data import inspect_pictures


def encode(image: Image.Image, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def test_inspection(tmp_path: Path) -> None:
    """Sizes, modes, formats, copies, dark, unreadable and other files are all counted."""
    red = encode(Image.new("RGB", (80, 60), "red"))
    files = {
        "a.png": red,
        "b.png": red,
        "c.jpg": encode(Image.new("L", (64, 64), 2), "JPEG"),
        "d.png": encode(Image.new("P", (64, 64))),
        "e.jpg": b"<html>",
        "f.jpg": b"<html>",
        "g.txt": b"",
        "h.webp": encode(Image.new("RGB", (64, 64), "white"), "WEBP"),
    }
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    found = inspect_pictures(tmp_path)
    assert found.pictures == 5
    assert found.sizes == {(80, 60): 2, (64, 64): 3}
    assert found.modes == {"RGB": 3, "L": 1, "P": 1}
    assert found.formats == {"PNG": 3, "JPEG": 1, "WEBP": 1}
    assert found.copies == 1
    assert found.nearly_black == ["c.jpg", "d.png"]
    assert [name for name, _ in found.unreadable] == ["e.jpg", "f.jpg"]
    assert found.ignored == 1
    assert "sizes: 64 x 64 (3), 80 x 60 (2)" in str(found)
    assert "e.jpg (not a JPEG, PNG or WEBP picture)" in str(found)


def test_an_empty_folder(tmp_path: Path) -> None:
    """An empty folder is described, not refused."""
    assert inspect_pictures(tmp_path).pictures == 0
    assert str(inspect_pictures(tmp_path)).startswith("0 pictures")
