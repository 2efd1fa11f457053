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

_MARGIN = 0.04  # inches around it all


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
        >>> import torch
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

    Returns:
        The figure.

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

    Returns:
        The figure.

    Raises:
        ValueError: If these are not rows of images, or there are too few or many labels.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> figure = plot_grid(torch.rand(2, 3, 1, 16, 16), column_labels=["a", "b", "c"])
    """
    if images.ndim != 5:
        raise ValueError(f"`images` {tuple(images.shape)} must be (rows, columns, C, H, W)")
    for name, labels, count in (
        ("row_labels", row_labels, images.shape[0]),
        ("column_labels", column_labels, images.shape[1]),
    ):
        if labels and len(labels) != count:
            raise ValueError(f"`{name}` has {len(labels)} labels; there must be {count}, or none")
    return _plot_sheet(
        images.flatten(0, 1),
        images.shape[1],
        title=title,
        labels=row_labels,
        column_labels=column_labels,
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
    axes.set_xticks([])
    axes.set_yticks([])
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
    width, height = whole.width + 2 * _MARGIN, whole.height + 2 * _MARGIN
    figure.set_size_inches(width, height)
    left, bottom = _MARGIN - whole.x0, _MARGIN - whole.y0
    axes.set_position((left / width, bottom / height, size[0] / width, size[1] / height))


SIZES = (9, 8, 7, 6)
"""Font sizes in points: the largest at which every word fits its column is taken."""

SHARE = 0.92
"""Of a column's width, for its label: the rest keeps neighbours apart."""


def fit_labels(figure: "Figure", labels: Sequence[str], width: float) -> tuple[list[str], int]:
    """Breaks labels into lines that are no wider than a column.

    Args:
        figure: Where they are to be drawn, which decides how wide a text is.
        labels: What to draw, as it is: dollars are no formulas.
        width: Of a column, in inches.

    Returns:
        The labels with their line breaks, and the font size. Where a word fits at no size, it is
        broken too.
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
        >>> print(wrap("beta 0.005, fewer layers", lambda line: len(line) <= 11))
        beta 0.005,
        fewer
        layers
        >>> print(wrap("autoencoder", lambda line: len(line) <= 4))
        auto
        enco
        der
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
