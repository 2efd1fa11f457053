"""The reconstruction terms: one small function each, summed over an image.

Of finite numbers none of them is NaN. A sum beyond the range of its type is infinite, and no
largest number instead: training has to notice, as the gradient of a capped loss would be zero.
"""

import math
import re
from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor


class Output(Protocol):
    """What the loss reads of a model's output, see `VAEOutput`."""

    @property
    def reconstruction(self) -> Tensor:
        """Images in the data's range, (N, C, *spatial)."""

    @property
    def logits(self) -> Tensor:
        """What the decoder gave before the output function, (N, C, *spatial)."""

    @property
    def mean(self) -> Tensor:
        """Posterior means, (N, D)."""

    @property
    def log_var(self) -> Tensor:
        """Logarithms of the posterior variances, (N, D)."""


ReconstructionTerm: TypeAlias = Callable[[Output, Tensor], Tensor]


def bernoulli_nll(output: Output, x: Tensor) -> Tensor:
    """Computes the binary cross-entropy from logits: `sum(softplus(l) - x l)`, (N,).

    For `x` of 0 and 1 it is the negative log-likelihood of a Bernoulli variable per value. For
    values between, it is the same expression and a good loss, but not a normalised likelihood:
    its least value is the entropy of `x`, not 0.

    Raises:
        ValueError: If a value of `x` lies outside [0, 1].

    Reference:
        G. Loaiza-Ganem and J. Cunningham, "The continuous Bernoulli", 2019,
        https://arxiv.org/abs/1907.06845
    """
    low, high = x.aminmax()
    # `not ... and`: also when there is a NaN. An exported program cannot look at values.
    if not torch.compiler.is_exporting() and not (low >= 0 and high <= 1):
        raise ValueError(
            f"`x` has values from {float(low):g} to {float(high):g}, but `reconstruction`='bce' "
            "needs targets in [0, 1]; scale the data (uint8 is scaled for you), or use 'mse' "
            "with a model of output='identity'"
        )
    loss = F.binary_cross_entropy_with_logits(output.logits, x, reduction="none")
    return sum_image(loss)


def squared_error(output: Output, x: Tensor) -> Tensor:
    """Computes half the squared error, `sum((x - r)^2) / 2`, (N,).

    The negative log-likelihood of a normal variable of variance 1 per value, without its
    constant `log(2 pi) / 2`.
    """
    return sum_image((output.reconstruction - x).square()) / 2


def absolute_error(output: Output, x: Tensor) -> Tensor:
    """Computes the absolute error, `sum(|x - r|)`, (N,).

    The negative log-likelihood of a Laplace variable of scale 1 per value, without its constant
    `log(2)`.
    """
    return sum_image((output.reconstruction - x).abs())


def gaussian_nll(output: Output, x: Tensor) -> Tensor:
    """Computes the negative log-likelihood under a normal of the best shared variance, (N,).

    The variance is one number for all values of the batch, the one that makes the batch most
    likely: its mean squared error. Constants included, `n` values per image:

        (n log(2 pi var) + sum((x - r)^2) / var) / 2,    var = mean((x - r)^2)

    The variance is taken to be at least 1e-7, so that a perfect batch has a finite loss. Errors
    whose squares would be infinite are computed in a larger unit: of them the loss is finite too.

    Reference:
        O. Rybkin et al., "Simple and Effective VAE Training with Calibrated Decoders", 2020,
        https://arxiv.org/abs/2006.13202
    """
    unit = unit_of(x, output.reconstruction)
    error = sum_image((output.reconstruction / unit - x / unit).square())
    size = x[0].numel()
    # At the optimum the loss does not change with the variance, so no gradient is lost here.
    variance = (error.detach().mean() / size).clamp(min=1e-7)
    log_variance = variance.log() + 2 * unit.log()
    return (size * (math.log(2 * math.pi) + log_variance) + error / variance) / 2


RECONSTRUCTION_TERMS: dict[str, ReconstructionTerm] = {
    "bce": bernoulli_nll,
    "gaussian": gaussian_nll,
    "l1": absolute_error,
    "mse": squared_error,
}


def as_term(name: str, term: object) -> ReconstructionTerm:
    """Returns the function that a term's name stands for, or the callable itself."""
    if callable(term):
        return term
    if isinstance(term, str) and term in RECONSTRUCTION_TERMS:
        return RECONSTRUCTION_TERMS[term]
    raise ValueError(
        f"`{name}` (={term!r}) must be one of {', '.join(map(repr, RECONSTRUCTION_TERMS))}, "
        "or a callable (output, x) -> (N,)"
    )


def unit_of(x: Tensor, y: Tensor) -> Tensor:
    """Returns 1, or the largest magnitude where squares may be beyond the range, as a constant."""
    with torch.no_grad():
        largest = torch.maximum(x.abs().amax(), y.abs().amax())
        return torch.where((largest > 1e15) & largest.isfinite(), largest, 1)


def sum_image(x: Tensor) -> Tensor:
    """Sums (N, C, *spatial) over all but the first dimension."""
    return x.flatten(1).sum(1)


def name_of(function: object) -> str:
    """Names a term or a schedule, the same in every process: without its address."""
    if isinstance(function, str):
        return function
    default = type(function).__repr__ is object.__repr__
    name = getattr(function, "__name__", type(function).__name__ if default else repr(function))
    return re.sub(r" at 0x[0-9a-fA-F]+", "", name)


def weigh(weight: float, value: Tensor) -> Tensor:
    """Returns `weight * value`, for a value of at least 0, without the NaN of 0 times infinity."""
    most = torch.finfo(value.dtype).max
    return min(weight, most) * (value if weight else value.clamp(max=most))
