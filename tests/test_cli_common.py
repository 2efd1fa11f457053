"""What commands share: how many kittens there may be."""

import os

import pytest

from easyvae.cli import main
from easyvae.data.built_in import kittens_in, load_kittens


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
