"""Checks of arguments that the latent tools share."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def as_count(name: str, value: int) -> int:
    """Returns an integer of at least 1.

    Raises:
        ValueError: If `value` is none.
    """
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"`{name}` (={value!r}) must be an integer of at least 1")
    return value.__index__()


def as_numbers(
    name: str, value: float | Tensor | Sequence[float], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Returns `value` as a tensor, with all the digits that a Python float has.

    Raises:
        TypeError: If `value` is neither a number nor a tensor or sequence of them.
    """
    try:
        return torch.as_tensor(value, dtype=dtype, device=device)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"`{name}` (={value!r}) must be a number or a sequence of them") from None


def check_float(name: str, x: Tensor) -> None:
    """Checks that `x` is a float tensor.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"`{name}` must be a float tensor, not {kind}")


def check_tensor(name: str, x: Tensor) -> None:
    """Checks that `x` is a tensor.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a tensor, not {type(x).__name__}; try torch.as_tensor")


def wide_dtype(x: Tensor) -> torch.dtype:
    """Returns the dtype to compute in: float64 where the device has it."""
    # Apple's GPUs have no float64; there float32 has to do.
    return torch.float32 if x.device.type == "mps" else torch.float64


def check_temperature(temperature: float) -> None:
    """Checks that a temperature is a number of at least 0.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is negative or not finite.
    """
    if not hasattr(temperature, "__float__"):
        raise TypeError(f"`temperature` (={temperature!r}) must be a number")
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"`temperature` (={temperature}) must be finite and at least 0")
