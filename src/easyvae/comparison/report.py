"""The report of a comparison: one HTML file that holds its pictures and asks for nothing else."""

import base64
import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from easyvae.evaluation import Figures
from easyvae.evaluation.figures import RANKS, TABLES, Column, Table, cells, shown_columns

PICTURES = {
    "reconstructions": (
        "Reconstructions",
        "Each row is a picture that no model has seen: the original, then what each model makes "
        "of it.",
    ),
    "interpolations": (
        "Interpolations",
        "Each row is one model's way from one held-out picture to another (lerp). The first and "
        "the last column are the originals; the frames between begin and end with the model's "
        "reconstructions.",
    ),
    "samples": (
        "New pictures",
        "Of each model: drawn from the prior, and from a Gaussian mixture fitted to the training "
        "pictures' latents.",
    ),
    "rate_distortion": (
        "What is kept, and what it costs",
        "The KL divergence is what the latents hold of a picture, the mean squared error what is "
        "lost of it.",
    ),
    "latents": (
        "How full the latents are",
        "A latent with no KL divergence tells the decoder nothing.",
    ),
}

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1f21; --soft: #5f6368; --line: #e2e2de;
  --paper: #fdfdfb; --best: #2a6f97; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e6e3; --soft: #a3a19d; --line: #3a3a38;
  --paper: #1b1c1d; --best: #7fc0e6; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 2rem 1.25rem 4rem; color: var(--ink);
  background: var(--paper); font: 1rem/1.55 system-ui, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .4rem; }
h2 { font-size: 1.15rem; margin: 2.6rem 0 .3rem; }
p { margin: .3rem 0 .8rem; max-width: 44rem; }
.soft { color: var(--soft); }
ul { padding-left: 1.2rem; margin: .4rem 0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; min-width: 50%; }
th, td { padding: .35rem .8rem .35rem 0; text-align: right; white-space: nowrap;
  border-bottom: 1px solid var(--line); }
th { font-weight: 500; color: var(--soft); vertical-align: bottom; }
th:first-child { text-align: left; }
tbody th { color: inherit; font-weight: 400; }
td strong { color: var(--best); font-weight: 650; }
figure { margin: .6rem 0 0; }
figure div { background: #fff; border-radius: 6px; padding: .5rem; width: max-content;
  max-width: 100%; overflow-x: auto; }
img { display: block; height: auto; max-width: 100%; }
@media (max-width: 40rem) { img.grid { max-width: none; width: 42rem; } }
@media print { .wide, figure div { overflow: visible; } figure, tr { break-inside: avoid; } }
"""


def render_report(record: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Writes the report.

    Args:
        record: What `Comparison.record` returns.
        pictures: PNG files by the name of the figure.

    Returns:
        HTML that refers to no other file.
    """
    models, facts = record["models"], record["facts"]
    table: dict[str, Figures] = {name: model["figures"] for name, model in models.items()}
    size = " x ".join(map(str, facts["input_shape"]))
    title = f"{len(models)} model{'s' * (len(models) > 1)} side by side"
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="soft">{facts["training"]:,} images for training, {facts["held_out"]:,} held '
        f"out, {size}, seed {facts['seed']}. All figures are of the held-out images, averaged "
        "over them; the best of a column stands out.</p>",
        _highlights(table),
        *(_picture(name, pictures) for name in ("reconstructions", "interpolations")),
        *(_table(group, table) for group in TABLES),
        *(_picture(name, pictures) for name in ("samples", "rate_distortion", "latents")),
        _models(models),
        f'<p class="soft">Made by easyvae {escape(record["easyvae"])}.</p>',
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n"
        f'<link rel="icon" href="data:,">\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n'
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def render_table(columns: Sequence[Column], table: Mapping[str, Figures]) -> str:
    """Writes columns of figures as an HTML table, a row for each model, the best in bold."""
    written = [cells(column, table) for column in columns]
    rows = {
        name: [f"<strong>{text}</strong>" if best else text for text, best in row]
        for name, row in zip(table, zip(*written, strict=True), strict=True)
    }
    return _lay_out([column.title for column in columns], rows)


def _highlights(table: Mapping[str, Figures]) -> str:
    """Names the best model by each of a few figures."""
    if len(table) < 2:
        return ""
    lines = []
    for figure, rank, text in (
        ("mse", "low", "reconstructs with the least error (MSE {:.4f})"),
        ("sharpness", "one", "reconstructs most sharply ({:.2f} of the originals' sharpness)"),
        (
            "lerp_warped",
            "high",
            "mixes bent pictures best (half-way score {:.2f})",
        ),
        ("elbo", "high", "has the highest ELBO ({:,.1f} nats)"),
        ("prior_frechet", "low", "has the closest samples of the prior (Frechet {:.3g})"),
        ("mixture_frechet", "low", "has the closest samples of a mixture (Frechet {:.3g})"),
    ):
        known = {
            name: value
            for name, figures in table.items()
            if (value := figures[figure]) is not None and math.isfinite(value)
        }
        if known:
            name = min(known, key=lambda name: RANKS[rank](known[name]))
            lines.append(f"<li><b>{escape(name)}</b> {text.format(known[name])}</li>")
    return f"<ul>{''.join(lines)}</ul>"


def _table(group: Table, table: Mapping[str, Figures]) -> str:
    columns = shown_columns(group.columns, table)
    if not columns:
        return ""
    return (
        f"<h2>{escape(group.title)}</h2>\n<p>{escape(group.text)}</p>\n"
        f'<div class="wide" tabindex="0">{render_table(columns, table)}</div>'
    )


def _picture(name: str, pictures: Mapping[str, bytes]) -> str:
    if name not in pictures:
        return ""
    title, text = PICTURES[name]
    grid = "" if name in ("rate_distortion", "latents") else ' class="grid"'
    data = base64.b64encode(pictures[name]).decode()
    return (
        f"<h2>{escape(title)}</h2>\n<p>{escape(text)}</p>\n"
        f'<figure><div tabindex="0"><img{grid} alt="{escape(title)}" '
        f'src="data:image/png;base64,{data}"></div></figure>'
    )


def _models(models: Mapping[str, Mapping[str, Any]]) -> str:
    rows = {}
    for name, model in models.items():
        config = model["config"]
        seconds = model["seconds"]
        rows[name] = [
            escape(model["loss"] or "trained before"),
            escape(" ".join(map(str, config["channels"]))),
            f"{config['latent']}",
            f"{model['parameters']:,}",
            "" if model["epochs"] is None else f"{model['epochs']}",
            "" if seconds is None else f"{seconds:,.0f}",
        ]
    titles = ("loss", "channels", "latents", "parameters", "epochs", "seconds")
    return f'<h2>The models</h2>\n<div class="wide" tabindex="0">{_lay_out(titles, rows)}</div>'


def _lay_out(titles: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Makes a table of rows by the name of the model; what is in the cells is HTML already."""
    head = "".join(f'<th scope="col">{escape(title)}</th>' for title in titles)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in row)
        + "</tr>"
        for name, row in rows.items()
    )
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
