"""The report of a comparison: one HTML file that holds its pictures and asks for nothing else."""

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from easyvae.evaluation import Figures
from easyvae.evaluation import figures as registry

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


def render_report(record: Mapping[str, Any], pictures: Mapping[str, bytes]) -> str:
    """Writes what `Comparison.record` returns, and PNG files, as HTML that needs no other file."""
    models, facts = record["models"], record["facts"]
    style = Path(__file__).with_name("report.css").read_text(encoding="utf-8")
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
        *(_table(group, table) for group in registry.TABLES),
        *(_picture(name, pictures) for name in ("samples", "rate_distortion", "latents")),
        _models(models),
        f'<p class="soft">Made by easyvae {escape(record["easyvae"])}.</p>',
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n"
        f'<link rel="icon" href="data:,">\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n'
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def render_table(columns: Mapping[str, registry.Column], models: Mapping[str, Figures]) -> str:
    """Writes columns of figures as an HTML table, a row for each model, the best in bold."""
    written = [registry.cells(name, column, models) for name, column in columns.items()]
    rows = {
        model: [f"<strong>{text}</strong>" if best else text for text, best in row]
        for model, row in zip(models, zip(*written, strict=True), strict=True)
    }
    return _lay_out([column.heading for column in columns.values()], rows)


def _highlights(models: Mapping[str, Figures]) -> str:
    """Names the best model by each of a few figures."""
    if len(models) < 2:
        return ""
    lines = []
    for table in registry.PRAISED:
        for name, (_, column, praise) in table.entries.items():
            values = registry.finite_values(name, models)
            if praise and values:
                best = min(values, key=lambda model: column.rank(values[model]))
                text = praise.format(column.write(values[best]))
                lines.append(f"<li><b>{escape(best)}</b> {text}</li>")
    return f"<ul>{''.join(lines)}</ul>"


def _table(table: registry.Table, models: Mapping[str, Figures]) -> str:
    columns = registry.columns_of(table, models)
    if not columns:
        return ""
    return (
        f"<h2>{escape(table.title)}</h2>\n<p>{escape(table.text)}</p>\n"
        f'<div class="wide" tabindex="0">{render_table(columns, models)}</div>'
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
        config, seconds = model["config"], model["seconds"]
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
        f'<tr><th scope="row">{escape(name)}</th><td>{"</td><td>".join(row)}</td></tr>'
        for name, row in rows.items()
    )
    return f"<table><thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table>"
