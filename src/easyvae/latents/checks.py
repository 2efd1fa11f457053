"""Checks of arguments that the latent tools share."""

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
    """Checks that a temperature is a number from 0 to 1e6: beyond, decoders have no pictures.

    Raises:
        TypeError: If it is no number.
        ValueError: If it is negative, larger or NaN.
    """
    if not hasattr(temperature, "__float__"):
        raise TypeError(f"`temperature` (={temperature!r}) must be a number")
    if not 0 <= temperature <= 1e6:
        raise ValueError(f"`temperature` (={temperature}) must be from 0 to 1e6; 1 is usual")
