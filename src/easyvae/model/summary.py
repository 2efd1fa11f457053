"""How a model shows itself: as text, and as a table in a notebook."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple, cast

from torch import nn

from easyvae.model.geometry import Stage
from easyvae.model.network import Decoder, Encoder, ResidualBlock


class Row(NamedTuple):
    """One layer or stage, the shape that it gives, and its parameter count."""

    half: str
    layer: str
    shape: tuple[int, ...]
    parameters: int


class Summary(NamedTuple):
    """A model's headline, its layers from the image in and back out, and a footnote."""

    title: str
    rows: Sequence[Row]
    note: str

    def text(self) -> str:
        """Lays the rows out in columns."""
        cells = self._cells()
        w = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            f"  {half:<{w[0]}}  {layer:<{w[1]}}  {shape:>{w[2]}}  {count:>{w[3]}}"
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


def summarize(model: nn.Module, arguments: Mapping[str, Any]) -> Summary | None:
    """Describes a VAE built with these arguments, unless somebody has put in other halves."""
    encoder, decoder = model.encoder, model.decoder
    if not (isinstance(encoder, Encoder) and isinstance(decoder, Decoder)):
        return None
    plan = cast("Sequence[Stage]", model.plan)
    shape, latent = (arguments["in_channels"], *plan[0].outer), arguments["latent"]
    names = [
        _stage_name(stage, layers) for stage, layers in zip(plan, encoder.stages, strict=True)
    ]
    widths = (shape[0], *arguments["channels"])
    heads = nn.ModuleList([encoder.mean, encoder.log_var])
    rows = [
        Row("encoder", names[i], (widths[i + 1], *plan[i].inner), _count(layers))
        for i, layers in enumerate(encoder.stages)
    ]
    rows += _dense_rows("encoder", encoder.hidden)
    rows.append(Row("encoder", "mean, log_var", (2, latent), _count(heads)))
    rows += _dense_rows("decoder", decoder.hidden)
    rows.append(Row("decoder", "linear", decoder.grid, _count(decoder.expand)))
    rows += [
        Row("decoder", names[i], (widths[i], *plan[i].outer), _count(layers))
        for i, layers in zip(reversed(range(len(plan))), decoder.stages, strict=True)
    ]
    norm, activation = arguments["norm"], arguments["activation"]
    return Summary(
        f"{type(model).__name__}: {'x'.join(map(str, shape))} <-> {latent} latents, "
        f"{_count(model):,} parameters",
        rows,
        f"{_name(activation)}, {_name(norm) if norm else 'no'} norm, {arguments['output']} output",
    )


def _stage_name(stage: Stage, layers: nn.Module) -> str:
    blocks = sum(isinstance(layer, ResidualBlock) for layer in layers.children())
    return f"conv {stage.kernel}/{stage.stride}" + (f", {blocks} residual" if blocks else "")


def _dense_rows(half: str, layers: nn.Sequential) -> list[Row]:
    return [
        Row(half, "linear", (layer.out_features,), _count(layer))
        for layer in layers
        if isinstance(layer, nn.Linear)
    ]


def _count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _name(choice: object) -> str:
    return choice if isinstance(choice, str) else getattr(choice, "__name__", repr(choice))
