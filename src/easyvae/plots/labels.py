"""Labels that fit above columns: in several lines, and smaller where a word needs it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
