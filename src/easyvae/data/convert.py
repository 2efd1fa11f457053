"""Tensors, arrays, data sets and loaders as images: checked against the shape of the model."""

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from os import PathLike
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from easyvae.core.checks import check_batch
from easyvae.core.seeds import RandomState, generators_of
from easyvae.data.decode import ImageError, picture_shape, quiet_pillow, to_pixels
from easyvae.data.load import load_pictures
from easyvae.data.pictures import Pictures, pieces

_PROBE = 8
"""So many rows are read twice, to learn whether chance has a part in them."""
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
    least, most = min(float(each.min) for each in ranges), max(float(each.max) for each in ranges)
    if least < low or most > high:
        fix = (
            "divide them by 255, or give them as uint8"
            if least >= 0 and 2 < most <= 255
            else 'rescale them, or build the model with output="identity"'
        )
        span = f"from {least:.6g} to {most:.6g}"
        raise ValueError(f"`data` must be in [{low:g}, {high:g}] but ranges {span}: {fix}")


def checked_images(data: Any, shape: tuple[int, ...], *, first: int = 0) -> Tensor:
    """Returns a tensor or array as `(n, *shape)` on the CPU, uint8 or finite float32.

    Raises:
        ValueError: it has another shape or type, or holds NaN or infinity in a row, where the
            first row's number is `first`.
    """
    images = _as_tensor(data)
    if shape[0] == 1 and images.ndim == len(shape) and tuple(images.shape[1:]) == shape[1:]:
        images = images.unsqueeze(1)  # (n, *spatial) -> (n, 1, *spatial)
    check_batch("data", tuple(images.shape), shape)
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
    """Returns a tensor on the CPU that shares the data's memory where that can be."""
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


def as_pictures(data: Any, shape: Sequence[int], *, flip: bool = False) -> Pictures:
    """Brings any kind of image data into one store.

    A tensor or array is used in place, without a copy, if it is uint8 or float32; float16,
    bfloat16 and float64 become float32. A data set's rows are read once each, into memory (the
    first eight twice: where the second reading gives other images, a warning says so); global
    random state is as before afterwards. A path is read by `load_pictures`.

    Args:
        data: a path; a tensor or array, `(N, *shape)`, whose channel dimension may be missing if
            there is one channel; a `Dataset`, `DataLoader` or other sequence or iterable of rows
            `x`, `(x, ...)` or `{"image": x}`, each `x` a tensor, an array or a Pillow image; or
            `Pictures`, which are checked and returned. Pixels are uint8 (0 to 255) or float.
        shape: the model's `(C, *spatial)`.
        flip: mirror images at random along the last axis, in training only.

    Returns:
        The images, `(N, C, *spatial)`, uint8 or float32.

    Raises:
        ValueError: there is no image, an image has another shape or type than the model takes, or
            holds NaN or infinity. The message says what to do about it.
        TypeError: `data` is of no such kind.

    Example:
        >>> as_pictures(np.zeros((100, 28, 28), np.uint8), (1, 28, 28))
        Pictures((100, 1, 28, 28), uint8)
    """
    sizes = tuple(int(size) for size in shape)
    if isinstance(data, str | PathLike):
        return load_pictures(data, picture_shape(sizes), flip=flip)
    if isinstance(data, Pictures):
        check_batch("data", tuple(data.images.shape), sizes)
        if data.flip or not flip:
            return data
        return Pictures(
            data.images,
            digests=data.digests,
            names=data.names,
            report=data.report,
            flip=True,
            origin=data.origin,
        )
    if isinstance(data, Tensor | np.ndarray):
        return Pictures(checked_images(data, sizes), flip=flip)
    return Pictures(read_rows(data, sizes), flip=flip)


def read_rows(data: Any, shape: tuple[int, ...]) -> Tensor:
    """Reads each row of a data set, loader, sequence or iterable once, into one checked tensor.

    Random transforms and shuffling, if there are any, are seeded: two reads give the same rows.
    """
    batches: Iterator[Tensor]
    with RandomState(0, generators_of(data)).active():
        if isinstance(data, DataLoader):
            batches = (batch_images(batch, shape, i) for i, batch in enumerate(data))
        else:
            batches = (_row_image(row, shape, i) for i, row in enumerate(_rows(data)))
        images = _joined(batches)
    if images is None:
        raise ValueError(f"`data` (a {type(data).__name__}) holds no images")
    if _is_indexed(data) and not isinstance(data, DataLoader):
        first = images[:_PROBE]
        with RandomState(1).active():
            again = [_row_image(data[index], shape, index) for index in range(len(first))]
        if not torch.equal(torch.cat(again), first):
            warnings.warn(
                f"`data` (a {type(data).__name__}) gives other images at every reading, as random "
                "transforms do. A data set is read once, and its images stay as they were drawn: "
                "to have them drawn anew each epoch, pass a DataLoader over it",
                stacklevel=2,
            )
    return images


def batch_images(batch: Any, shape: tuple[int, ...], number: int) -> Tensor:
    """Returns the images `(n, *shape)` of batch `number` of a loader, checked."""
    try:
        return checked_images(_image_of(batch), shape)
    except ValueError as error:
        raise ValueError(f"batch {number} of {error}") from error


def _row_image(row: Any, shape: tuple[int, ...], number: int) -> Tensor:
    """Returns the image of row `number` of a data set as a batch of one, checked."""
    image = _image_of(row)
    pillow = sys.modules.get("PIL.Image")  # no Pillow image can exist without it
    if pillow is not None and isinstance(image, pillow.Image):
        sizes = picture_shape(shape)
        with quiet_pillow:
            try:
                return torch.from_numpy(to_pixels(image, sizes))[None]
            except Exception as error:  # as for a file: Pillow raises anything
                raise ImageError(f"row {number}", f"cannot be decoded: {error}") from error
    if isinstance(image, np.ndarray | Tensor):
        try:
            return checked_images(image[None], shape, first=number)
        except ValueError as error:
            raise ValueError(f"row {number} of {error}") from error
    kind = type(image).__name__
    raise TypeError(
        f"row {number} of `data` holds a {kind}; it must be `x`, `(x, ...)` or "
        '`{"image": x}` with a tensor, array or Pillow image `x`'
    )


def _image_of(row: Any) -> Any:
    """Returns the image in `x`, `(x, ...)` or `{"image": x}`."""
    if isinstance(row, Mapping):
        if "image" not in row:
            raise ValueError(f"`data` has rows with the keys {list(row)}; one must be 'image'")
        return row["image"]
    if isinstance(row, tuple | list) and row:
        return row[0]
    return row


def _rows(data: Any) -> Iterable[Any]:
    """Returns the rows of a map-style or iterable data set, or of a plain sequence or iterable."""
    if not isinstance(data, Mapping | bytes):
        if _is_indexed(data):
            return (data[index] for index in range(len(data)))
        if isinstance(data, Iterable):
            return data
    raise TypeError(
        f"`data` (a {type(data).__name__}) must be a path, a tensor or array of images, "
        "a Dataset or a DataLoader"
    )


def _is_indexed(data: Any) -> bool:
    """Whether rows can be read by their numbers, in any order and again."""
    indexed = hasattr(data, "__len__") and hasattr(data, "__getitem__")
    return indexed and not isinstance(data, IterableDataset)


def _joined(batches: Iterator[Tensor]) -> Tensor | None:
    """Joins batches of one type in a buffer that doubles as they come."""
    buffer: Tensor | None = None
    count = 0
    for batch in batches:
        end = count + len(batch)
        if buffer is None:
            buffer = torch.empty((end, *batch.shape[1:]), dtype=batch.dtype)
        if batch.dtype != buffer.dtype:
            kinds = f"{buffer.dtype}, but row {count} is {batch.dtype}"
            raise ValueError(f"`data` must be of one type throughout: it begins as {kinds}")
        if end > len(buffer):
            grown = torch.empty((2 * end, *batch.shape[1:]), dtype=batch.dtype)
            grown[:count] = buffer[:count]
            buffer = grown
        buffer[count:end] = batch
        count = end
    return None if buffer is None else buffer[:count]
