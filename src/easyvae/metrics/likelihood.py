"""Log-likelihoods and log-densities, in nats and in bits."""

import math
from collections.abc import Sequence
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from easyvae.checks import check_floats, widest
from easyvae.geometry import as_int
from easyvae.metrics.checks import as_floats, check_same_shape

Nats = TypeVar("Nats", float, Tensor)


def bits_per_dimension(nats: Nats, shape: int | Sequence[int]) -> Nats:
    """Turns nats per image into bits per value of the image: `nats / (log(2) n)`.

    For images of 256 levels that a density sees as values in [0, 1], a bit rate of the levels
    takes 8 bits more: the density of a value in [0, 1] is 256 times that of a level.

    Args:
        nats: A negative log-likelihood, or its bound the negative ELBO, of whole images: a
            number or a tensor of any shape.
        shape: The shape of one image, (C, *spatial), or its number of values.

    Returns:
        The same kind and shape as `nats`.

    Raises:
        ValueError: If a size is below 1 or has a fraction.
        TypeError: If a size is not a number.

    Example:
        >>> bits_per_dimension(12288 * math.log(2), (3, 64, 64))
        1.0
    """
    sizes = [shape] if not isinstance(shape, Sequence) else shape
    return nats / (math.log(2) * math.prod(as_int("shape", size) for size in sizes))


def bernoulli_log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """Computes the log-likelihood of images under independent Bernoulli values.

        log p(x) = sum(x l - softplus(l))

    Exact for `x` of 0 and 1. For values between, it is the usual expression of VAEs, but no
    normalised likelihood.

    Args:
        logits: Log-odds of each value, (N, *).
        x: Images of the same shape, float in [0, 1] or uint8.

    Returns:
        (N,), in nats, at most 0, in float64.

    Raises:
        ValueError: If the shapes differ, or a value of `x` lies outside [0, 1].
        TypeError: If `logits` is not a float tensor.

    Example:
        >>> bernoulli_log_likelihood(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8)) / 192
        tensor([-0.6931], dtype=torch.float64)
    """
    check_floats("logits", logits)
    check_same_shape(("logits", "x"), logits, x)
    # Each value in float32 or wider, and the many of an image summed in the widest.
    logits = logits if logits.dtype == torch.float64 else logits.float()
    x = as_floats(x, logits.dtype, logits.device)
    if not bool(((x >= 0) & (x <= 1)).all()):  # also when there is a NaN
        low, high = x.aminmax()
        raise ValueError(
            f"`x` has values from {low.item():g} to {high.item():g}; they must be in [0, 1]: "
            "scale the data (uint8 is scaled for you)"
        )
    loss = F.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return -loss.flatten(1).sum(1, dtype=widest(loss.device))


def normal_log_density(
    z: Tensor, mean: Tensor | float = 0.0, log_var: Tensor | float = 0.0
) -> Tensor:
    """Computes the log-density of rows under independent normal values.

        log N(z) = -sum(log(2 pi) + log_var + (z - mean)^2 / exp(log_var)) / 2

    Args:
        z: Latents (N, D), or images (N, C, *spatial).
        mean: Means, the same shape, or one number.
        log_var: Logarithms of the variances, the same shape, or one number.

    Returns:
        (N,), in nats, in float64.

    Raises:
        ValueError: If the shapes differ.
        TypeError: If `z` is not a float tensor.

    Example:
        >>> normal_log_density(torch.zeros(1, 2))  # -log(2 pi)
        tensor([-1.8379], dtype=torch.float64)
    """
    check_floats("z", z)
    wide = widest(z.device)
    for name, parameter in (("mean", mean), ("log_var", log_var)):
        if isinstance(parameter, Tensor):
            check_same_shape(("z", name), z, parameter)
    m = torch.as_tensor(mean, dtype=wide, device=z.device)
    v = torch.as_tensor(log_var, dtype=wide, device=z.device)
    most = torch.finfo(wide).max  # in place of infinity, which times 0 would be NaN
    squares = (z.to(wide) - m).square().clamp(max=most)
    terms = math.log(2 * math.pi) + v + squares * torch.exp(-v).clamp(max=most)
    return -terms.flatten(1).sum(1) / 2
