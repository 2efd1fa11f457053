"""Checks that latent tools and metrics share: their errors name the argument."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch

from easyvae.core.checks import FLOORS, check_floats, check_tensor, missing, widest


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_float_pass(dtype: torch.dtype) -> None:
    """Their values do not matter, nor does their shape."""
    for x in (torch.full((2, 3), torch.nan, dtype=dtype), torch.zeros(0, dtype=dtype)):
        check_floats("z", x)
        check_tensor("z", x)


@pytest.mark.parametrize("x", [[1.0], 1.0, None, "x"])
def test_what_is_no_tensor_is_named(x: Any) -> None:
    """The message has the argument's name and what it is."""
    kind = type(x).__name__
    with pytest.raises(TypeError, match=f"`z` must be a float tensor, not {kind}"):
        check_floats("z", x)
    with pytest.raises(TypeError, match=rf"`z` must be a tensor, not {kind}; .*as_tensor"):
        check_tensor("z", x)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integers_are_no_floats(dtype: torch.dtype) -> None:
    """The message has their type."""
    x = torch.zeros(2, dtype=dtype)
    check_tensor("z", x)
    with pytest.raises(TypeError, match=f"`z` must be a float tensor, not {dtype}"):
        check_floats("z", x)


def test_the_widest_float_is_one_that_the_device_has() -> None:
    """Apple's GPUs have none of 64 bits."""
    assert widest(torch.device("mps")) == torch.float32
    assert widest(torch.device("cpu")) == widest(torch.device("cuda", 1)) == torch.float64


def test_the_lowest_versions_are_those_of_the_extras() -> None:
    """A message about a missing package asks for the version that pyproject.toml asks for."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    packages = [package.split(" >= ") for extra in extras for package in extra if ">=" in package]
    asked = dict(packages)
    assert {name: asked[name] for name in FLOORS} == FLOORS


def test_a_missing_package_is_named_with_its_own_installation() -> None:
    """All packages of the task are named, and no extra of ours."""
    assert str(missing("the mixer", "starlette", "uvicorn", "Pillow")) == (
        "the mixer needs starlette, uvicorn and Pillow: "
        'pip install "starlette>=1.3.1" "uvicorn>=0.35" "Pillow>=13.0"'
    )
