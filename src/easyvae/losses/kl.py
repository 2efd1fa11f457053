"""The KL divergence from the prior."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def kl_divergence(mean: Tensor, log_var: Tensor) -> Tensor:
    """Computes the KL divergence of `N(mean, exp(log_var))` from `N(0, 1)`, element by element.

        KL = (mean^2 + exp(log_var) - 1 - log_var) / 2

    In float32 or wider whatever the input's dtype. Where `exp` nears the end of the range, it
    goes on along its tangent: from log-variances of 11 in float16 (whose gradient must fit too),
    60 in bfloat16 and float32 and 600 in float64. The result stays finite there, with a
    gradient that still points back. Squares of means beyond the range are infinite.

    Args:
        mean: Any shape, usually (N, D).
        log_var: The same shape.

    Returns:
        The same shape, in nats, each element at least 0.

    Example:
        >>> kl_divergence(torch.tensor([1.0]), torch.tensor([0.0]))
        tensor([0.5000])

    Reference:
        D. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2013, appendix B,
        https://arxiv.org/abs/1312.6114
    """
    limit = {torch.float16: 11.0, torch.float64: 600.0}.get(log_var.dtype, 60.0)
    mean, log_var = at_least_float32(mean), at_least_float32(log_var)
    inside = log_var.clamp(max=limit)
    # expm1(v) - v instead of exp(v) - 1 - v: near v = 0 the latter is all rounding. What is left
    # of rounding may be negative by an ulp, where the clamp takes away no gradient to speak of.
    variance = (torch.expm1(inside) - inside).clamp(min=0)
    # Not `log_var - inside`, whose two gradients cancel to zero only after drowning all others.
    beyond = F.relu(log_var - limit) * (math.exp(limit) - 1)
    # Halved before the product, whose gradient by the largest means would be infinite.
    return mean * (mean / 2) + (variance + beyond) / 2


def at_least_float32(x: Tensor) -> Tensor:
    """Returns float64 as it is, and anything else in float32."""
    return x if x.dtype == torch.float64 else x.float()
