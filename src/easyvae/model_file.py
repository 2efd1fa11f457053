"""Model files: weights, config and format version, checked before a model is built of them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from easyvae.files import ModelFileError, check_tensors, read_tensors, write_tensors
from easyvae.geometry import per_layer

FORMAT_VERSION = 1

Model = TypeVar("Model", bound=nn.Module)


def write_model(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], config: dict[str, Any]
) -> None:
    """Writes a model file, all or nothing.

    Raises:
        OSError: If the file cannot be written; what was there before is still there.
    """
    write_tensors(path, tensors, {"kind": "model", "version": FORMAT_VERSION, "config": config})


def read_model(path: str | os.PathLike[str], build: Callable[..., Model]) -> Model:
    """Reads a model file, or that of a run folder.

    Nothing is allocated for the model before the file is known to fit it.

    Args:
        path: The file, or a run folder with a `model.safetensors`.
        build: Makes a model of the file's config, given as keyword arguments.

    Returns:
        The model, on the CPU.

    Raises:
        FileNotFoundError: If there is no such file.
        ModelFileError: If it is not a model file of this version, or damaged.
    """
    path = Path(path)
    path = path / "model.safetensors" if path.is_dir() else path
    tensors, metadata = read_tensors(path)
    if metadata.get("kind") != "model":
        raise ModelFileError(path, f"holds a {metadata.get('kind')}, not a model")
    if metadata.get("version") != FORMAT_VERSION:
        raise ModelFileError(
            path,
            f"has format version {metadata.get('version')}, and this easyvae reads "
            f"{FORMAT_VERSION}: upgrade easyvae",
        )
    try:
        config = metadata["config"]
        # Every stage, block and layer has tensors, so the file bounds what a config may ask for.
        _check_depth(config, len(tensors))
        with torch.device("meta"):
            model = build(**config)
    except (TypeError, ValueError, KeyError, RuntimeError) as error:
        raise ModelFileError(path, f"has a config that no model fits: {error}") from None
    check_tensors(path, tensors, model.state_dict())
    model.load_state_dict(tensors, assign=True)
    return model


def _check_depth(config: Any, tensors: int) -> None:
    """Refuses a config of more layers than a file with so many tensors can hold."""
    if not isinstance(config, dict) or not isinstance(config.get("channels"), list):
        raise TypeError("it has no list of `channels`")
    layers = len(config["channels"])
    blocks = per_layer("residual_blocks", config.get("residual_blocks", 0), layers, least=0)
    hidden = config.get("hidden", ())
    wanted = layers + sum(blocks) + (len(hidden) if isinstance(hidden, Sequence) else 1)
    if wanted > tensors:
        raise ValueError(
            f"`channels`, `residual_blocks` and `hidden` ask for {wanted} layers, "
            f"and there are {tensors} tensors"
        )
