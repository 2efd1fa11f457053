"""Model files: weights, config and format version, checked before a model is built of them."""

import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from easyvae.core.checks import as_path
from easyvae.core.files import ModelFileError
from easyvae.core.tensor_file import TensorFile, check_tensors, open_tensors, write_tensors
from easyvae.model.geometry import as_spatial, per_layer, plan_stages

FORMAT_VERSION = 1
MAX_VALUES = 2**24
"""So many values (channels times pixels) an image may have whatever the model: 3 x 2364 x 2364."""
VALUES_PER_WEIGHT = 16
"""A model of more weights may have so many values in an image for each of them."""
WIDEST = 4
"""A layer's output may have so many times as many values as an image."""

Model = TypeVar("Model", bound=nn.Module)

_DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
}


def write_model(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], config: dict[str, Any]
) -> None:
    """Writes a model file, all or nothing, unless `read_model` would refuse it."""
    floats = {t.dtype for t in tensors.values() if t.is_floating_point()}
    names = {str(dtype).removeprefix("torch.") for dtype in floats}
    if len(names) != 1 or not names <= _DTYPES.keys():
        raise TypeError(
            f"the model's weights are {' and '.join(sorted(names))}; a file holds one of "
            f"{', '.join(_DTYPES)}: bring them to one, as `model.float()` does"
        )
    if fault := _oversize(config, sum(t.numel() for t in tensors.values())):
        raise ValueError(f"the model {fault}")
    metadata = {"kind": "model", "version": FORMAT_VERSION, "config": config, "dtype": names.pop()}
    write_tensors(path, tensors, metadata)


def read_model(
    path: str | os.PathLike[str], build: Callable[..., Model], *, allow_nonfinite: bool = False
) -> Model:
    """Reads a model, onto the CPU, from a file or from a run folder with a `model.safetensors`.

    The header is read first, under a cap. What `build` makes of its config, without memory on the
    `meta` device, has to agree with it on every tensor's name, shape and dtype. Only then are the
    tensors read, and their checksum compared.
    """
    path = as_path("path", path)
    path = path / "model.safetensors" if path.is_dir() else path
    with open_tensors(path) as file:
        _check_version(path, file.metadata)
        model = _build_empty(file, build)
        if fault := _oversize(
            model.config, sum(math.prod(e.shape) for e in file.entries.values())
        ):
            raise ModelFileError(path, fault)
        check_tensors(path, file.entries, model.state_dict())
        tensors = file.read()
    if not allow_nonfinite:
        _check_finite(path, tensors)
    model.load_state_dict(tensors, assign=True)
    return model


def _check_version(path: Path, metadata: Mapping[str, Any]) -> None:
    if metadata.get("kind") != "model":
        raise ModelFileError(path, f"holds a {metadata.get('kind')}, not a model")
    version = metadata.get("version")
    if type(version) is not int or version < 1:  # a `bool` is an `int` too
        raise ModelFileError(path, f"has format version {version!r}, which there has never been")
    if version > FORMAT_VERSION:
        fault = f"has format version {version}, and this easyvae reads {FORMAT_VERSION}"
        raise ModelFileError(path, f"{fault}: upgrade easyvae")


def _build_empty(file: TensorFile, build: Callable[..., Model]) -> Model:
    """Builds the model of a file's config, without memory for its weights."""
    try:
        config = file.metadata["config"]
        _check_depth(config, len(file.entries))
        # The constructor checks each field, as it does anyone's: it takes numbers, and names from
        # short lists of its own. No string is ever looked up as code.
        with torch.device("meta"):
            return build(**config).to(_dtype(file))
    # A constructor raises anything over numbers that nobody has thought of, OverflowError too.
    except Exception as error:
        raise ModelFileError(file.path, f"has a config that no model fits: {error}") from error


def _oversize(config: Any, weights: int) -> str | None:
    """Returns what is wrong with the size of a model's images or layers, if anything is.

    A file of 4 kB can ask for images of any size, and each would take memory, and room in the
    cache of decoded pictures, without end. So what it asks for stays in proportion to the file. A
    model that anybody trains has at least one weight for 16 values of an image.
    """
    spatial, layers = as_spatial(config["image_size"]), len(config["channels"])
    kernels = per_layer("kernel_size", config["kernel_size"], layers)
    strides = per_layer("stride", config["stride"], layers)
    stages = plan_stages(spatial, kernels, strides)
    image = config["in_channels"] * math.prod(spatial)
    layer = max(
        count * math.prod(stage.inner)
        for count, stage in zip(config["channels"], stages, strict=True)
    )
    most = max(MAX_VALUES, VALUES_PER_WEIGHT * weights)
    limit = f"with {weights:,} weights there may be {{:,}} at most"
    if image > most:
        size = " x ".join(map(str, (config["in_channels"], *spatial)))
        return f"has images of {image:,} values ({size}); {limit.format(most)}"
    if layer > WIDEST * most:
        return f"has a layer of {layer:,} values for each image; {limit.format(WIDEST * most)}"
    return None


def _dtype(file: TensorFile) -> torch.dtype:
    """Returns the float type of a file's weights."""
    if "dtype" in file.metadata:
        name = file.metadata["dtype"]
        if name not in _DTYPES:
            raise ValueError(f"`dtype` (={name!r}) must be one of {', '.join(_DTYPES)}")
        return _DTYPES[name]
    # Older versions did not write it down. All weights are of one type in any case.
    return next(e.dtype for e in file.entries.values() if e.dtype in _DTYPES.values())


def _check_finite(path: Path, tensors: Mapping[str, Tensor]) -> None:
    faults = [
        f"{name} ({t.isfinite().logical_not().sum():,} of {t.numel():,} values)"
        for name, t in tensors.items()
        if t.is_floating_point() and not t.isfinite().all()
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise ModelFileError(
            path,
            f"has weights that are NaN or infinite, in {', '.join(faults[:3])}{more}; "
            "in Python, `VAE.load(path, allow_nonfinite=True)` loads it all the same",
        )


def _check_depth(config: Any, tensors: int) -> None:
    """Refuses a config of more layers than a file with so many tensors can hold.

    Building takes milliseconds for each. A layer has a weight and a bias in the encoder, and
    again in the decoder; a residual block is two of them.
    """
    if not isinstance(config, dict) or not isinstance(config.get("channels"), list):
        raise TypeError("it has no list of `channels`")
    layers = len(config["channels"])
    blocks = per_layer("residual_blocks", config.get("residual_blocks", 0), layers, least=0)
    hidden = config.get("hidden", ())
    layers += 2 * sum(blocks) + (len(hidden) if isinstance(hidden, Sequence) else 1)
    if 4 * layers > tensors:
        raise ValueError(
            f"`channels`, `residual_blocks` and `hidden` ask for {layers} layers, "
            f"which need more than {tensors} tensors"
        )
