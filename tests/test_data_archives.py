"""Zip archives, taken to be hostile: read in place, within caps that count real bytes."""

import io
import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from easyvae.data import ImageError, archives, load_pictures
from easyvae.data.sources import open_source


def picture(colour: object = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


def write(path: Path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def patch_directory(path: Path, name: str, offset: int, value: bytes) -> None:
    """Overwrite a field of a member's entry in the table of contents."""
    data = bytearray(path.read_bytes())
    start = data.find(b"PK\x01\x02")
    while data[start + 46 :].startswith(name.encode()) is False:
        start = data.index(b"PK\x01\x02", start + 1)
    data[start + offset : start + offset + len(value)] = value
    path.write_bytes(data)


def snapshot(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_reads_in_place(tmp_path: Path) -> None:
    """Members are read in the order of their names, and nothing is written anywhere."""
    path = write(tmp_path / "a.zip", {"b/2.png": b"two", "b/": b"", "a.JPG": b"one"})
    before = snapshot(tmp_path)
    source = open_source(path)
    assert source.names == ["a.JPG", "b/2.png"]
    assert [source.read(name) for name in source.names] == [b"one", b"two"]
    source.close()
    assert snapshot(tmp_path) == before


def test_hostile_names_are_skipped(tmp_path: Path) -> None:
    """Names that point outside, hidden files and links are skipped, and the report says so."""
    folder = tmp_path / "in"
    folder.mkdir()
    names = ["../x.png", "/abs.png", "a/../../y.png", "C:\\z.png", "..\\w.png", "C:z.png"]
    hidden = ["__MACOSX/._1.png", ".hidden/1.png", "._1.png"]
    path = write(folder / "a.zip", {name: picture() for name in [*names, *hidden, "ok.png"]})
    with zipfile.ZipFile(path, "a") as archive:
        for name, kind in (("link.png", stat.S_IFLNK), ("pipe.png", stat.S_IFIFO)):
            member = zipfile.ZipInfo(name)
            member.external_attr = (kind | 0o777) << 16
            archive.writestr(member, "/etc/passwd")
    before = snapshot(tmp_path)
    pictures = load_pictures(path, (3, 8, 8))
    assert snapshot(tmp_path) == before
    assert pictures.names == ["ok.png"]
    assert pictures.report is not None
    skipped = dict(pictures.report.skipped)
    assert {skipped[name] for name in names} == {"points outside the archive"}
    assert {skipped[name] for name in hidden} == {"hidden"}
    assert skipped["link.png"] == "a symbolic link"
    assert skipped["pipe.png"] == "not a regular file"
    assert "skipped: " in str(pictures.report)
    assert "and 6 more" in str(pictures.report)


def test_members_without_a_name(tmp_path: Path) -> None:
    """A member whose name is empty is passed over, and the others are read."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", picture())
        archive.writestr("b.png", picture("blue"))
        archive.infolist()[0].filename = ""
    assert load_pictures(path, (3, 8, 8)).names == ["b.png"]


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # zipfile's, on writing it
def test_duplicate_names(tmp_path: Path) -> None:
    """Of members with one name the first is read and the others are skipped."""
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.png", b"first")
        archive.writestr("a.png", b"second")
    source = open_source(path)
    assert source.names == ["a.png"]
    assert source.read("a.png") == b"first"
    assert source.skipped == [("a.png", "repeats the name of another member")]
    source.close()


def test_other_kinds_and_nested_archives(tmp_path: Path) -> None:
    """Archives within an archive, and other files, are counted and not opened."""
    inner = write(tmp_path / "inner.zip", {"a.png": picture()}).read_bytes()
    path = write(tmp_path / "a.zip", {"inner.zip": inner, "notes.txt": b"", "b.png": picture()})
    source = open_source(path)
    assert (source.names, source.ignored) == (["b.png"], 2)
    source.close()


def test_bomb_is_refused_by_bytes_read(tmp_path: Path) -> None:
    """A member that inflates 1000:1 is refused by what comes out, whatever size it claims."""
    path = write(tmp_path / "a.zip", {"bomb.png": bytes(50_000_000), "ok.png": picture()})
    assert path.stat().st_size < 100_000
    for claim, fault in ((50_000_000, "inflates by more than 100:1"), (9_000, "damaged")):
        patch_directory(path, "bomb.png", 24, struct.pack("<I", claim))
        source = open_source(path)
        with pytest.raises(ImageError, match=rf"bomb\.png: {fault}"):
            source.read("bomb.png")
        source.close()
        pictures = load_pictures(path, (3, 8, 8))
        assert pictures.report is not None
        assert (len(pictures), len(pictures.report.unreadable)) == (1, 1)


def test_member_size_cap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A member larger than the cap is refused even if it does not inflate."""
    monkeypatch.setattr(archives, "MAX_BYTES", 1000)
    path = write(tmp_path / "a.zip", {"a.png": os.urandom(2000)}, zipfile.ZIP_STORED)
    source = open_source(path)
    with pytest.raises(ImageError, match="larger than"):
        source.read("a.png")
    source.close()


@pytest.mark.parametrize("claim", [10, 10_000])
def test_lying_sizes(tmp_path: Path, claim: int) -> None:
    """A member that is longer or shorter than it claims is unreadable."""
    path = write(tmp_path / "a.zip", {"a.png": bytes(range(256))})
    patch_directory(path, "a.png", 24, struct.pack("<I", claim))
    source = open_source(path)
    with pytest.raises(ImageError, match=r"a\.png: (holds 256 bytes but claims|damaged)"):
        source.read("a.png")
    source.close()


def test_overlapping_members(tmp_path: Path) -> None:
    """A member whose data runs into the next one's is unreadable."""
    path = write(
        tmp_path / "a.zip", {"a.png": picture(), "b.png": picture("blue")}, zipfile.ZIP_STORED
    )
    size = len(picture())
    patch_directory(path, "a.png", 20, struct.pack("<II", size + 40, size + 40))
    source = open_source(path)
    assert source.names == ["b.png"]
    assert source.unreadable == [("a.png", "overlaps another member")]
    source.close()


def test_members_that_share_their_data(tmp_path: Path) -> None:
    """Two entries for one piece of data overlap, so that it is not read over and over."""
    path = write(tmp_path / "a.zip", {"a.png": picture(), "b.png": picture()})
    patch_directory(path, "b.png", 42, struct.pack("<I", 0))
    source = open_source(path)
    assert [reason for _, reason in source.unreadable] == ["overlaps another member"]
    source.close()


def test_encrypted_and_unsupported(tmp_path: Path) -> None:
    """Encrypted members, and compression that cannot be bounded, are unreadable."""
    path = write(tmp_path / "a.zip", {"a.png": picture(), "b.png": picture("blue")})
    patch_directory(path, "a.png", 8, struct.pack("<H", 1))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as archive:
        archive.writestr("c.png", picture())
    pictures = load_pictures(path, (3, 8, 8))
    assert pictures.report is not None
    assert pictures.names == ["b.png"]
    expected = (("a.png", "encrypted"), ("c.png", "neither stored nor deflated"))
    assert pictures.report.unreadable == expected


def test_a_million_entries(tmp_path: Path) -> None:
    """A table of contents over the cap is refused before it is parsed."""
    entry = struct.pack("<4s6H3I5H2I", b"PK\x01\x02", *[0] * 6, 0, 0, 0, 5, *[0] * 4, 0, 0)
    table = (entry + b"a.png") * 1_000_000
    end = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, 65535, 65535, len(table), 0, 0)
    path = tmp_path / "a.zip"
    path.write_bytes(table + end)
    with pytest.raises(ImageError, match=r"table of contents is over 32 MB; use a folder"):
        open_source(path)


@pytest.mark.parametrize("keep", [0, 1, 10, 100, -1, -10, -30])
def test_cut_archive(tmp_path: Path, keep: int) -> None:
    """An archive that is cut short is refused by name, in one line."""
    path = write(tmp_path / "a.zip", {"a.png": picture()})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ImageError, match=r"a\.zip: not a readable zip archive") as caught:
        open_source(path)
    assert "\n" not in str(caught.value)


def test_damaged_member(tmp_path: Path) -> None:
    """A member whose bytes have changed is reported, and the others are read."""
    path = write(
        tmp_path / "a.zip", {"a.png": picture(), "b.png": picture("blue")}, zipfile.ZIP_STORED
    )
    data = bytearray(path.read_bytes())
    data[60] ^= 255
    path.write_bytes(data)
    pictures = load_pictures(path, (3, 8, 8))
    assert pictures.report is not None
    assert pictures.names == ["b.png"]
    assert "CRC" in pictures.report.unreadable[0][1]


def test_archive_without_pictures(tmp_path: Path) -> None:
    """An archive without a picture is an error that says what there was instead."""
    path = write(tmp_path / "a.zip", {"a.txt": b"", "b.txt": b""})
    with pytest.raises(ImageError, match=r"a\.zip: no readable .* \(2 files of other kinds\)"):
        load_pictures(path, (3, 8, 8))


def test_an_empty_archive_has_no_picture(tmp_path: Path) -> None:
    """The error says so."""
    with pytest.raises(ImageError, match=r"no readable .*picture in it"):
        load_pictures(write(tmp_path / "empty.zip", {}), (3, 8, 8))
