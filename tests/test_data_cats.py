"""The real cats, where they are: 14,205 pictures of which 5,810 are copies."""

import time
from pathlib import Path

import pytest
import torch

from easyvae.data import Pictures, inspect_pictures, load_pictures, split

CATS = Path(__file__).parents[2] / "shared" / "data" / "cats.zip"
pytestmark = pytest.mark.skipif(not CATS.exists(), reason="../shared/data/cats.zip is missing")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def cats(cache: Path) -> Pictures:
    return load_pictures(CATS, (3, 64, 64), cache=cache)


def test_counts(cats: Pictures) -> None:
    """Of 14,205 pictures 8,395 remain, and the report says where the others went."""
    expected = "14,205 pictures, 5,810 byte-identical copies (dropped), 0 unreadable"
    assert str(cats.report) == expected
    assert cats.images.shape == (8395, 3, 64, 64)


def test_second_start(cats: Pictures, cache: Path) -> None:
    """The second start takes a fraction of the first, and gives the same pictures."""
    start = time.perf_counter()
    again = load_pictures(CATS, (3, 64, 64), cache=cache)
    assert time.perf_counter() - start < 2
    assert again.fingerprint == cats.fingerprint


def test_no_copy_straddles_the_split(cache: Path) -> None:
    """With the copies kept, none of the 14,205 has its twin on the other side of the split."""
    everything = load_pictures(CATS, (3, 64, 64), copies="keep", cache=cache)
    train, held_out = split(everything, 0.1, seed=0)
    assert len(held_out) == round(1420.5)
    sides = [
        {row.tobytes() for row in everything.digests[part.numpy()]} for part in (train, held_out)
    ]
    assert not sides[0] & sides[1]
    assert torch.cat([train, held_out]).unique().numel() == 14205


def test_inspection() -> None:
    """Every cat is a 64 x 64 RGB JPEG."""
    found = inspect_pictures(CATS)
    assert found.sizes == {(64, 64): 14205}
    assert found.modes == {"RGB": 14205}
    assert (found.copies, found.unreadable, found.ignored) == (5810, [], 0)
