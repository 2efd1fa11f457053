"""What the losses share: the check of a weight, and the names of functions."""

import math
import re

import torch
from torch import Tensor


def shown(function: object) -> str:
    """Shows a function or a schedule, the same in every process: without its address."""
    default = type(function).__repr__ is object.__repr__
    name = getattr(function, "__name__", type(function).__name__ if default else repr(function))
    return re.sub(r" at 0x[0-9a-fA-F]+", "", name)


def as_weight(name: str, value: object) -> float:
    """Returns a number of at least 0 as a `float`, or says what is wrong with it.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is negative or not finite.
    """
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"`{name}` (={value!r}) must be a number")
    number = float(value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"`{name}` (={number}) must be finite and at least 0")
    return number


def weigh(weight: float, value: Tensor) -> Tensor:
    """Returns `weight * value`, for a value of at least 0, without the NaN of 0 times infinity."""
    most = torch.finfo(value.dtype).max
    return min(weight, most) * (value if weight else value.clamp(max=most))
