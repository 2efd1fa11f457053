"""Checks of arguments that several modules share."""

import math
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def as_path(name: str, path: Any) -> Path:
    """Returns the path that an argument is.

    Raises:
        TypeError: If it is not a path.
        ValueError: If it is empty, as an unset variable of a shell is: for Python that would be
            the current folder.

    Example:
        >>> as_path("out", "")
        Traceback (most recent call last):
            ...
        ValueError: `out` (='') is empty; it must be a path, and '.' is the current folder
    """
    if not isinstance(path, str | os.PathLike):
        raise TypeError(f"`{name}` (={path!r}) must be a path, not {type(path).__name__}")
    if not os.fspath(path):
        raise ValueError(
            f"`{name}` (={path!r}) is empty; it must be a path, and '.' is the current folder"
        )
    return Path(path)


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
    """Returns the widest float dtype of a device: Apple's GPUs have no float64.

    Example:
        >>> widest(torch.device("cpu")), widest(torch.device("mps"))
        (torch.float64, torch.float32)
    """
    return torch.float32 if device.type == "mps" else torch.float64


FLOORS = {
    "Pillow": "13.0",
    "accelerate": "1.10",
    "h11": "0.16",
    "matplotlib": "3.9",
    "onnx": "1.21",
    "onnxruntime": "1.24",
    "onnxscript": "0.6",
    "scikit-learn": "1.7",
    "starlette": "1.3.1",
    "uvicorn": "0.35",
}
"""The lowest version of each optional package, as in pyproject.toml."""


def missing(task: str, *packages: str) -> ImportError:
    """Returns the error for a task whose optional packages are not all installed.

    It names the packages and not an extra of ours: to pip, our name is that of an unrelated
    project on the package index, which would be installed over this one.

    Args:
        task: What the user wanted, as the beginning of a sentence.
        packages: All that the task needs, by their names on the index.

    Example:
        >>> print(missing("reading pictures", "Pillow"))
        reading pictures needs Pillow: pip install "Pillow>=13.0"
    """
    *most, last = packages
    names = f"{', '.join(most)} and {last}" if most else last
    wanted = " ".join(f'"{name}>={FLOORS[name]}"' for name in packages)
    return ImportError(f"{task} needs {names}: pip install {wanted}")
