"""What a comparison returns: its models, their figures, and the files they are saved in."""

import json
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from easyvae.comparison.report import render_report, render_table
from easyvae.core.checks import as_floats
from easyvae.core.files import write_file
from easyvae.core.version import __version__
from easyvae.evaluation import Evaluation, Figures
from easyvae.evaluation.figures import as_finite, describe_models, summary_columns
from easyvae.latents import eval_mode, interpolate
from easyvae.losses import BetaLoss
from easyvae.model import VAE
from easyvae.plots import plot_grid, plot_latents, plot_rate_distortion
from easyvae.plots.style import encode_figure
from easyvae.training import History

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def file_name(name: str) -> str:
    """Returns a file name without an ending for a model's name.

    Example:
        >>> file_name("beta 0.05"), file_name("../v3")
        ('beta-0.05', 'v3')
    """
    name = unicodedata.normalize("NFC", name)
    return re.sub(r"[^\w.]+", "-", name).strip("-.") or "model"


@dataclass(frozen=True)
class Result:
    """A model of a comparison, and what is known of it.

    Attributes:
        model: The model, trained.
        loss: What it was trained with; `None` if it came trained.
        history: Of its training, likewise.
        evaluation: What it measures on the held-out pictures.
    """

    model: VAE
    loss: BetaLoss | None
    history: History | None
    evaluation: Evaluation


@dataclass(eq=False)
class Comparison:
    """Models that were trained and measured alike; what `compare` returns.

    Attributes:
        results: A `Result` for each model, by its name.
        pictures: Some of the held-out pictures, (n, C, *spatial).
        facts: What the models have in common: data, split, epochs, seed.
        out: The folder of the comparison, if it has one.
    """

    results: dict[str, Result]
    pictures: Tensor
    facts: dict[str, Any]
    out: Path | None = None

    def __getitem__(self, name: str) -> Result:
        """Returns a model's result, or raises a `KeyError` that lists the models."""
        if name not in self.results:
            raise KeyError(f"no model {name!r}; there are {', '.join(map(repr, self.results))}")
        return self.results[name]

    def __len__(self) -> int:
        return len(self.results)

    def __iter__(self) -> Iterator[str]:
        return iter(self.results)

    @property
    def table(self) -> dict[str, Figures]:
        """The figures of each model, by its name."""
        return {name: result.evaluation.figures for name, result in self.results.items()}

    def __repr__(self) -> str:
        return describe_models(self.table)

    def _repr_html_(self) -> str:
        """Shows the same in a notebook, the best of each column in bold."""
        return render_table(summary_columns(self.table), self.table)

    def figure_reconstructions(self, count: int = 8) -> "Figure":
        """Draws held-out pictures, one per row: the original, then each model's reconstruction.

        Raises:
            ValueError: If the data are not pictures.
            ImportError: If matplotlib is not installed.
        """
        x = self.pictures[:count]
        columns = [as_floats(x)]
        columns += [result.model.reconstruct(x).cpu() for result in self.results.values()]
        return plot_grid(torch.stack(columns, 1), column_labels=["original", *self.results])

    def figure_interpolations(
        self, a: int = 0, b: int = 1, *, steps: int = 8, method: Literal["slerp", "lerp"] = "lerp"
    ) -> "Figure":
        """Draws each model's way from one held-out picture to another, one model per row.

        The first and the last column are the two originals; the frames between them begin and end
        with the model's reconstructions.

        Args:
            a: Which of `pictures` to start from.
            b: Which of them to end with.
            steps: Frames between the originals.
            method: "slerp" or "lerp".

        Raises:
            ValueError: If the data are not pictures.
            ImportError: If matplotlib is not installed.
        """
        rows = []
        start, end = self.pictures[a], self.pictures[b]
        for result in self.results.values():
            frames = interpolate(result.model, start, end, steps, method=method).cpu()
            rows.append(torch.stack([as_floats(start), *frames, as_floats(end)]))
        labels = ["original", *[""] * steps, "original"]
        return plot_grid(torch.stack(rows), row_labels=list(self.results), column_labels=labels)

    def figure_samples(self, count: int = 8) -> "Figure":
        """Draws new pictures of each model: from the prior, then from a Gaussian mixture.

        Raises:
            ValueError: If the data are not pictures.
            ImportError: If matplotlib is not installed.
        """
        rows: list[Tensor] = []
        labels: list[str] = []
        for name, result in self.results.items():
            model, mixture = result.model, result.evaluation.mixture
            drawn = {f"{name}, prior": torch.randn(count, model.latent, generator=_generator())}
            if mixture is not None:
                drawn["mixture"] = mixture.sample(count, generator=_generator())
            with eval_mode(model), torch.no_grad():
                rows += [model.decode(z).cpu() for z in drawn.values()]
            labels += drawn
        return plot_grid(torch.stack(rows), row_labels=labels)

    def figure_rate_distortion(self) -> "Figure":
        """Draws each model's mean squared error against its KL divergence.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        points = {
            name: (kl, mse)
            for name, figures in self.table.items()
            if (kl := figures["kl"]) is not None and (mse := figures["mse"]) is not None
        }
        return plot_rate_distortion(points)

    def figure_latents(self) -> "Figure":
        """Draws how many nats each latent of each model holds, the fullest first.

        Raises:
            ImportError: If matplotlib is not installed.
        """
        return plot_latents(
            {name: result.evaluation.kl_per_dimension for name, result in self.results.items()}
        )

    def save(self, folder: str | PathLike[str] | None = None) -> Path:
        """Writes the report and all that belongs to it; each file is written whole or not at all.

        The folder gets `report.html`, which holds its pictures and needs no other file,
        `results.json`, a PNG of each figure, and `models/` with each model as it was measured:
        with the last epoch's weights.

        Args:
            folder: Where to; the comparison's own folder if it has one.

        Returns:
            The path of `report.html`.

        Raises:
            ValueError: If there is no folder.
            ImportError: If matplotlib is not installed.
            TypeError: If a model has a factory for an argument, which no file can hold.
        """
        folder = self.out if folder is None else Path(folder)
        if folder is None:
            raise ValueError("`folder` (=None) must be a path: the comparison has none of its own")
        (folder / "models").mkdir(parents=True, exist_ok=True)
        for name, result in self.results.items():
            result.model.save(folder / "models" / f"{file_name(name)}.safetensors")
        figures = {"rate_distortion": self.figure_rate_distortion()}
        figures["latents"] = self.figure_latents()
        if self.pictures.ndim == 4 and self.pictures.shape[1] in (1, 3):
            figures["reconstructions"] = self.figure_reconstructions()
            last = len(self.pictures) - 1
            figures["interpolations"] = self.figure_interpolations(0, min(1, last))
            figures["samples"] = self.figure_samples()
        drawn = {name: encode_figure(figure) for name, figure in figures.items()}
        for name, data in drawn.items():
            write_file(folder / f"{name}.png", data)
        record = self.record()
        text = json.dumps(record, indent=1, allow_nan=False)
        write_file(folder / "results.json", (text + "\n").encode())
        write_file(folder / "report.html", render_report(record, drawn).encode())
        return folder / "report.html"

    def record(self) -> dict[str, Any]:
        """Returns all figures and settings as a JSON-able dict: what `results.json` holds."""
        models = {}
        for name, result in self.results.items():
            history, evaluation = result.history, result.evaluation
            models[name] = {
                "config": result.model.config,
                "parameters": sum(p.numel() for p in result.model.parameters()),
                "loss": None if result.loss is None else repr(result.loss),
                "beta": None if result.loss is None else result.loss.beta,
                "epochs": None if history is None else len(history),
                "seconds": None if history is None else sum(row["seconds"] for row in history),
                "figures": {f: as_finite(value) for f, value in evaluation.figures.items()},
                "kl_per_dimension": list(map(as_finite, evaluation.kl_per_dimension.tolist())),
            }
        return {"easyvae": __version__, "facts": self.facts, "models": models}


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)
