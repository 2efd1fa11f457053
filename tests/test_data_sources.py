"""Walking folders: what counts as a picture, and an end to every walk."""

import sys
from pathlib import Path

import pytest

from easyvae.data import ImageError
from easyvae.data.sources import open_source

links = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege on Windows")


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_nested_and_sorted(tmp_path: Path) -> None:
    """Pictures are found at any depth, in the order of their relative names."""
    touch(tmp_path, "b/2.JPG", "b/1.jpeg", "a.webp", "c/d/e/f.PNG", "z.jfif", "y.jpe")
    source = open_source(tmp_path)
    assert source.names == ["a.webp", "b/1.jpeg", "b/2.JPG", "c/d/e/f.PNG", "y.jpe", "z.jfif"]
    assert source.size == 6
    assert source.read("b/1.jpeg") == b"x"


def test_litter_is_ignored(tmp_path: Path) -> None:
    """Hidden files and folders, and what systems leave behind, are passed over uncounted."""
    touch(tmp_path, ".DS_Store", "._a.jpg", "Thumbs.db", ".git/a.jpg", "__MACOSX/a.jpg", "a.jpg")
    source = open_source(tmp_path)
    assert (source.names, source.ignored) == (["a.jpg"], 0)


def test_other_files_are_counted(tmp_path: Path) -> None:
    """Files of other kinds, archives among them, are counted as ignored."""
    touch(tmp_path, "labels.csv", "more.zip", "movie.gif", "a.jpg")
    assert open_source(tmp_path).ignored == 3


@links
def test_link_loops_end(tmp_path: Path) -> None:
    """Links to folders are followed once each, so loops end."""
    touch(tmp_path, "a/1.jpg")
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "self.jpg").symlink_to(tmp_path / "a" / "self.jpg")
    (tmp_path / "again").symlink_to(tmp_path / "a")
    source = open_source(tmp_path)
    assert source.names == ["a/1.jpg", "a/self.jpg"]
    with pytest.raises(ImageError, match=r"self\.jpg"):
        source.read("a/self.jpg")


@links
def test_links_to_files_and_elsewhere(tmp_path: Path) -> None:
    """A linked file is a picture, and so is what a linked folder holds; a dangling one fails."""
    touch(tmp_path, "far/1.jpg", "set/.keep")
    (tmp_path / "set" / "linked").symlink_to(tmp_path / "far")
    (tmp_path / "set" / "2.jpg").symlink_to(tmp_path / "far" / "1.jpg")
    (tmp_path / "set" / "3.jpg").symlink_to(tmp_path / "gone")
    source = open_source(tmp_path / "set")
    assert source.names == ["2.jpg", "3.jpg", "linked/1.jpg"]
    with pytest.raises(ImageError, match=r"3\.jpg: no such file"):
        source.read("3.jpg")


def test_unreadable_folder_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that may not be listed is reported, and the walk goes on."""
    import os

    touch(tmp_path, "locked/1.jpg", "open/2.jpg")
    scandir = os.scandir

    def guarded(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    source = open_source(tmp_path)
    assert source.names == ["open/2.jpg"]
    assert source.unreadable == [("locked/", "Permission denied")]


def test_fingerprint_follows_changes(tmp_path: Path) -> None:
    """The fingerprint changes when a picture is added, renamed or rewritten, and only then."""
    touch(tmp_path, "a.jpg", "b.jpg")
    prints = [open_source(tmp_path).fingerprint]
    touch(tmp_path, "notes.txt")
    assert open_source(tmp_path).fingerprint == prints[0]
    (tmp_path / "b.jpg").rename(tmp_path / "c.jpg")
    prints.append(open_source(tmp_path).fingerprint)
    (tmp_path / "c.jpg").write_bytes(b"yy")
    prints.append(open_source(tmp_path).fingerprint)
    touch(tmp_path, "d.jpg")
    prints.append(open_source(tmp_path).fingerprint)
    assert len(set(prints)) == 4


def test_single_file(tmp_path: Path) -> None:
    """One picture file is a set of one."""
    touch(tmp_path, "a.jpg")
    source = open_source(tmp_path / "a.jpg")
    assert source.names == ["a.jpg"]
    assert source.read("a.jpg") == b"x"


@pytest.mark.parametrize("name", ["missing", "missing.zip", "nul\0byte"])
def test_missing_path(tmp_path: Path, name: str) -> None:
    """A path with nothing at it is a one-line error that names it."""
    with pytest.raises(ImageError) as caught:
        open_source(tmp_path / name)
    assert caught.value.path == str(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_kind(tmp_path: Path) -> None:
    """A file that is neither a picture nor an archive is refused by name."""
    touch(tmp_path, "notes.txt")
    with pytest.raises(ImageError, match="neither a folder, a zip archive nor"):
        open_source(tmp_path / "notes.txt")
