"""The distribution that an encoder gives an image, and how to sample it."""

from typing import NamedTuple

import torch
from torch import Tensor

from easyvae.checks import check_floats


class Posterior(NamedTuple):
    """The normal distribution that an encoder gives each image: `q(z|x)`.

    Attributes:
        mean: Means, (N, D).
        log_var: Natural logarithms of the variances, (N, D).
    """

    mean: Tensor
    log_var: Tensor


def reparameterize(
    mean: Tensor, log_var: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """Samples a normal distribution so that gradients reach its mean and its variance.

        z = mean + exp(log_var / 2) * eps,    eps ~ N(0, I)

    Args:
        mean: Any shape, usually (N, D).
        log_var: The same shape.
        generator: Source of the noise, on the tensors' device; the global one by default.

    Returns:
        A sample of the shape and dtype of `mean`, infinite where it lies beyond the dtype's range:
        training has to notice.

    Raises:
        TypeError: If `mean` or `log_var` is not a float tensor.
        ValueError: If their shapes differ.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> reparameterize(torch.zeros(2, 3), torch.zeros(2, 3), generator=g).shape
        torch.Size([2, 3])

    Reference:
        D. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2013,
        https://arxiv.org/abs/1312.6114
    """
    check_floats("mean", mean)
    check_floats("log_var", log_var)
    if mean.shape != log_var.shape:
        raise ValueError(
            f"`mean` {tuple(mean.shape)} and `log_var` {tuple(log_var.shape)} must have one shape"
        )
    eps = torch.empty_like(mean).normal_(generator=generator)
    # A noise of 0 times an infinite deviation would be NaN.
    deviation = torch.exp(log_var / 2).clamp(max=torch.finfo(log_var.dtype).max)
    return mean + deviation * eps
