"""What the metrics have in common: checks of their arguments, and work in pieces."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from easyvae.checks import check_floats, check_tensor, widest

# 2 MiB of float64: a piece and what is computed from it stay in the cache.
_PIECE_VALUES = 1 << 18


def check_rows(name: str, x: Tensor, *, least: int = 1) -> None:
    """Refuses what is not a float tensor (N, D) of at least `least` rows."""
    check_floats(name, x)
    if x.ndim != 2:
        raise ValueError(f"`{name}` {tuple(x.shape)} must have two dimensions, one row per image")
    if len(x) < least:
        raise ValueError(f"`{name}` {tuple(x.shape)} must have at least {least} row(s)")


def check_images(name: str, x: Tensor, *, dims: Sequence[int] = (1, 2, 3), least: int = 1) -> None:
    """Refuses what is not images (N, C, *spatial), float or uint8.

    Args:
        name: The argument's name.
        x: The argument.
        dims: The numbers of spatial dimensions that will do.
        least: The least size in each of them.
    """
    check_tensor(name, x)
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise TypeError(f"`{name}` is {x.dtype}; it must be float in [0, 1], or uint8 (0 to 255)")
    if x.ndim - 2 not in dims:
        sizes = " or ".join(map(str, dims))
        raise ValueError(
            f"`{name}` {tuple(x.shape)} must have the shape (N, C, *spatial) with {sizes} spatial "
            "dimension(s); a single image is x[None]"
        )
    if x.shape[1] == 0 or min(x.shape[2:]) < least:
        raise ValueError(
            f"`{name}` {tuple(x.shape)} must have a channel and at least {least} values along "
            "each spatial dimension"
        )


def check_same_shape(names: tuple[str, str], a: Tensor, b: Tensor) -> None:
    """Refuses tensors of two shapes, also where one would broadcast."""
    if a.shape != b.shape:
        raise ValueError(
            f"`{names[0]}` {tuple(a.shape)} and `{names[1]}` {tuple(b.shape)} must have one shape"
        )


def as_floats(x: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Brings images to a dtype and device; uint8 means 0 to 255 and is scaled."""
    floats = x.to(device, dtype)
    return floats / 255 if x.dtype == torch.uint8 else floats


def per_image(measure: Callable[..., Tensor], first: Tensor, *others: Tensor) -> Tensor:
    """Applies a measure to some images at a time, in the widest dtype and on one device.

    Args:
        measure: Takes pieces (n, C, *spatial) and returns (n,).
        first: Images, (N, C, *spatial).
        others: More tensors of that shape.

    Returns:
        The results, (N,), on the device of `first`.
    """
    step = max(1, _PIECE_VALUES // first.shape[1:].numel())
    device, dtype = first.device, widest(first.device)
    pieces = zip(*(x.split(step) for x in (first, *others)), strict=True)
    return torch.cat([measure(*(as_floats(x, dtype, device) for x in piece)) for piece in pieces])
