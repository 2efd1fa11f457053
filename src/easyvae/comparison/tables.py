"""The figures of a comparison as tables."""

from collections.abc import Mapping
from typing import NamedTuple

from easyvae.evaluation import Figures


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        figure: Which figure, see `easyvae.evaluation.FIGURES`.
        title: What stands above it.
        format: How a number is written.
        best: The better end, "low" or "high", or "" where neither is.
    """

    figure: str
    title: str
    format: str
    best: str = ""


class Table(NamedTuple):
    """A few columns on one question.

    Attributes:
        title: What they are about.
        text: What the figures mean, in a sentence or two.
        columns: The columns.
    """

    title: str
    text: str
    columns: tuple[Column, ...]


TABLES = (
    Table(
        "Reconstruction",
        "How close is what comes back? MSE, PSNR and SSIM compare each held-out picture with the "
        "reconstruction of its mean. Sharpness is the Laplacian energy of the reconstructions as "
        "a share of the originals'.",
        (
            Column("mse", "MSE", ".4f", "low"),
            Column("psnr", "PSNR, dB", ".2f", "high"),
            Column("ssim", "SSIM", ".3f", "high"),
            Column("sharpness", "sharpness", ".2f", "high"),
        ),
    ),
    Table(
        "Likelihood",
        "In nats per picture, by one likelihood for all models, whatever their beta: the "
        "reconstruction term from a sample of the posterior, the KL divergence from the prior, "
        "and the evidence lower bound (ELBO), minus their sum. Latents are active where the "
        "posterior mean varies from picture to picture.",
        (
            Column("reconstruction", "reconstruction", ",.1f", "low"),
            Column("kl", "KL", ",.1f"),
            Column("elbo", "ELBO", ",.1f", "high"),
            Column("bits_per_dimension", "bits per value", ".3f", "low"),
            Column("log_likelihood", "log-likelihood", ",.1f", "high"),
            Column("active_units", "active latents", ".0f"),
        ),
    ),
    Table(
        "Interpolation",
        "Half-way between two held-out pictures, as a share of the ends: sharpness and contrast "
        "below 1 mean that the middle fades; a distance above 1 means that it lies further from "
        "the training pictures than a plain reconstruction does. Evenness is the largest step "
        "over the average one: 1 is even.",
        (
            Column("slerp_sharpness", "sharpness, slerp", ".2f", "high"),
            Column("lerp_sharpness", "lerp", ".2f"),
            Column("slerp_contrast", "contrast, slerp", ".3f", "high"),
            Column("lerp_contrast", "lerp", ".3f"),
            Column("slerp_distance", "distance, slerp", ".3f", "low"),
            Column("lerp_distance", "lerp", ".3f"),
            Column("slerp_evenness", "evenness, slerp", ".2f", "low"),
            Column("lerp_evenness", "lerp", ".2f"),
        ),
    ),
    Table(
        "Samples",
        "How far sets of new pictures are from the held-out ones: a Frechet distance between "
        "fixed random features, which is not the Inception FID and compares only with itself. The "
        "mixture is one of ten normal distributions, fitted to the training pictures' latents. No "
        "samples can be much closer than the reconstructions.",
        (
            Column("prior_frechet", "prior", ".3g", "low"),
            Column("mixture_frechet", "mixture", ".3g", "low"),
            Column("reconstruction_frechet", "reconstructions", ".3g", "low"),
        ),
    ),
)

SUMMARY = ("mse", "ssim", "sharpness", "kl", "elbo", "slerp_sharpness", "prior_frechet")


def cells(column: Column, table: Mapping[str, Figures]) -> list[tuple[str, bool]]:
    """Writes a column: for each model its figure, and whether that is the best one."""
    values = [figures[column.figure] for figures in table.values()]
    known = [value for value in values if value is not None]
    best = None
    if len(known) > 1 and column.best:
        best = min(known) if column.best == "low" else max(known)
    return [
        (
            "" if value is None else format(value, column.format),
            value is not None and value == best,
        )
        for value in values
    ]


def shown_columns(columns: tuple[Column, ...], table: Mapping[str, Figures]) -> list[Column]:
    """Leaves out the columns that no model has a figure for."""
    return [
        column
        for column in columns
        if any(figures[column.figure] is not None for figures in table.values())
    ]


def describe_table(table: Mapping[str, Figures]) -> str:
    """Writes the most telling figures as lines of text, the best of each column with a star."""
    every = {column.figure: (group, column) for group in TABLES for column in group.columns}
    chosen = shown_columns(tuple(every[figure][1] for figure in SUMMARY), table)
    rows = [["", *(_heading(column) for column in chosen)]]
    written = [cells(column, table) for column in chosen]
    for i, name in enumerate(table):
        rows.append([name, *(text + "*" * best for text, best in (c[i] for c in written))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _heading(column: Column) -> str:
    names = {"slerp_sharpness": "slerp sharpness", "prior_frechet": "prior Frechet"}
    return names.get(column.figure, column.title)
