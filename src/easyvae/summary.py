"""How a model shows itself: as text, and as a table in a notebook."""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple


class Row(NamedTuple):
    """One layer or stage: its half, its name, the shape that it gives, its parameter count."""

    half: str
    layer: str
    shape: tuple[int, ...]
    parameters: int


class Summary(NamedTuple):
    """A model's headline, its layers from the image in and back out, and its footnote."""

    title: str
    rows: Sequence[Row]
    note: str

    def text(self) -> str:
        """Lays the rows out in columns."""
        cells = self._cells()
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            f"  {half:<{widths[0]}}  {layer:<{widths[1]}}  {shape:>{widths[2]}}  "
            f"{count:>{widths[3]}}"
            for half, layer, shape, count in cells
        ]
        return "\n".join([self.title, *lines, f"  {self.note}"])

    def html(self) -> str:
        """Lays the rows out as an HTML table."""
        import html  # only a notebook needs it

        head = "".join(f"<th>{name}</th>" for name in ("", "layer", "output", "parameters"))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._cells()
        )
        caption = f"{html.escape(self.title)}<br>{html.escape(self.note)}"
        return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table>"

    def _cells(self) -> list[tuple[str, str, str, str]]:
        """Writes the rows out, with each half's name in its first row only."""
        return [
            (
                half if i == 0 else "",
                row.layer,
                "x".join(map(str, row.shape)),
                f"{row.parameters:,}",
            )
            for half, rows in groupby(self.rows, key=lambda row: row.half)
            for i, row in enumerate(rows)
        ]
