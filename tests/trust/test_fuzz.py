"""Damaged and forged files: a result or the one error, whatever they hold."""

import contextlib
import sys
from pathlib import Path

import pytest
import torch

from easyvae import VAE
from easyvae.core.files import ModelFileError
from easyvae.data import ImageError, inspect_pictures, load_pictures

sys.path.insert(0, str(Path(__file__).parent))
if sys.platform == "linux":  # it bounds memory and time as Linux does
    from fuzz import TARGETS, fuzz
else:
    TARGETS = {}

FINDINGS = sorted((Path(__file__).parent / "findings").iterdir())


@pytest.mark.parametrize("target", list(TARGETS))
def test_a_hundred_files(target: str, tmp_path: Path) -> None:
    """No other exception, no hang, no memory beyond the bound, and no file left."""
    threads = torch.get_num_threads()
    figures = fuzz(target, seconds=300, seed=1, megabytes=2000, keep=tmp_path / "keep", files=100)
    assert figures["findings"] == []
    assert figures["refused"] > 10
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.name)
def test_what_fuzzing_has_found(path: Path) -> None:
    """Each file once broke a reader; now it is read or refused like any other."""
    readers = {
        ".safetensors": [VAE.load],
        ".png": [lambda p: load_pictures(p, (3, 8, 8)), inspect_pictures],
        ".zip": [lambda p: load_pictures(p, (3, 8, 8)), inspect_pictures],
    }
    for read in readers[path.suffix]:
        with contextlib.suppress(ModelFileError, ImageError):
            read(path)
