"""Checks of arguments that the latent tools share."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def as_numbers(
    name: str, value: float | Tensor | Sequence[float], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Returns `value` as a tensor, with all the digits that a Python float has.

    Raises:
        TypeError: If `value` is neither a number nor a tensor or sequence of them.
        ValueError: If it is an integer beyond all floats.
    """
    try:
        return torch.as_tensor(value, dtype=dtype, device=device)
    except OverflowError:
        raise ValueError(f"`{name}` must be finite, and is an integer beyond all floats") from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"`{name}` (={value!r}) must be a number or a sequence of them") from None


def saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Brings numbers to a dtype, and those beyond its range to its largest ones."""
    limits = torch.finfo(dtype)
    return x.to(dtype).clamp(limits.min, limits.max)


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
