"""A model file that is damaged anywhere does not load."""

import random
from pathlib import Path

import pytest

from easyvae import VAE
from easyvae.core.files import ModelFileError


def refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(ModelFileError) as caught:
        VAE.load(path)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("flips", "channels"), [(1000, [2]), pytest.param(10_000, [8, 16, 32], marks=pytest.mark.slow)]
)
def test_single_bit_flips(flips: int, channels: list[int], tmp_path: Path) -> None:
    """One bit, chosen at random from the whole file, the header as often as the tensors."""
    path, chance = tmp_path / "model.safetensors", random.Random(0)
    VAE(channels, 4, image_size=16, norm="batch").save(path)
    data = path.read_bytes()
    header = 8 * (8 + int.from_bytes(data[:8], "little"))
    for number in range(flips):
        bit = chance.randrange(header) if number % 2 else chance.randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        refused(path, bytes(damaged))
    path.write_bytes(data)
    VAE.load(path)


def test_every_truncation(tmp_path: Path) -> None:
    """Cut at any byte, a small model does not load."""
    path = tmp_path / "model.safetensors"
    VAE([1], 1, image_size=2, in_channels=1).save(path)
    data = path.read_bytes()
    for length in range(len(data)):
        refused(path, data[:length])
