"""The registry of figures: what each one means, how it is written, and where it shows.

A new figure is computed in `easyvae.evaluation.measures`, and has one entry in a table here.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from torch import Tensor

from easyvae.latents import GaussianMixture

Figures: TypeAlias = dict[str, float | None]


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
    """How a figure is written, and where."""

    title: str
    format: str
    best: str = ""  # "low", "high", "one" (what is nearest to 1), or "" for nothing
    unit: str = ""
    summary: str = ""  # the title in the summary; "" leaves it out there
    place: int = 0  # in its table; columns of one place stand in the order of the entries

    @property
    def heading(self) -> str:
        """The title with the unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title

    def write(self, value: float | None) -> str:
        """Returns a number as text, and none as no text."""
        return "" if value is None else format(value, self.format)

    def rank(self, value: float) -> float:
        """Returns a number that is the smaller, the better a value is."""
        return {"low": value, "high": -value, "one": abs(value - 1)}[self.best]


class Entry(NamedTuple):
    """A figure of the registry."""

    meaning: str
    column: Column
    praise: str = ""  # what the report says of the best model by it, {} being the number


class Table(NamedTuple):
    """The figures on one question, by name in the order of `FIGURES`, and what they mean."""

    title: str
    text: str
    entries: dict[str, Entry]


RECONSTRUCTION = Table(
    "Reconstruction",
    "How close is what comes back? MSE, PSNR and SSIM compare each held-out picture with the "
    "reconstruction of its mean. Sharpness is the Laplacian energy of the reconstructions as "
    "a share of the originals'.",
    {
        "mse": Entry(
            "mean squared error of the mean's reconstruction",
            Column("MSE", ".4f", "low", summary="MSE"),
            "reconstructs with the least error (MSE {})",
        ),
        "psnr": Entry(
            "peak signal-to-noise ratio of the mean's reconstruction",
            Column("PSNR", ".2f", "high", unit="dB"),
        ),
        "ssim": Entry(
            "structural similarity of the mean's reconstruction",
            Column("SSIM", ".3f", "high", summary="SSIM"),
        ),
        "sharpness": Entry(
            "Laplacian energy of the reconstructions, as a share of the originals'",
            Column("sharpness", ".2f", "one", summary="sharpness"),
            "reconstructs most sharply ({} of the originals' sharpness)",
        ),
    },
)

LIKELIHOOD = Table(
    "Likelihood",
    "In nats per picture, by one likelihood for all models, whatever their loss and beta: the "
    "reconstruction term from a sample of the posterior, the KL divergence from the prior, "
    "and the evidence lower bound (ELBO), minus their sum. Of greys between 0 and 1 the "
    "Bernoulli likelihood is not normalised: these figures rank models of one data set, and "
    "compare with no others. Units are active where the posterior mean varies from picture "
    "to picture.",
    {
        "reconstruction": Entry(
            "negative log-likelihood given a sample of the posterior",
            Column("reconstruction", ",.1f", "low", "nats"),
        ),
        "kl": Entry(
            "KL divergence of the posterior from the prior",
            Column("KL", ",.1f", unit="nats", summary="KL"),
        ),
        "elbo": Entry(
            "evidence lower bound, -(reconstruction + kl)",
            Column("ELBO", ",.1f", "high", "nats", summary="ELBO"),
            "has the highest ELBO ({} nats)",
        ),
        "bits_per_dimension": Entry(
            "-elbo in bits per value of an image", Column("bits/dim", ".3f", "low")
        ),
        "log_likelihood": Entry(
            "importance-weighted bound on the log-likelihood",
            Column("log-likelihood", ",.1f", "high", "nats"),
        ),
        "active_units": Entry(
            "latents whose posterior mean varies over the images", Column("active units", ".0f")
        ),
    },
)

_LERP = {
    "lerp_evenness": Entry(
        "largest step of a lerp over its average step; 1 is even",
        Column("evenness, lerp", ".2f", place=8),
    ),
    "lerp_sharpness": Entry(
        "Laplacian energy half-way along a lerp, as a share of the originals'",
        Column("sharpness, lerp", ".3f", place=5),
    ),
    "lerp_contrast": Entry(
        "standard deviation half-way along a lerp, as a share of the originals'",
        Column("contrast, lerp", ".3f", place=6),
    ),
    "lerp_distance": Entry(
        "distance from half-way to the nearest training image, over its ends'",
        Column("distance, lerp", ".3f", place=7),
    ),
    "lerp_halfway": Entry(
        "half-way score of a lerp between two kittens, against the true half-way "
        "kitten: 0 is a cross-fade, 1 the truth, below 0 worse than a cross-fade",
        Column("kittens, lerp", ".2f", "high", place=1),
    ),
    "lerp_halfway_error": Entry(
        "mean squared error of its middle against the true half-way kitten",
        Column("kittens MSE, lerp", ".4f", "low", place=2),
    ),
    "lerp_warped": Entry(
        "the same score between two bent copies of an image, which is half-way",
        Column("bent, lerp", ".2f", "high", summary="half-way, bent", place=3),
        "mixes bent pictures best (half-way score {})",
    ),
    "lerp_warped_error": Entry(
        "mean squared error of its middle against that image",
        Column("bent MSE, lerp", ".4f", "low", place=4),
    ),
}
_SLERP = {
    name.replace("lerp", "slerp"): Entry(
        "the same along a slerp",
        column._replace(title=column.title.replace("lerp", "slerp"), summary=""),
    )
    for name, (_, column, _) in _LERP.items()
}

INTERPOLATION = Table(
    "Interpolation",
    "Is the middle of a mix one picture, or two laid over each other? It is held against a "
    "picture that is known to be half-way: the score is 0 for a cross-fade and 1 for the "
    "truth, below 0 worse than a cross-fade; the error is the mean squared one. Kittens are "
    "pairs of kittens and the kitten of their averaged factors; bent pictures are held-out "
    "ones bent to and fro, which lie half-way. Sharpness and contrast are shares of the "
    "originals': two exposures have more of both than one picture. A distance above 1 means "
    "that the middle lies further from the training pictures than its two ends do. Evenness "
    "is the largest step over the average one: 1 is even.",
    {**_LERP, **_SLERP},
)

SAMPLES = Table(
    "Samples",
    "How far sets of new pictures are from the held-out ones: a Frechet distance between "
    "fixed random features, which is not the Inception FID and compares only with itself. The "
    "mixture is one of ten normal distributions, fitted to the training pictures' latents. "
    "Reconstructions show what the decoder's blur alone costs.",
    {
        "prior_frechet": Entry(
            "Frechet distance of samples of the prior from the images",
            Column("prior", ".3g", "low", summary="prior Frechet"),
            "has the closest samples of the prior (Frechet {})",
        ),
        "mixture_frechet": Entry(
            "the same of samples of a Gaussian mixture fitted to the training latents",
            Column("mixture", ".3g", "low"),
            "has the closest samples of a mixture (Frechet {})",
        ),
        "reconstruction_frechet": Entry(
            "the same of as many of the images' reconstructions",
            Column("reconstructions", ".3g", "low"),
        ),
    },
)

TABLES = (RECONSTRUCTION, LIKELIHOOD, INTERPOLATION, SAMPLES)
PRAISED = (RECONSTRUCTION, INTERPOLATION, LIKELIHOOD, SAMPLES)  # their order in the report's head

FIGURES = {
    name: f"{meaning}, in {column.unit}" if column.unit else meaning
    for table in TABLES
    for name, (meaning, column, _) in table.entries.items()
}
"""What is measured, averaged over images. The distances are taken in the features' space."""


def as_finite(value: float | None) -> float | None:
    """Returns `None` for what no comparison and no JSON file can hold."""
    return value if value is not None and math.isfinite(value) else None


def finite_values(name: str, models: Mapping[str, Figures]) -> dict[str, float]:
    """Returns a figure of the models that have a finite one."""
    values = {model: as_finite(figures[name]) for model, figures in models.items()}
    return {model: value for model, value in values.items() if value is not None}


def cells(name: str, column: Column, models: Mapping[str, Figures]) -> list[tuple[str, bool]]:
    """Writes a column: for each model its figure, and whether that is the best one."""
    values = finite_values(name, models).values()
    best = min(values, key=column.rank) if column.best and len(values) > 1 else math.nan
    return [(column.write(figures[name]), figures[name] == best) for figures in models.values()]


def columns_of(table: Table, models: Mapping[str, Figures]) -> dict[str, Column]:
    """Returns the columns of a table that any model has a figure for, by the figure's name."""
    columns = {
        name: entry.column
        for name, entry in table.entries.items()
        if any(figures[name] is not None for figures in models.values())
    }
    return dict(sorted(columns.items(), key=lambda item: item[1].place))


def summary_columns(models: Mapping[str, Figures]) -> dict[str, Column]:
    """Returns the most telling columns, with titles that need no table's above them."""
    return {
        name: column._replace(title=column.summary, unit="")
        for table in TABLES
        for name, column in columns_of(table, models).items()
        if column.summary
    }


def describe_figures(figures: Figures) -> str:
    """Writes all figures of a model, table by table, as lines of text."""
    lines = []
    for table in TABLES:
        if columns := columns_of(table, {"": figures}):
            lines.append(f"\n{table.title}")
        for name, column in columns.items():
            lines.append(f"  {column.heading:<20} {column.write(figures[name]):>10}")
    return "\n".join(lines)


def describe_models(models: Mapping[str, Figures]) -> str:
    """Writes the summary as lines of text, the best of each column with a star."""
    columns = [["", *models]]
    for name, column in summary_columns(models).items():
        written = cells(name, column, models)
        columns.append([column.title, *(text + "*" * best for text, best in written)])
    widths = [max(map(len, column)) for column in columns]
    rows = [
        "  ".join([model.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])])
        for model, *numbers in zip(*columns, strict=True)
    ]
    return "\n".join(row.rstrip() for row in rows)
