"""Checks of tensors that latent tools and metrics share."""

import torch
from torch import Tensor


def check_tensor(name: str, x: Tensor) -> None:
    """Checks that `x` is a tensor.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a tensor, not {type(x).__name__}; try torch.as_tensor")


def check_floats(name: str, x: Tensor) -> None:
    """Checks that `x` is a float tensor.

    Raises:
        TypeError: If it is not.
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"`{name}` must be a float tensor, not {kind}")


def widest(device: torch.device) -> torch.dtype:
    """Returns the widest float dtype of a device: Apple's GPUs have no float64.

    Example:
        >>> widest(torch.device("cpu")), widest(torch.device("mps"))
        (torch.float64, torch.float32)
    """
    return torch.float32 if device.type == "mps" else torch.float64
