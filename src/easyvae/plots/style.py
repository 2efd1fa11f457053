"""What all figures share."""

import io
from typing import TYPE_CHECKING

from easyvae.core.checks import missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRAINING, VALIDATION = "#2a6f97", "#d1495b"  # told apart by the colour-blind too
COLOURS = (TRAINING, VALIDATION, "#edae49", "#00798c", "#6a4c93", "#66a182", "#8d6346", "#4a4e69")


def new_figure(width: float, height: float) -> "Figure":
    """Makes a figure of so many inches that pyplot does not keep."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing("plotting", "matplotlib") from error

    class NotebookFigure(Figure):
        """A figure that notebooks show without pyplot."""

        def _repr_png_(self) -> bytes:
            return encode_figure(self)

    return NotebookFigure(figsize=(width, height), layout="constrained", dpi=144)


def encode_figure(figure: "Figure") -> bytes:
    """Returns a PNG file of a figure."""
    data = io.BytesIO()
    figure.savefig(data, format="png")
    return data.getvalue()


def tidy(axes: "Axes") -> None:
    """Leaves a light grid and no frame but the two axes."""
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
