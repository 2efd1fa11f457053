"""Large sets of kittens: drawn once, kept, and the same pictures either way."""

import os
from pathlib import Path

import numpy as np
import pytest

from easyvae.cli import main
from easyvae.data import built_in as drawn
from easyvae.data.built_in import kittens_in, load_kittens
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
    assert sorted(file.suffix for file in cache.iterdir()) == [".bin", ".safetensors"]


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
@pytest.mark.parametrize(
    "damage", ["cut short", "empty", "zeroed", "no array", "a header", "pipe"]
)
def test_a_damaged_file_is_drawn_again(cache: Path, suffix: str, damage: str) -> None:
    """Whatever is in a file, or in its place, the pictures are right."""
    expected = drawn.open_kittens(COUNT, SIZE).copy()
    (file,) = cache.glob(f"*{suffix}")
    data = file.read_bytes()
    if damage == "pipe":
        if not hasattr(os, "mkfifo"):
            pytest.skip("there are no pipes with a name")
        file.unlink()
        os.mkfifo(file)
    else:
        header = b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65_535  # which NumPy's parser stumbles on
        pickle = b"\x80\x04."
        file.write_bytes(
            {
                "cut short": data[:-1],
                "empty": b"",
                "zeroed": data[: len(data) // 2].ljust(len(data), b"\0"),
                "no array": pickle,
                "a header": header,
            }[damage]
        )
    assert np.array_equal(drawn.open_kittens(COUNT, SIZE), expected)


def test_another_drawing_takes_the_place_of_the_old(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One store for each count and size: what another version drew is not left behind."""
    drawn.open_kittens(COUNT, SIZE)
    drawn.open_kittens(COUNT + 1, SIZE)
    before = set(cache.iterdir())
    monkeypatch.setattr(drawn, "_drawing", lambda: "other")
    drawn.open_kittens(COUNT, SIZE)
    assert len(set(cache.iterdir())) == 4
    assert len(set(cache.iterdir()) & before) == 3
    monkeypatch.delattr(drawn, "draw_kittens")
    drawn.open_kittens(COUNT, SIZE)


def test_more_than_there_is_room_for_is_refused() -> None:
    """A model of wide pictures cannot ask for kittens by the dozen gigabytes."""
    with pytest.raises(
        ValueError, match=r"5,000 kittens of 2048 x 2048 pixels take 62\.9 GB; ask"
    ):
        drawn.open_kittens(5000, 2048)


def test_without_a_place_to_keep_them_they_are_drawn(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A file where the folder should be."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("EASYVAE_CACHE", str(tmp_path / "file"))
    assert drawn.open_kittens(COUNT, SIZE).shape == (COUNT, 3, SIZE, SIZE)


@pytest.mark.parametrize("count", ["0", "-1", "01", "1e3", "", "\u0663", "1000000000", "9" * 5000])
def test_a_number_of_kittens_is_a_number(count: str) -> None:
    """From 1 to 999,999,999, in plain figures."""
    with pytest.raises(ValueError, match="N from 1 to 999,999,999"):
        kittens_in(f"kittens:{count}")
    assert kittens_in("kittens:999999999") == 999_999_999


@pytest.mark.skipif(not hasattr(os, "sysconf"), reason="the system does not tell its memory")
@pytest.mark.parametrize(("count", "side"), [(50_000_000, 64), (5000, 262_144)])
def test_more_kittens_than_memory_holds_are_refused(
    monkeypatch: pytest.MonkeyPatch, count: int, side: int
) -> None:
    """Before one is drawn: too many of them, or too large ones; it says how many are possible."""
    monkeypatch.setattr("easyvae.data.built_in.open_kittens", None)
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 2**21, "SC_PAGE_SIZE": 2**12}.get)
    with pytest.raises(ValueError, match=r"has 8\.6 GB; half of it holds [\d,]+$"):
        load_kittens(f"kittens:{count}", (3, side, side))


def test_the_error_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """With exit code 2: more than any machine has."""
    assert main(["train", "kittens:900000000", "--channels", "4", "--latent", "2"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "would take 11,059.2 GB of memory" in line
