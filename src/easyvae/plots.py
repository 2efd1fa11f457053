"""Pictures of pictures, and of histories: tensors in, matplotlib figures out.

Each function returns a figure that is not shown and not kept by pyplot: a notebook displays it,
`figure.savefig(path)` writes it. `save_images` and `save_animation` write plain image files,
pixel by pixel, and need Pillow alone.
"""

import io
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from easyvae.files import write_file
from easyvae.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, VALIDATION = "#2a6f97", "#d1495b"  # told apart by the colour-blind too


def plot_images(images: Tensor, *, columns: int | None = None, title: str = "") -> "Figure":
    """Draws a grid of images.

    Args:
        images: (n, C, H, W) with 1 or 3 channels, uint8 or floats in [0, 1].
        columns: Images per row; by default the grid is about square.
        title: Written above.

    Returns:
        The figure.

    Raises:
        ValueError: If these are not images.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = plot_images(torch.rand(10, 3, 16, 16))
    """
    count = len(images)
    columns = columns or max(1, math.ceil(math.sqrt(count)))
    return _plot_sheet(images, columns, title=title)


def plot_reconstructions(images: Tensor, reconstructions: Tensor) -> "Figure":
    """Draws originals in the upper row and reconstructions below them.

    Args:
        images: (n, C, H, W), uint8 or floats in [0, 1].
        reconstructions: The same shape.

    Returns:
        The figure.

    Raises:
        ValueError: If the shapes differ.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = plot_reconstructions(torch.rand(8, 3, 16, 16), torch.rand(8, 3, 16, 16))
    """
    return _plot_sheet(
        pair_rows(images, reconstructions), len(images), labels=["originals", "reconstructions"]
    )


def plot_interpolation(frames: Tensor) -> "Figure":
    """Draws the frames of an interpolation as a strip, or one strip below another.

    Args:
        frames: (S, C, H, W), or (S, N, C, H, W) for N strips, as `interpolate` returns them.

    Returns:
        The figure.

    Raises:
        ValueError: If these are not frames.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = plot_interpolation(torch.rand(10, 3, 16, 16))
    """
    strips = frames[:, None] if frames.ndim == 4 else frames
    if strips.ndim != 5:
        raise ValueError(f"`frames` {tuple(frames.shape)} must be (S, C, H, W) or (S, N, C, H, W)")
    return _plot_sheet(strips.transpose(0, 1).flatten(0, 1), len(strips))


def plot_history(history: History) -> "Figure":
    """Draws the loss, its reconstruction term and its KL term over the epochs.

    Args:
        history: What `fit` returned.

    Returns:
        The figure.

    Raises:
        ValueError: If the history has no epochs.
        ImportError: If matplotlib is not installed.

    Example:
        >>> from easyvae import VAE, fit
        >>> model = VAE(channels=[8], latent=2, image_size=8)
        >>> history = fit(model, torch.rand(40, 3, 8, 8), epochs=2, progress=False)
        >>> figure = plot_history(history)
    """
    if not len(history):
        raise ValueError("`history` has no epochs yet")
    figure = _new_figure(11, 3.2)
    parts = {"loss": "loss", "reconstruction": "reconstruction", "kl": "KL divergence"}
    for axes, (part, name) in zip(figure.subplots(1, 3), parts.items(), strict=True):
        for use, label, colour in (
            ("train", "training", TRAINING),
            ("val", "validation", VALIDATION),
        ):
            values = history[f"{use}_{part}"]
            if values[0] is not None:
                marker = "o" if len(values) < 3 else None
                axes.plot(history["epoch"], values, label=label, color=colour, marker=marker)
        axes.set_title(name, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("nats per image")
    figure.axes[0].legend(frameon=False)
    return figure


def pair_rows(above: Tensor, below: Tensor) -> Tensor:
    """Puts two batches of n images one after the other, for a grid of n columns.

    Raises:
        ValueError: If the shapes differ.
    """
    if above.shape != below.shape:
        raise ValueError(
            f"`images` {tuple(above.shape)} and `reconstructions` {tuple(below.shape)} must have "
            "one shape"
        )
    return torch.cat([_to_bytes(above), _to_bytes(below)])


def sheet(images: Tensor, columns: int, *, gap: int = 2) -> Tensor:
    """Lays images out on one white sheet.

    Args:
        images: (n, C, H, W) with 1 or 3 channels, uint8 or floats in [0, 1].
        columns: Images per row, at least 1.
        gap: Pixels between them.

    Returns:
        (3, height, width), uint8.

    Raises:
        ValueError: If these are not images.

    Example:
        >>> sheet(torch.rand(10, 3, 16, 16), columns=5).shape
        torch.Size([3, 34, 88])
    """
    pixels = _to_bytes(images)
    count, _, height, width = pixels.shape
    rows = math.ceil(count / columns)
    columns = min(columns, count)
    paper = torch.full(
        (3, rows * (height + gap) - gap, columns * (width + gap) - gap), 255, dtype=torch.uint8
    )
    for i, image in enumerate(pixels):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        paper[:, top : top + height, left : left + width] = image
    return paper


def save_images(
    images: Tensor, path: str | PathLike[str], *, columns: int | None = None, scale: int = 1
) -> None:
    """Writes images to one file, pixel by pixel, in a grid or a strip.

    Args:
        images: (n, C, H, W) with 1 or 3 channels, uint8 or floats in [0, 1].
        path: A .png, .jpg or .webp file.
        columns: Images per row; all in one row by default.
        scale: How many times larger than life, smoothly enlarged.

    Raises:
        ValueError: If these are not images, or the file's kind is unknown.
        ImportError: If Pillow is not installed.
    """
    _write(path, [_enlarge(sheet(images, columns or len(images)), scale)])


def save_animation(
    frames: Tensor,
    path: str | PathLike[str],
    *,
    seconds: float = 2.0,
    scale: int = 1,
    there_and_back: bool = True,
) -> None:
    """Writes frames as an animated GIF or WebP that repeats.

    Args:
        frames: (S, C, H, W) with 1 or 3 channels, uint8 or floats in [0, 1].
        path: A .gif or .webp file.
        seconds: How long the way from the first frame to the last takes.
        scale: How many times larger than life, smoothly enlarged.
        there_and_back: Whether the frames also run backwards, so that the end meets the start.

    Raises:
        ValueError: If these are not images, or the file's kind is unknown.
        ImportError: If Pillow is not installed.
    """
    images = [_enlarge(sheet(frame[None], 1), scale) for frame in _to_bytes(frames)]
    step = max(20, round(1000 * seconds / len(images)))
    durations = [step] * len(images)
    durations[0] = durations[-1] = max(step, 500)  # the two pictures themselves are worth a look
    if there_and_back:
        images += images[-2:0:-1]
        durations += durations[-2:0:-1]
    _write(path, images, durations)


def _to_bytes(images: Tensor) -> Tensor:
    """Checks images, and returns them as (n, 1 or 3, H, W) in uint8 on the CPU."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(
            f"`images` {tuple(images.shape)} must be (n, C, H, W) with n at least 1 and "
            "1 or 3 channels"
        )
    if images.dtype == torch.uint8:
        return images.cpu()
    return (images.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)


def _plot_sheet(
    images: Tensor, columns: int, *, title: str = "", labels: Sequence[str] = ()
) -> "Figure":
    pixels = _to_bytes(images)
    columns = min(columns, len(pixels))
    rows = math.ceil(len(pixels) / columns)
    height, width = pixels.shape[2:]
    paper = sheet(pixels, columns, gap=max(1, height // 32)).permute(1, 2, 0).numpy()
    inches = max(0.5, min(1.2, 12 / columns))
    figure = _new_figure(inches * columns, inches * rows * height / width + 0.3 * bool(title))
    axes: Axes = figure.add_subplot()
    axes.imshow(paper, interpolation="nearest" if height >= 32 else "none")
    axes.set_xticks([])
    axes.set_yticks([])
    if labels:
        axes.set_yticks([(i + 0.5) * paper.shape[0] / rows for i in range(rows)], labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize=11)
    return figure


def _new_figure(width: float, height: float) -> "Figure":
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('plots need matplotlib: pip install "easyvae[plot]"') from error
    return Figure(figsize=(width, height), layout="constrained", dpi=144)


def _enlarge(pixels: Tensor, scale: int) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('writing images needs Pillow: pip install "easyvae[train]"') from error
    if scale < 1:
        raise ValueError(f"`scale` (={scale}) must be at least 1")
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    size = (image.width * scale, image.height * scale)
    return image if scale == 1 else image.resize(size, Image.Resampling.BICUBIC)


def _write(
    path: str | PathLike[str], images: Sequence[Any], durations: Sequence[int] | None = None
) -> None:
    path = Path(path)
    kinds = {".gif": "GIF", ".webp": "WEBP"} if durations else {}
    if not durations:
        kinds = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = kinds.get(path.suffix.lower())
    if kind is None:
        raise ValueError(f"`path` (={str(path)!r}) must end in {', '.join(kinds)}")
    data = io.BytesIO()
    more = {"save_all": True, "append_images": images[1:], "duration": durations, "loop": 0}
    images[0].save(data, kind, **(more if durations else {}))
    write_file(path, data.getvalue())
