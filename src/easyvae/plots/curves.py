"""Figures of numbers: of a training, and of models side by side."""

from collections.abc import Mapping
from itertools import cycle
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

from easyvae.plots.style import COLOURS, TRAINING, VALIDATION, new_figure, tidy

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Columns(Protocol):
    """What can be drawn over the epochs: an `easyvae.History`, or a table of the same columns."""

    def __len__(self) -> int: ...

    def __getitem__(self, column: str) -> list[float | int | None]: ...


def plot_history(history: Columns) -> "Figure":
    """Draws the loss, its reconstruction term and its KL term over the epochs.

    Args:
        history: What `fit` returned.

    Raises:
        ValueError: If the history has no epochs.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> from easyvae import VAE, fit
        >>> model = VAE(channels=[8], latent=2, image_size=8)
        >>> history = fit(model, torch.rand(40, 3, 8, 8), epochs=2, progress=False)
        >>> figure = plot_history(history)
    """
    if not len(history):
        raise ValueError("`history` has no epochs yet")
    figure = new_figure(11, 3.2)
    parts = {"loss": "loss", "reconstruction": "reconstruction", "kl": "KL divergence"}
    uses = (("train", "training", TRAINING), ("val", "validation", VALIDATION))
    for axes, (part, name) in zip(figure.subplots(1, 3), parts.items(), strict=True):
        for use, label, shade in uses:
            values = history[f"{use}_{part}"]
            if values[0] is not None:
                marker = "o" if len(values) < 3 else None
                axes.plot(history["epoch"], values, label=label, color=shade, marker=marker)
        axes.set_title(name, loc="left", fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        tidy(axes)
    figure.axes[0].set_ylabel("nats per image")
    figure.axes[0].legend(frameon=False)
    return figure


def plot_rate_distortion(points: Mapping[str, tuple[float, float]]) -> "Figure":
    """Draws what models give away against what they keep: a point for each.

    Args:
        points: The KL divergence and the mean squared error of each model, by its name.

    Returns:
        KL divergence in nats to the right, mean squared error upwards: lower left is better.

    Raises:
        ValueError: If there are no points.
        ImportError: If matplotlib is not installed.

    Example:
        >>> figure = plot_rate_distortion({"beta 1": (30.0, 0.02), "beta 0.1": (90.0, 0.01)})
    """
    if not points:
        raise ValueError("`points` must hold at least one model")
    figure = new_figure(6, 4.2)
    axes = figure.add_subplot()
    for (name, (rate, distortion)), colour in zip(points.items(), cycle(COLOURS), strict=False):
        axes.plot(rate, distortion, "o", color=colour, markersize=8)
        text = axes.annotate(name, (rate, distortion), (7, 5), textcoords="offset points")
        text.set(fontsize=9, parse_math=False)
    axes.set(xlabel="rate: KL divergence, nats per image", ylabel="distortion: mean squared error")
    axes.margins(0.15)
    tidy(axes)
    return figure


def plot_latents(kl_per_dimension: Mapping[str, Tensor]) -> "Figure":
    """Draws how much each latent of each model holds, the fullest first.

    Args:
        kl_per_dimension: Each latent's average KL divergence in nats, (D,), by model.

    Raises:
        ValueError: If there are no models.
        ImportError: If matplotlib is not installed.

    Example:
        >>> import torch
        >>> figure = plot_latents({"beta 1": torch.tensor([2.0, 0.1, 0.0])})
    """
    if not kl_per_dimension:
        raise ValueError("`kl_per_dimension` must hold at least one model")
    figure = new_figure(6, 4.2)
    axes = figure.add_subplot()
    for (name, values), colour in zip(kl_per_dimension.items(), cycle(COLOURS), strict=False):
        ordered = values.sort(descending=True).values.clamp(min=1e-4)
        axes.plot(range(1, len(ordered) + 1), ordered.tolist(), label=name, color=colour)
    axes.set(yscale="log", xlabel="latents, the fullest first", ylabel="KL divergence, nats")
    tidy(axes)
    axes.legend(frameon=False, fontsize=9)
    return figure
