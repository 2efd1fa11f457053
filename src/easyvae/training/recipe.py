"""The default recipe: what `fit` does where it is not told otherwise."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader

from easyvae.core.checks import as_int
from easyvae.data import Warp
from easyvae.losses import BetaLoss, LaplacianPyramid
from easyvae.model import VAE
from easyvae.training.optim import DEFAULT_BATCH_SIZE

MIXING_BETA = 0.5
"""Below this beta a model is for mixing and drawing, from it on for its data's likelihood."""


@dataclass(frozen=True)
class Recipe:
    """How a model is trained, when all choices are made."""

    peak_lr: float | None  # of the default optimizer; a user's sets its own
    dtype: torch.dtype  # of the convolutions in training
    seed: int  # of the noise and the warps
    steps: int  # in all, which the schedules span
    warp: Warp | None = None  # how pictures are bent, if they are


def choose_warp(
    warp: Warp | Literal["auto"] | None, models: Sequence[tuple[VAE, BetaLoss]]
) -> Warp | None:
    """Returns what "auto" stands for, see `fit`: one for all models that are compared."""
    if warp != "auto":
        return warp
    mixing = any(loss.beta_at(1.0) < MIXING_BETA for _, loss in models)
    return Warp() if mixing and all(_is_usual(*pair) for pair in models) else None


def _is_usual(model: VAE, loss: BetaLoss) -> bool:
    # So that what lies between two latents can take the place of a model's output.
    term = loss.reconstruction
    usual = isinstance(term, str | LaplacianPyramid) and type(loss) is BetaLoss
    return usual and type(model).forward is VAE.forward and len(model.input_shape) > 2


def choose_batch_size(batch_size: int | None, data: Any, warp: Warp | None) -> int:
    """Returns the images of a step: with warps half as many by default, each of them twice."""
    if batch_size is not None and isinstance(data, DataLoader):
        warnings.warn(
            f"`batch_size` (={batch_size!r}) stands beside a DataLoader, which makes batches of "
            f"{data.batch_size or 'its own'}: those are used for training",
            stacklevel=3,
        )
    usual = DEFAULT_BATCH_SIZE if warp is None else DEFAULT_BATCH_SIZE // 2
    return as_int("batch_size", usual if batch_size is None else batch_size)
