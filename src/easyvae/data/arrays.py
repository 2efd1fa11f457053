"""Tensors and arrays of images: checked against the model's shape, and used as they are."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easyvae.data.store import Pictures, pieces

_FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def check_range(pictures: Pictures, low: float = 0.0, high: float = 1.0) -> None:
    """Checks that floating-point images lie within [low, high]; uint8 ones always do.

    Raises:
        ValueError: a pixel is outside; the message gives the range found.

    Example:
        >>> check_range(Pictures(torch.rand(4, 1, 8, 8)))
    """
    images = pictures.images
    if not images.is_floating_point():
        return
    ranges = [torch.aminmax(images[piece]) for piece in pieces(images)]
    least = min(float(found.min) for found in ranges)
    most = max(float(found.max) for found in ranges)
    if least < low or most > high:
        fix = (
            "divide them by 255, or give them as uint8"
            if least >= 0 and 2 < most <= 255
            else 'rescale them, or build the model with output="identity"'
        )
        found = f"{least:.6g} to {most:.6g}"
        raise ValueError(f"`data` must be in [{low:g}, {high:g}] but ranges from {found}: {fix}")


def checked_images(data: Any, shape: tuple[int, ...], *, first: int = 0) -> Tensor:
    """Returns a batch as `(n, *shape)` on the CPU, uint8 or finite float32, or say what is wrong.

    Args:
        data: a tensor or array.
        shape: the model's `(C, *spatial)`.
        first: what errors call the first row.

    Raises:
        ValueError: it has another shape or type, or holds NaN or infinity.
    """
    images = _as_tensor(data)
    if shape[0] == 1 and images.ndim == len(shape) and tuple(images.shape[1:]) == shape[1:]:
        images = images.unsqueeze(1)  # (n, *spatial) -> (n, 1, *spatial)
    check_shape(tuple(images.shape), shape)
    if len(images) == 0:
        raise ValueError(f"`data` (of shape {tuple(images.shape)}) holds no images")
    if images.dtype in _FLOATS:
        images = images.float()
        _check_finite(images, first)
    elif images.dtype != torch.uint8:
        kind = str(images.dtype).removeprefix("torch.")
        raise ValueError(
            f"`data` (of type {kind}) must be uint8 (0 to 255) or floating point: "
            "convert it with `.to(torch.uint8)` (NumPy: `.astype(np.uint8)`) or `.float()`"
        )
    return images


def _as_tensor(data: Any) -> Tensor:
    """Returns a tensor or array as a tensor on the CPU, sharing its memory where that can be."""
    if isinstance(data, Tensor):
        return data.detach().cpu()
    array = np.asarray(data)
    if array.dtype.kind not in "uifb":
        raise ValueError(f"`data` (of type {array.dtype}) must be uint8 (0 to 255) or float")
    array = array.astype(array.dtype.newbyteorder("="), copy=False)
    if any(stride < 0 for stride in array.strides):  # torch has no negative strides
        array = array.copy()
    with warnings.catch_warnings():
        # Read-only memory (a mapped file, say) is only read here, and may be too large to copy.
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return torch.from_numpy(array)


def _check_finite(images: Tensor, first: int) -> None:
    for piece in pieces(images):
        finite = torch.isfinite(images[piece]).flatten(1).all(1)  # (n,)
        if not finite.all():
            row = first + piece.start + int(finite.logical_not().nonzero()[0])
            raise ValueError(f"`data` must be finite but row {row} holds NaN or infinity")


def check_shape(found: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Checks that a batch is `(N, *shape)`.

    Raises:
        ValueError: it is not; the message says what would make it so.

    Example:
        >>> check_shape((100, 64, 64, 3), (3, 64, 64))
        Traceback (most recent call last):
            ...
        ValueError: `data` (of shape (100, 64, 64, 3)) must be (N, 3, 64, 64): the channels come \
last; move them with `.permute(0, 3, 1, 2)` (NumPy: `.transpose(0, 3, 1, 2)`)
    """
    if found[1:] == shape and len(found) == len(shape) + 1:
        return
    expected = ", ".join(str(size) for size in ("N", *shape))
    raise ValueError(f"`data` (of shape {found}) must be ({expected}): {_fix(found, shape)}")


def _fix(found: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Returns what would turn a batch of one shape into one of the other."""
    channels, spatial = shape[0], shape[1:]
    if found == shape:
        return "a single image needs a batch dimension: `data[None]`"
    if found[1:] == spatial:
        repeat = ", ".join(["-1", str(channels), *["-1"] * len(spatial)])
        return f"the channels are missing; repeat one with `data[:, None].expand({repeat})`"
    if len(found) != len(shape) + 1:
        return f"{len(shape) + 1} dimensions are needed, not {len(found)}"
    steps = []
    if found[1:-1] == spatial or found[-1] == channels != found[1]:
        axes = ", ".join(str(axis) for axis in (0, len(shape), *range(1, len(shape))))
        steps.append(
            f"the channels come last; move them with `.permute({axes})` "
            f"(NumPy: `.transpose({axes})`)"
        )
        found = (found[0], found[-1], *found[1:-1])
    if found[1] != channels:
        steps.append(f"change the channels, or build the model with `in_channels={found[1]}`")
    if found[2:] != spatial:
        steps.append(f"resize the images, or build the model with `image_size={found[2:]}`")
    return "; ".join(steps)
