"""Figures of images: grids, strips, and rows under labels."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from easyvae.plots.images import pair_rows, sheet, to_bytes
from easyvae.plots.style import new_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARGIN = 0.04  # inches around it all
SIZES = (9, 8, 7, 6)  # of labels, in points
SHARE = 0.92  # of a column's width, for its label: the rest keeps neighbours apart


def plot_images(images: Tensor, *, columns: int | None = None, title: str = "") -> "Figure":
    """Draws a grid of images.

    Args:
        images: (n, C, H, W) with 1 or 3 channels, uint8 or floats in [0, 1].
        columns: Images per row; by default the grid is about square.
        title: Written above.

    Raises:
        ValueError: If these are not images.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> figure = plot_images(torch.rand(10, 3, 16, 16))
    """
    columns = columns or max(1, math.ceil(math.sqrt(len(images))))
    return _plot_sheet(images, columns, title=title)


def plot_reconstructions(images: Tensor, reconstructions: Tensor) -> "Figure":
    """Draws originals in the upper row and reconstructions below them.

    Args:
        images: (n, C, H, W), uint8 or floats in [0, 1].
        reconstructions: The same shape.

    Raises:
        ValueError: If the shapes differ.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> figure = plot_reconstructions(torch.rand(8, 3, 16, 16), torch.rand(8, 3, 16, 16))
    """
    return _plot_sheet(
        pair_rows(images, reconstructions), len(images), labels=["originals", "reconstructions"]
    )


def plot_interpolation(frames: Tensor) -> "Figure":
    """Draws the frames of an interpolation as a strip, or one strip below another.

    Args:
        frames: (S, C, H, W), or (S, N, C, H, W) for N strips, as `interpolate` returns them.

    Raises:
        ValueError: If these are not frames.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> figure = plot_interpolation(torch.rand(10, 3, 16, 16))
    """
    strips = frames[:, None] if frames.ndim == 4 else frames
    if strips.ndim != 5:
        raise ValueError(f"`frames` {tuple(frames.shape)} must be (S, C, H, W) or (S, N, C, H, W)")
    return _plot_sheet(strips.transpose(0, 1).flatten(0, 1), len(strips))


def plot_grid(
    images: Tensor,
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    title: str = "",
) -> "Figure":
    """Draws rows of images under and beside their labels: the figure of a comparison.

    Args:
        images: (rows, columns, C, H, W), uint8 or floats in [0, 1].
        row_labels: One per row, or none.
        column_labels: One per column, or none; long ones are wrapped.
        title: Written above.

    Raises:
        ValueError: If these are not rows of images, or there are too few or many labels.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> figure = plot_grid(torch.rand(2, 3, 1, 16, 16), column_labels=["a", "b", "c"])
    """
    if images.ndim != 5:
        raise ValueError(f"`images` {tuple(images.shape)} must be (rows, columns, C, H, W)")
    rows, columns = images.shape[:2]
    both = (("row_labels", row_labels, rows), ("column_labels", column_labels, columns))
    for name, labels, count in both:
        if labels and len(labels) != count:
            raise ValueError(f"`{name}` has {len(labels)} labels; there must be {count}, or none")
    return _plot_sheet(
        images.flatten(0, 1), columns, title=title, labels=row_labels, column_labels=column_labels
    )


def _plot_sheet(
    images: Tensor,
    columns: int,
    *,
    title: str = "",
    labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
) -> "Figure":
    pixels = to_bytes(images)
    columns = min(columns, len(pixels))
    rows = math.ceil(len(pixels) / columns)
    height, width = pixels.shape[2:]
    gap = max(1, height // 32)
    paper = sheet(pixels, columns, gap=gap).permute(1, 2, 0).numpy()
    inches = max(0.5, min(1.2, 12 / columns))
    size = inches * columns, inches * columns * paper.shape[0] / paper.shape[1]
    figure = new_figure(*size)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(paper, interpolation="nearest" if height >= 32 else "none")
    axes.set(xticks=[], yticks=[])
    if labels:
        places = [i * (height + gap) + (height - 1) / 2 for i in range(rows)]
        # A name with dollars is no formula.
        axes.set_yticks(places, labels, parse_math=False)
    if column_labels:
        places = [i * (width + gap) + (width - 1) / 2 for i in range(columns)]
        lines, points = fit_labels(figure, column_labels, size[0] * width / paper.shape[1])
        axes.set_xticks(places, lines, fontsize=points, parse_math=False)
        axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if title:
        axes.set_title(title, loc="left", fontsize=11)
    _make_room(figure, axes, size)
    return figure


def _make_room(figure: "Figure", axes: "Axes", size: tuple[float, float]) -> None:
    """Enlarges a figure that its axes fill, until their labels and title are in it as well.

    matplotlib's own layouts would make the images smaller instead, and their columns narrower.
    """
    figure.set_layout_engine("none")
    whole = figure.get_tightbbox()  # in inches
    width, height = whole.width + 2 * MARGIN, whole.height + 2 * MARGIN
    figure.set_size_inches(width, height)
    left, bottom = MARGIN - whole.x0, MARGIN - whole.y0
    axes.set_position((left / width, bottom / height, size[0] / width, size[1] / height))


def fit_labels(figure: "Figure", labels: Sequence[str], width: float) -> tuple[list[str], int]:
    """Breaks labels into lines that are no wider than a column of so many inches.

    Returns:
        The labels with their line breaks, and the font size: the largest at which every word
        fits. Where one fits at no size, it is broken too.
    """
    ruler = figure.text(0, 0, "", parse_math=False)
    room = SHARE * width * figure.dpi

    def fits(text: str) -> bool:
        ruler.set_text(text)
        return ruler.get_window_extent().width <= room

    words = [word for label in labels for word in label.split()]
    for size in (*SIZES, SIZES[0]):
        ruler.set_fontsize(size)
        if all(map(fits, words)):
            break
    lines = [wrap(label, fits) for label in labels]
    ruler.remove()
    return lines, size


def wrap(text: str, fits: Callable[[str], bool]) -> str:
    """Breaks a text into lines that fit: between words, and within one that is too long.

    Example:
        >>> wrap("beta 0.005, autoencoder", lambda line: len(line) <= 6).splitlines()
        ['beta', '0.005,', 'autoen', 'coder']
    """
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if fits(longer):
            lines[-1] = longer
            continue
        if lines[-1]:
            lines.append("")
        for letter in word:
            if lines[-1] and not fits(lines[-1] + letter):
                lines.append("")
            lines[-1] += letter
    return "\n".join(lines)
