"""Sheets of images, pixel by pixel, and the files they go to: needs Pillow alone."""

import io
import math
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from easyvae.core.checks import missing
from easyvae.core.files import write_file

MOST_PIXELS = 178_956_970  # a picture with more, Pillow takes for a decompression bomb


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
    return torch.cat([to_bytes(above), to_bytes(below)])


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
    pixels = to_bytes(images)
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
    kind = _kind(path, {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"})
    write_file(path, encode_images(images, kind, columns=columns, scale=scale))


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
    kind = _kind(path, {".gif": "GIF", ".webp": "WEBP"})
    film = encode_animation(
        frames, kind, seconds=seconds, scale=scale, there_and_back=there_and_back
    )
    write_file(path, film)


def encode_images(
    images: Tensor,
    kind: str = "PNG",
    *,
    columns: int | None = None,
    scale: int = 1,
    gap: int = 2,
    **options: Any,
) -> bytes:
    """Returns what `save_images` writes; `options` are those of Pillow's writer of that kind."""
    data = io.BytesIO()
    paper = sheet(images, columns or len(images), gap=gap)
    _enlarge(paper, scale).save(data, kind, **options)
    return data.getvalue()


def encode_animation(
    frames: Tensor,
    kind: str = "GIF",
    *,
    seconds: float = 2.0,
    scale: int = 1,
    there_and_back: bool = True,
) -> bytes:
    """Returns what `save_animation` writes; `kind` is "GIF" or "WEBP"."""
    images = [_enlarge(sheet(frame[None], 1), scale, len(frames)) for frame in to_bytes(frames)]
    if kind == "GIF":  # each frame's own colours, chosen once for both ways
        images = [image.convert("P", palette=1) for image in images]
    step = max(20, round(1000 * seconds / len(images)))
    durations = [step] * len(images)
    durations[0] = durations[-1] = max(step, 500)  # the two pictures themselves are worth a look
    if there_and_back:
        images += images[-2:0:-1]
        durations += durations[-2:0:-1]
    first, *more = images
    data = io.BytesIO()
    first.save(data, kind, save_all=True, append_images=more, duration=durations, loop=0)
    return data.getvalue()


def to_bytes(images: Tensor) -> Tensor:
    """Checks images, and returns them as (n, 1 or 3, H, W) in uint8 on the CPU."""
    if images.ndim != 4 or images.shape[1] not in (1, 3) or not len(images):
        raise ValueError(
            f"`images` {tuple(images.shape)} must be (n, C, H, W) with n at least 1 and "
            "1 or 3 channels"
        )
    if images.dtype == torch.uint8:
        return images.cpu()
    return (images.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8)


def check_pixels(count: int) -> None:
    """Refuses more pixels, of a picture or of all frames, than Pillow would open again."""
    if count > MOST_PIXELS:
        raise ValueError(
            f"a picture of {count / 1e6:,.0f} megapixels is too large, {MOST_PIXELS / 1e6:.0f} "
            "are the most; take fewer images, or a smaller scale"
        )


def _enlarge(pixels: Tensor, scale: int, frames: int = 1) -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise missing("writing images", "Pillow") from error
    if scale < 1:
        raise ValueError(f"`scale` (={scale}) must be at least 1")
    image = Image.fromarray(pixels.permute(1, 2, 0).numpy())
    size = (image.width * scale, image.height * scale)
    check_pixels(size[0] * size[1] * frames)
    return image if scale == 1 else image.resize(size, Image.Resampling.BICUBIC)


def _kind(path: str | PathLike[str], kinds: Mapping[str, str]) -> str:
    """Returns the kind of picture that a file's ending stands for."""
    kind = kinds.get(Path(path).suffix.lower())
    if kind is None:
        raise ValueError(f"`path` (={str(path)!r}) must end in {', '.join(kinds)}")
    return kind
