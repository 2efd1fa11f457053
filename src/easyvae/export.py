"""A model for programs without torch: its encoder and its decoder in the open ONNX format."""

import copy
import json
import logging
import os
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from easyvae.core.checks import as_path, missing
from easyvae.core.files import write_file
from easyvae.core.version import __version__
from easyvae.model import VAE

MAX_BYTES = 2**31 - 1
"""What one ONNX file can hold: it counts bytes in 32 bits, of which one is the sign."""
TOLERANCE = 1e-3
"""Largest difference between torch and ONNX Runtime, relative to the largest value."""


class Exported(NamedTuple):
    """What `export_onnx` has written.

    Attributes:
        encoder: The file that maps `images` (batch, C, *spatial) to `mean` and `log_var`, each
            (batch, D).
        decoder: The file that maps `z` (batch, D) to `images`.
        difference: The largest difference from the model's own results that ONNX Runtime had on
            random input, relative to the largest value.
    """

    encoder: Path
    decoder: Path
    difference: float


def export_onnx(model: VAE, folder: str | os.PathLike[str]) -> Exported:
    """Writes `encoder.onnx` and `decoder.onnx`, for ONNX Runtime and others, browsers included.

    The batch may have any size. Images are float32 in the data's range, pixels from 0 to 255
    divided by 255 before; a model of another dtype is exported in float32. Both graphs are run by
    ONNX Runtime and compared with the model before a file is written. They hold the weights, and
    the config as JSON in their metadata, under `easyvae.config`.

    Args:
        model: The model, on any device; it is left as it was.
        folder: Where the files go; it is made if need be.

    Returns:
        The two files, and how far they are from the model.

    Raises:
        ImportError: If the extra `onnx` is not installed.
        TypeError: If `model` is not a VAE, or `folder` not a path.
        ValueError: If `folder` is a file, or a half has more weights than an ONNX file can hold.
        RuntimeError: If torch cannot express a layer in ONNX (one of a factory of yours), or ONNX
            Runtime's results are others than the model's.
        OSError: If a file cannot be written.

    Example:
        >>> from easyvae import VAE
        >>> files = export_onnx(VAE([4], latent=2, image_size=8), "web")
        >>> files.encoder.name, files.decoder.name, files.difference < 1e-5
        ('encoder.onnx', 'decoder.onnx', True)

    Reference:
        The ONNX format: https://onnx.ai/onnx/repo-docs/IR.html
    """
    if not isinstance(model, VAE):
        raise TypeError(f"`model` must be a VAE, not {type(model).__name__}")
    target = as_path("folder", folder)
    if target.exists() and not target.is_dir():
        raise ValueError(f"`folder` (={str(target)!r}) is a file; it must be a folder")
    try:
        import onnxruntime  # noqa: F401  # these are used later, torch's exporter uses the second
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise missing("exporting", "onnx", "onnxscript", "onnxruntime") from error
    twin = copy.deepcopy(model).to("cpu", torch.float32).eval()
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(3, *model.input_shape, generator=generator, dtype=torch.float32)
    z = torch.randn(3, model.latent, generator=generator, dtype=torch.float32)
    metadata = {"easyvae.version": __version__}
    with suppress(TypeError):  # a factory has no name that a file could hold: it goes without
        metadata["easyvae.config"] = json.dumps(model.config)
    output = nn.Sigmoid() if model.output == "sigmoid" else nn.Identity()
    to_images = nn.Sequential(OrderedDict(decoder=twin.decoder, output=output))
    encoder = _convert(twin.encoder, "images", images, ("mean", "log_var"), metadata)
    decoder = _convert(to_images, "z", z, ("images",), metadata)
    target.mkdir(parents=True, exist_ok=True)
    paths = target / "encoder.onnx", target / "decoder.onnx"
    for path, (data, _) in zip(paths, (encoder, decoder), strict=True):
        write_file(path, data)
    return Exported(*paths, difference=max(encoder[1], decoder[1]))


def _convert(
    part: nn.Module,
    name: str,
    x: Tensor,
    outputs: tuple[str, ...],
    metadata: Mapping[str, str],
) -> tuple[bytes, float]:
    """Returns one half as an ONNX file's bytes, and its difference from the model."""
    size = sum(4 * weight.numel() for weight in part.state_dict().values())
    if size > MAX_BYTES:
        raise ValueError(
            f"`model` has a half with {size / 1e9:.1f} GB of weights; an ONNX file holds at most "
            f"{MAX_BYTES / 1e9:.1f} GB"
        )
    with _quiet(), torch.no_grad():
        program: Any = torch.onnx.export(
            part.eval(),
            (x,),
            input_names=[name],
            output_names=list(outputs),
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            dynamo=True,
            verbose=False,
        )
        result = part(x)
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # names of this computer's folders, and lines of its code
    program.model.metadata_props.update(metadata)
    data: bytes = program.model_proto.SerializeToString()
    expected = [result] if isinstance(result, Tensor) else result
    pairs = zip(_run(data, name, x), expected, strict=True)
    # As a tensor: unlike Python's, its maximum is NaN if anything is.
    relative = [(a - b).abs().max() / b.abs().max().clamp(min=1) for a, b in pairs]
    difference = float(torch.stack(relative).max())
    if not difference <= TOLERANCE:  # NaN neither
        raise RuntimeError(
            f"ONNX Runtime's {' and '.join(outputs)} differ from the model's by {difference:.2g} "
            f"of the largest value, more than {TOLERANCE:g}; nothing was written"
        )
    return data, difference


def _run(data: bytes, name: str, x: Tensor) -> list[Tensor]:
    """Returns what ONNX Runtime makes of one input."""
    import onnxruntime

    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(None, {name: x.numpy()})]


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences what torch's exporter says of packages and of its own old calls."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logger.setLevel(level)
