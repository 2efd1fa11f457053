"""What the latents of a model hold, dimension by dimension."""

import math

import torch
from torch import Tensor

from easyvae.core.checks import check_rows, check_same_shape, unit_for, widest


def kl_per_dimension(mean: Tensor, log_var: Tensor) -> Tensor:
    """Computes the KL divergence from the prior of each latent dimension, averaged over images.

    It is how many nats each dimension tells about an image; near 0, it tells nothing. The sum
    is the average KL divergence of the whole posterior.

    Args:
        mean: Posterior means, (N, D).
        log_var: Logarithms of the posterior variances, (N, D).

    Returns:
        (D,), in nats, at least 0, in float64.

    Raises:
        ValueError: If the shapes differ, or there is no image.
        TypeError: If an argument is not a float tensor.

    Example:
        >>> kl_per_dimension(torch.tensor([[0.0, 2.0], [0.0, 0.0]]), torch.zeros(2, 2))
        tensor([0., 1.], dtype=torch.float64)
    """
    check_rows("mean", mean)
    check_rows("log_var", log_var)
    check_same_shape(("mean", "log_var"), mean, log_var)
    wide = widest(mean.device)
    m, v = mean.to(wide), log_var.to(mean.device, wide)
    # expm1(v) - v is accurate for small v too; what rounding leaves may be below 0 by an ulp.
    variance = (torch.expm1(v) - v).clamp(min=0)
    return (m.square() + variance).mean(0) / 2


def active_units(mean: Tensor, threshold: float = 0.01) -> int:
    """Counts the latent dimensions that depend on the image.

    A dimension is active where the variance of its posterior mean over the images is above the
    threshold. The others have collapsed to the prior: the decoder gets noise from them.

    Args:
        mean: Posterior means, (N, D), of many images.
        threshold: Variance from which a dimension counts, at least 0.

    Returns:
        A number from 0 to D.

    Raises:
        ValueError: If the shape is wrong, or the threshold is negative.
        TypeError: If `mean` is not a float tensor.

    Example:
        >>> active_units(torch.tensor([[1.0, 0.01], [-1.0, -0.01]]))
        1

    Reference:
        Y. Burda et al., "Importance Weighted Autoencoders", 2015,
        https://arxiv.org/abs/1509.00519
    """
    check_rows("mean", mean)
    if not (math.isfinite(threshold) and threshold >= 0):
        raise ValueError(f"`threshold` (={threshold}) must be finite and at least 0")
    unit = unit_for(mean)
    variance = (mean.to(widest(mean.device)) / unit).var(0, correction=0)
    return int((variance > threshold / unit / unit).sum().item())
