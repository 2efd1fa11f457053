"""The figures of a model: their names, units and directions, and the tables they stand in."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from torch import Tensor

from easyvae.latents import GaussianMixture

Figures: TypeAlias = dict[str, float | None]

FIGURES = {
    "mse": "mean squared error of the mean's reconstruction",
    "psnr": "peak signal-to-noise ratio of the mean's reconstruction, in dB",
    "ssim": "structural similarity of the mean's reconstruction",
    "sharpness": "Laplacian energy of the reconstructions, as a share of the originals'",
    "reconstruction": "negative log-likelihood given a sample of the posterior, in nats",
    "kl": "KL divergence of the posterior from the prior, in nats",
    "elbo": "evidence lower bound, -(reconstruction + kl), in nats",
    "bits_per_dimension": "-elbo in bits per value of an image",
    "log_likelihood": "importance-weighted bound on the log-likelihood, in nats",
    "active_units": "latents whose posterior mean varies over the images",
    "lerp_evenness": "largest step of a lerp over its average step; 1 is even",
    "lerp_sharpness": "Laplacian energy half-way along a lerp, as a share of the originals'",
    "lerp_contrast": "standard deviation half-way along a lerp, as a share of the originals'",
    "lerp_distance": "distance from half-way to the nearest training image, over its ends'",
    "lerp_halfway": "half-way score of a lerp between two kittens, against the true half-way "
    "kitten: 0 is a cross-fade, 1 the truth, below 0 worse than a cross-fade",
    "lerp_halfway_error": "mean squared error of its middle against the true half-way kitten",
    "lerp_warped": "the same score between two bent copies of an image, which is half-way",
    "lerp_warped_error": "mean squared error of its middle against that image",
    "slerp_evenness": "the same along a slerp",
    "slerp_sharpness": "the same along a slerp",
    "slerp_contrast": "the same along a slerp",
    "slerp_distance": "the same along a slerp",
    "slerp_halfway": "the same along a slerp",
    "slerp_halfway_error": "the same along a slerp",
    "slerp_warped": "the same along a slerp",
    "slerp_warped_error": "the same along a slerp",
    "prior_frechet": "Frechet distance of samples of the prior from the images",
    "mixture_frechet": "the same of samples of a Gaussian mixture fitted to the training latents",
    "reconstruction_frechet": "the same of as many of the images' reconstructions",
}
"""What is measured, averaged over images. The distances are taken in the features' space."""


class Evaluation(NamedTuple):
    """What a model measures.

    Attributes:
        figures: By name, see `FIGURES`; `None` where one does not apply.
        kl_per_dimension: Average KL divergence of each latent, (D,), in nats.
        mixture: A Gaussian mixture fitted to the training images' latents, if there were any.
    """

    figures: Figures
    kl_per_dimension: Tensor
    mixture: GaussianMixture | None


class Column(NamedTuple):
    """A column of a table.

    Attributes:
        figure: Which figure, see `easyvae.evaluation.FIGURES`.
        title: What stands above it.
        format: How a number is written.
        best: What is best, "low", "high" or "one" (what is nearest to 1), or "" for nothing.
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
            Column("sharpness", "sharpness", ".2f", "one"),
        ),
    ),
    Table(
        "Likelihood",
        "In nats per picture, by one likelihood for all models, whatever their loss and beta: the "
        "reconstruction term from a sample of the posterior, the KL divergence from the prior, "
        "and the evidence lower bound (ELBO), minus their sum. Of greys between 0 and 1 the "
        "Bernoulli likelihood is not normalised: these figures rank models of one data set, and "
        "compare with no others. Units are active where the posterior mean varies from picture "
        "to picture.",
        (
            Column("reconstruction", "reconstruction", ",.1f", "low"),
            Column("kl", "KL", ",.1f"),
            Column("elbo", "ELBO", ",.1f", "high"),
            Column("bits_per_dimension", "bits/dim", ".3f", "low"),
            Column("log_likelihood", "log-likelihood", ",.1f", "high"),
            Column("active_units", "active units", ".0f"),
        ),
    ),
    Table(
        "Interpolation",
        "Is the middle of a mix one picture, or two laid over each other? It is held against a "
        "picture that is known to be half-way: the score is 0 for a cross-fade and 1 for the "
        "truth, below 0 worse than a cross-fade; the error is the mean squared one. Kittens are "
        "pairs of kittens and the kitten of their averaged factors; bent pictures are held-out "
        "ones bent to and fro, which lie half-way. Sharpness and contrast are shares of the "
        "originals': two exposures have more of both than one picture. A distance above 1 means "
        "that the middle lies further from the training pictures than its two ends do. Evenness "
        "is the largest step over the average one: 1 is even.",
        (
            Column("lerp_halfway", "kittens, lerp", ".2f", "high"),
            Column("slerp_halfway", "kittens, slerp", ".2f", "high"),
            Column("lerp_halfway_error", "kittens MSE, lerp", ".4f", "low"),
            Column("slerp_halfway_error", "kittens MSE, slerp", ".4f", "low"),
            Column("lerp_warped", "bent, lerp", ".2f", "high"),
            Column("slerp_warped", "bent, slerp", ".2f", "high"),
            Column("lerp_warped_error", "bent MSE, lerp", ".4f", "low"),
            Column("slerp_warped_error", "bent MSE, slerp", ".4f", "low"),
            Column("lerp_sharpness", "sharpness, lerp", ".3f"),
            Column("slerp_sharpness", "sharpness, slerp", ".3f"),
            Column("lerp_contrast", "contrast, lerp", ".3f"),
            Column("slerp_contrast", "contrast, slerp", ".3f"),
            Column("lerp_distance", "distance, lerp", ".3f"),
            Column("slerp_distance", "distance, slerp", ".3f"),
            Column("lerp_evenness", "evenness, lerp", ".2f"),
            Column("slerp_evenness", "evenness, slerp", ".2f"),
        ),
    ),
    Table(
        "Samples",
        "How far sets of new pictures are from the held-out ones: a Frechet distance between "
        "fixed random features, which is not the Inception FID and compares only with itself. The "
        "mixture is one of ten normal distributions, fitted to the training pictures' latents. "
        "Reconstructions show what the decoder's blur alone costs.",
        (
            Column("prior_frechet", "prior", ".3g", "low"),
            Column("mixture_frechet", "mixture", ".3g", "low"),
            Column("reconstruction_frechet", "reconstructions", ".3g", "low"),
        ),
    ),
)

RANKS: dict[str, Callable[[float], float]] = {
    "low": lambda value: value,
    "high": lambda value: -value,
    "one": lambda value: abs(value - 1),
}
"""The smaller, the better."""

HEADINGS = {"lerp_warped": "half-way, bent", "prior_frechet": "prior Frechet"}
"""Titles that say more where no table's heading is above them."""

SUMMARY = ("mse", "ssim", "sharpness", "kl", "elbo", "lerp_warped", "prior_frechet")


def cells(column: Column, table: Mapping[str, Figures]) -> list[tuple[str, bool]]:
    """Writes a column: for each model its figure, and whether that is the best one."""
    values = [figures[column.figure] for figures in table.values()]
    known = [value for value in values if value is not None and math.isfinite(value)]
    best = None
    if len(known) > 1 and column.best:
        best = min(known, key=RANKS[column.best])
    return [
        (
            "" if value is None else format(value, column.format),
            value is not None and value == best,
        )
        for value in values
    ]


def shown_columns(columns: Sequence[Column], table: Mapping[str, Figures]) -> list[Column]:
    """Leaves out the columns that no model has a figure for."""
    return [
        column
        for column in columns
        if any(figures[column.figure] is not None for figures in table.values())
    ]


def summary_columns(table: Mapping[str, Figures]) -> list[Column]:
    """Chooses the most telling columns, with titles that need no heading above them."""
    every = {column.figure: column for group in TABLES for column in group.columns}
    chosen = (every[figure] for figure in SUMMARY)
    titled = [c._replace(title=HEADINGS.get(c.figure, c.title)) for c in chosen]
    return shown_columns(titled, table)


def describe_table(table: Mapping[str, Figures]) -> str:
    """Writes the most telling figures as lines of text, the best of each column with a star."""
    chosen = summary_columns(table)
    rows = [["", *(column.title for column in chosen)]]
    written = [cells(column, table) for column in chosen]
    for i, name in enumerate(table):
        rows.append([name, *(text + "*" * best for text, best in (c[i] for c in written))])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)
