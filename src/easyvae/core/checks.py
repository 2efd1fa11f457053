"""Checks of arguments, with errors that say what would be right."""

import math
import operator
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def as_path(name: str, path: Any) -> Path:
    """Returns an argument as a path, and refuses an empty one, as an unset shell variable is."""
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`{name}` (={path!r}) must be a path, not {type(path).__name__}")
    if not os.fspath(path):
        raise ValueError(
            f"`{name}` (={path!r}) is empty; it must be a path, and '.' is the current folder"
        )
    return Path(path)


def check_tensor(name: str, x: Tensor) -> None:
    """Refuses what is not a tensor."""
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a tensor, not {type(x).__name__}; try torch.as_tensor")


def check_floats(name: str, x: Tensor) -> None:
    """Refuses what is not a tensor of floats."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"`{name}` must be a float tensor, not {kind}")


def check_finite(name: str, x: Tensor) -> None:
    """Refuses a tensor with NaN or infinity in it."""
    if not bool(x.isfinite().all()):
        raise ValueError(f"`{name}` must be finite, and some are NaN or infinite")


def unit_for(*tensors: Tensor) -> float:
    """Returns a power of two, over which the largest magnitude is from 1 to 2; 1 for zeros.

    Where squares of huge or of tiny numbers would leave a float's range, those of the numbers over
    this unit do not, and a power of two costs no digits.

    Example:
        >>> unit_for(torch.tensor([3.0, -5.0]), torch.zeros(2))
        4.0
    """
    largest = max(float(x.detach().abs().max()) if x.numel() else 0.0 for x in tensors)
    return math.ldexp(1.0, math.frexp(largest)[1] - 1) if largest else 1.0


def widest(device: torch.device) -> torch.dtype:
    """Returns the widest float dtype of a device: Apple's GPUs have no float64."""
    return torch.float32 if device.type == "mps" else torch.float64


FLOORS = {
    "Pillow": "13.0",
    "accelerate": "1.10",
    "h11": "0.16",
    "matplotlib": "3.9",
    "onnx": "1.21",
    "onnxruntime": "1.24",
    "onnxscript": "0.6",
    "starlette": "1.3.1",
    "uvicorn": "0.35",
}
"""The lowest version of each optional package, as in pyproject.toml."""


def missing(task: str, *packages: str) -> ImportError:
    """Returns the error for a task whose optional packages are not all installed.

    It names the packages and not an extra of ours: to pip, our name is that of an unrelated
    project on the package index, which would be installed over this one.
    """
    *most, last = packages
    names = f"{', '.join(most)} and {last}" if most else last
    wanted = " ".join(f'"{name}>={FLOORS[name]}"' for name in packages)
    return ImportError(f"{task} needs {names}: pip install {wanted}")


def as_int(name: str, value: object, *, least: int = 1) -> int:
    """Returns what is an integer, NumPy's and PyTorch's too, but no `bool` and no float."""
    rule = f"must be an integer of at least {least}"
    try:
        number = operator.index(value)  # type: ignore[arg-type]  # what it refuses is the point
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        # A ValueError too for floats: `steps=2.5` has the right kind and the wrong value.
        error = ValueError if isinstance(value, float) else TypeError
        raise error(f"`{name}` (={value!r}) {rule}")
    if number < least:
        raise ValueError(f"`{name}` (={number}) {rule}")
    return number


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
    check_tensor("x", x)
    if x.dtype != torch.uint8 and not x.is_floating_point():
        raise TypeError(
            f"`x` is {x.dtype}; it must be float in the data's range, or uint8 (0 to 255)"
        )
    check_batch("x", tuple(x.shape), shape)
    return as_floats(x, like.dtype, like.device)


def check_batch(name: str, got: tuple[int, ...], shape: tuple[int, ...]) -> None:
    """Refuses a batch whose shape is not (N, *shape), and says what would make it fit.

    Example:
        >>> check_batch("x", (100, 64, 64, 3), (3, 64, 64))
        Traceback (most recent call last):
            ...
        ValueError: `x` (100, 64, 64, 3) must have the shape (N, 3, 64, 64): the channels come \
last; move them with `.permute(0, 3, 1, 2)` (NumPy: `.transpose(0, 3, 1, 2)`)
    """
    if got[1:] != shape:
        expected = ", ".join(map(str, ("N", *shape)))
        fix = _shape_fix(name, got, shape)
        raise ValueError(f"`{name}` {got} must have the shape ({expected}): {fix}")


def _shape_fix(name: str, got: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """Returns what would turn a batch, or a single image, of one shape into one of the other."""
    dims, channels, spatial = len(shape), shape[0], shape[1:]
    repeated = f".expand(-1, {channels}{', -1' * len(spatial)})"
    if got == shape:
        return f"a single image needs a batch dimension: `{name}[None]`"
    if got[1:] == spatial:
        plural = "s" * (got[0] != 1)
        return (
            f"the channels are missing; repeat one with `{name}[:, None]{repeated}`; or, if this "
            f"is a single image, it has {got[0]} channel{plural}, and the model takes {channels}"
        )
    if len(got) not in (dims, dims + 1):
        return f"{dims + 1} dimensions are needed, not {len(got)}"
    single = len(got) == dims
    first, sizes = got[-dims], got[1 - dims :]
    steps = []
    if (first, *sizes[:-1]) == spatial or sizes[-1] == channels != first:
        axes = (dims - 1, *range(dims - 1)) if single else (0, dims, *range(1, dims))
        steps.append(
            f"the channels come last; move them with `.permute{axes}` (NumPy: `.transpose{axes}`)"
        )
        first, sizes = sizes[-1], (first, *sizes[:-1])
    if first != channels:
        how = f"by `{repeated}`, " if first == 1 else ""
        how = f"by `[:, :{channels}]`, " if first > channels >= 3 else how
        how = "" if single else how
        steps.append(f"change the channels, {how}or build the model with `in_channels={first}`")
    if sizes != spatial:
        size = sizes[0] if len(sizes) == 2 and sizes[0] == sizes[1] else sizes
        steps.append(f"resize the images, or build the model with `image_size={size}`")
    return "; ".join(steps)


def as_numbers(
    name: str, value: float | Tensor | Sequence[float], dtype: torch.dtype, device: torch.device
) -> Tensor:
    """Returns one number or many as a tensor, with all the digits that a Python float has."""
    try:
        return torch.as_tensor(value, dtype=dtype, device=device)
    except OverflowError:
        raise ValueError(f"`{name}` must be finite, and is an integer beyond all floats") from None
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"`{name}` (={value!r}) must be a number or a sequence of them") from None


def check_temperature(temperature: float) -> None:
    """Refuses what is not a number from 0 to 1e6: beyond, decoders have no pictures."""
    if not 0 <= as_number("temperature", temperature) <= 1e6:
        raise ValueError(f"`temperature` (={temperature}) must be from 0 to 1e6; 1 is usual")


def as_number(name: str, value: object) -> float:
    """Returns what is a number, but no `bool`, as a `float`."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"`{name}` (={value!r}) must be a number")
    try:
        return float(value)
    except OverflowError:  # an integer beyond all floats
        return math.inf


def as_weight(name: str, value: object) -> float:
    """Returns a finite number of at least 0 as a `float`."""
    number = as_number(name, value)
    if not (math.isfinite(number) and number >= 0):
        raise ValueError(f"`{name}` (={number}) must be finite and at least 0")
    return number


def check_rows(name: str, x: Tensor, *, least: int = 1) -> None:
    """Refuses what is not a float tensor (N, D) of at least `least` rows."""
    check_floats(name, x)
    if x.ndim != 2:
        raise ValueError(f"`{name}` {tuple(x.shape)} must have two dimensions, one row per image")
    if len(x) < least:
        raise ValueError(f"`{name}` {tuple(x.shape)} must have at least {least} row(s)")


def check_latents(name: str, z: Tensor, latent: int) -> None:
    """Refuses tensors that are not (N, latent)."""
    if z.ndim != 2 or z.shape[1] != latent:
        raise ValueError(f"`{name}` {tuple(z.shape)} must have the shape (N, {latent})")


def check_images(name: str, x: Tensor, *, dims: Sequence[int] = (1, 2, 3), least: int = 1) -> None:
    """Refuses what is not images (N, C, *spatial), float or uint8, of `least` values or more."""
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


def check_same_shape(names: tuple[str, str], a: Tensor, b: Tensor, advice: str = "") -> None:
    """Refuses tensors of two shapes, also where one would broadcast."""
    if a.shape != b.shape:
        raise ValueError(
            f"`{names[0]}` {tuple(a.shape)} and `{names[1]}` {tuple(b.shape)} must have one "
            f"shape{advice}"
        )


def as_floats(
    x: Tensor, dtype: torch.dtype | None = None, device: torch.device | None = None
) -> Tensor:
    """Returns images as floats; uint8 means 0 to 255 and is scaled. The one place that does so.

    By default uint8 becomes float32, and floats and the device stay as they are.
    """
    if x.dtype == torch.uint8:
        return x.to(device or x.device, dtype or torch.float32) / 255
    return x.to(device or x.device, dtype or x.dtype)


def at_least_float32(x: Tensor) -> Tensor:
    """Returns float64 as it is, and anything else in float32."""
    return x if x.dtype == torch.float64 else x.float()
