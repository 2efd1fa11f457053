"""Large sets of kittens: drawn once, kept, and the same pictures either way."""

from pathlib import Path

import numpy as np
import pytest

from easyvae.cli import drawn
from easyvae.kittens import draw_kittens

COUNT, SIZE = 12, 16


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder of its own, in which sets of any size are kept."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("EASYVAE_CACHE", str(folder))
    monkeypatch.setattr(drawn, "_FEW", 0)
    return folder


def test_the_second_time_nothing_is_drawn(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was kept is what was drawn; writing to it does not reach the file."""
    first = drawn.open_kittens(COUNT, SIZE)
    monkeypatch.delattr(drawn, "draw_kittens")
    again = drawn.open_kittens(COUNT, SIZE)
    assert np.array_equal(first, draw_kittens(COUNT, size=SIZE)[0])
    assert np.array_equal(first, again)
    again[:] = 0
    assert np.array_equal(drawn.open_kittens(COUNT, SIZE), first)
    assert len(list(cache.iterdir())) == 1


@pytest.mark.parametrize("damage", ["cut short", "empty", "another shape", "no array"])
def test_a_damaged_file_is_drawn_again(cache: Path, damage: str) -> None:
    """Whatever is in the file, the pictures are right."""
    expected = drawn.open_kittens(COUNT, SIZE).copy()
    (file,) = cache.iterdir()
    if damage == "cut short":
        file.write_bytes(file.read_bytes()[:-1])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "another shape":
        np.save(file, expected[:-1])
    else:
        file.write_bytes(b"\x80\x04.")  # a pickle
    assert np.array_equal(drawn.open_kittens(COUNT, SIZE), expected)


def test_another_drawing_takes_the_place_of_the_old(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file for each count and size: what another version drew is not left behind."""
    drawn.open_kittens(COUNT, SIZE)
    drawn.open_kittens(COUNT + 1, SIZE)
    monkeypatch.setattr(drawn, "_drawing", lambda: "other")
    drawn.open_kittens(COUNT, SIZE)
    assert sorted(file.name.rpartition("-")[0] for file in cache.iterdir()) == [
        f"kittens-{COUNT}-{SIZE}",
        f"kittens-{COUNT + 1}-{SIZE}",
    ]
    assert (cache / f"kittens-{COUNT}-{SIZE}-other.npy").is_file()


def test_without_a_place_to_keep_them_they_are_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("EASYVAE_CACHE", str(tmp_path / "file"))
    assert drawn.open_kittens(COUNT, SIZE).shape == (COUNT, 3, SIZE, SIZE)
