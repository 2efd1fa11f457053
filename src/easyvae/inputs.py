"""Checks of what goes into a model, with errors that say how to mend it."""

from collections.abc import Sequence

import torch
from torch import Tensor

from easyvae.geometry import as_int, per_layer


def as_batch(x: Tensor, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Brings a batch to a model's device, dtype and range.

    Args:
        x: (N, *shape), float in the data's range, or uint8, which is divided by 255.
        shape: (C, *spatial).
        like: A tensor of the model's device and dtype.

    Raises:
        TypeError: If `x` is not a float or uint8 tensor.
        ValueError: If its shape does not fit.
    """
    if not isinstance(x, Tensor):
        raise TypeError(f"`x` must be a tensor, not {type(x).__name__}; try torch.as_tensor")
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise TypeError(
            f"`x` is {x.dtype}; it must be float in the data's range, or uint8 (0 to 255)"
        )
    if x.shape[1:] != shape:
        raise ValueError(
            f"`x` {tuple(x.shape)} must have the shape (N, {', '.join(map(str, shape))})"
            f"{_advice(tuple(x.shape), shape)}"
        )
    scaled = x.to(like.device, like.dtype)
    return scaled / 255 if x.dtype == torch.uint8 else scaled


def as_spatial(image_size: int | Sequence[int]) -> tuple[int, ...]:
    """Returns the one to three sizes that `image_size` stands for: an integer is a square.

    Raises:
        TypeError: If a size is not an integer.
        ValueError: If there are none or more than three, or one is below 1.
    """
    if not isinstance(image_size, Sequence) or isinstance(image_size, str):
        return (as_int("image_size", image_size),) * 2
    if not 1 <= len(image_size) <= 3:
        raise ValueError(
            f"`image_size` (={list(image_size)}) must be an integer, or one, two or three sizes"
        )
    return per_layer("image_size", image_size, len(image_size))


def _advice(got: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Says what would make a tensor of the wrong shape fit."""
    dims = len(shape)
    last = (*shape[1:], shape[0])
    if got == shape:
        return "; add the batch dimension: x[None]"
    if got == last or got[1:] == last:
        order = (dims - 1, *range(dims - 1)) if got == last else (0, dims, *range(1, dims))
        return f"; its channels are last: x.permute{order} puts them first"
    if shape[0] == 1 and got[1:] == shape[1:]:
        return "; add the channel dimension: x.unsqueeze(1)"
    if len(got) == dims + 1 and got[2:] == shape[1:]:
        if got[1] == 1:
            return f"; one channel becomes {shape[0]} by x.expand(-1, {shape[0]}, ...)"
        if got[1] > shape[0] >= 3:
            return f"; drop the channels beyond by x[:, :{shape[0]}]"
        return f"; build the model with in_channels={got[1]}, or convert the images"
    if len(got) in (dims, dims + 1) and got[-dims:] != shape:
        size = got[1 - dims :]
        if size == shape[1:]:  # a single image
            plural = "s" * (got[0] != 1)
            return f"; it has {got[0]} channel{plural}, and the model takes {shape[0]}"
        return (
            f"; resize the images, or build the model with image_size="
            f"{size if len(set(size)) > 1 or dims != 3 else size[0]}"
        )
    return ""
