"""What a run has held out is found again from its settings and the pictures."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from easyvae import VAE, fit
from easyvae.core.files import ModelFileError
from easyvae.data import Images, Pictures, split
from easyvae.data.pictures import digest_rows
from easyvae.training.run_folder import Division, divide_as_run, read_run


def train(out: Path, images: Tensor, **arguments: Any) -> None:
    """Trains the smallest of models on images (N, 1, 4, 4)."""
    model = VAE([2], 1, image_size=4, in_channels=1)
    options = {"epochs": 1, "out": out, "progress": False, **arguments}
    fit(model, Pictures(images, flip=options.pop("flip", False)), **options)


def noise(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (count, 1, 4, 4), generator=generator, dtype=torch.uint8)


def find_division(model: Path, images: Tensor) -> Division | None:
    run = read_run(model)
    assert run is not None
    return divide_as_run(Pictures(images), run)


def same(part: Images | None, images: Tensor) -> bool:
    """Tells whether a part holds just these images, in any order."""
    assert part is not None
    return sorted(map(bytes, digest_rows(part[: len(part)]))) == sorted(
        map(bytes, digest_rows(images))
    )


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("fraction", [0.1, 1 / 3, 0.99])
@pytest.mark.parametrize("seed", [0, 5])
def test_the_split_is_that_of_the_run(
    tmp_path: Path, flip: bool, fraction: float, seed: int
) -> None:
    """Both parts are, from the folder as well as from the model file in it."""
    images = noise(50)
    train(tmp_path, images, flip=flip, validation=fraction, seed=seed)
    training, held_out = split(Pictures(images), fraction, seed)
    for model in (tmp_path, tmp_path / "model.safetensors"):
        found = find_division(model, images)
        assert found is not None
        assert same(found.held_out, images[held_out])
        assert same(found.training, images[training])


@pytest.mark.parametrize("seed", [0, 1, 4])
@pytest.mark.parametrize("fraction", [0.02, 0.2, 0.5])
@pytest.mark.parametrize("sizes", [(1, 30, 1, 1, 5), (2,) * 20, (7, 3, 5, 5, 2)])
def test_groups_of_copies_are_found_again(
    tmp_path: Path, sizes: tuple[int, ...], fraction: float, seed: int
) -> None:
    """They stay together; what was then held out may not be what that number would hold out."""
    images = noise(len(sizes)).repeat_interleave(torch.tensor(sizes), 0)
    train(tmp_path, images, validation=fraction, seed=seed)
    _, held_out = split(Pictures(images), fraction, seed)
    found = find_division(tmp_path, images)
    assert found is not None
    assert same(found.held_out, images[held_out])


@pytest.mark.parametrize("flip", [False, True])
def test_a_run_may_hold_nothing_out(tmp_path: Path, flip: bool) -> None:
    """With no validation, or with that of other data, all pictures were for training."""
    images = noise(20)
    for number, validation in enumerate((None, noise(9, seed=1))):
        train(tmp_path / str(number), images, flip=flip, validation=validation)
        found = find_division(tmp_path / str(number), images)
        assert found is not None
        assert found.held_out is None
        assert same(found.training, images)


def test_other_pictures_are_no_part_of_a_run(tmp_path: Path) -> None:
    """Neither others, nor some, nor the same in another order; nor is there one without a run."""
    images = noise(20)
    train(tmp_path, images)
    for other in (noise(20, seed=1), images[:19], images.flip(0), images[:1].expand(20, 1, 4, 4)):
        assert find_division(tmp_path, other) is None
    model = tmp_path / "alone" / "model.safetensors"
    model.parent.mkdir()
    VAE([2], 1, image_size=4, in_channels=1).save(model)
    assert read_run(model) is None
    VAE([2], 1, image_size=4, in_channels=1).save(tmp_path / "other.safetensors")
    assert read_run(tmp_path / "other.safetensors") is None


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "[]", "{}", '{"must_match": 3}'])
def test_damaged_settings_are_named(tmp_path: Path, text: str) -> None:
    """The error has the path of the file."""
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(
        ModelFileError, match=r"run\.json: is not (JSON|a JSON object|a run's settings)"
    ):
        read_run(tmp_path)


GOOD = {
    "pictures": "/cats",
    "validation_share": 0.1,
    "must_match": {"data": "ab", "validation": "cd", "seed": 0},
}


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("pictures", [5, "", "a\0b", "x" * 5000, ["/cats"], {}, True]),
        ("validation_share", ["/etc", "0.1", 0, 1, 0.0, 1.0, -0.5, True, [0.1], float("nan")]),
        ("model", [5, "VAE", [], True]),
        ("data", [None, 5, [], ["ab"]]),
        ("validation", [5, True, {"a": 1}]),
        ("seed", [None, -1, 2**64, 1.5, "0", True, [], 10**400]),
    ],
)
def test_each_field_is_of_its_type_and_range(tmp_path: Path, name: str, values: list[Any]) -> None:
    """A run folder may come from anyone: a path as a share would be opened."""
    for value in values:
        settings = {**GOOD, "must_match": dict(GOOD["must_match"])}  # type: ignore[call-overload]
        (settings if name in settings else settings["must_match"])[name] = value
        (tmp_path / "run.json").write_text(json.dumps(settings))
        with pytest.raises(ModelFileError, match=r"run\.json: ") as caught:
            read_run(tmp_path)
        assert f"`{name}`" in str(caught.value) or "is not JSON" in str(caught.value)
    for absent in (("pictures", "validation_share"), ()):
        settings = {key: value for key, value in GOOD.items() if key not in absent}
        (tmp_path / "run.json").write_text(json.dumps(settings))
        run = read_run(tmp_path)
        assert run is not None
        assert run.validation_share == settings.get("validation_share")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no FIFOs")
def test_settings_that_are_a_pipe_are_not_waited_for(tmp_path: Path) -> None:
    """Nor is a folder of that name read."""
    os.mkfifo(tmp_path / "run.json")
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_run(tmp_path)
