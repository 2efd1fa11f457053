"""The loss that training minimises: a reconstruction term and the KL divergence."""

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, TypeAlias, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easyvae.core.checks import as_floats, as_weight, at_least_float32, check_tensor
from easyvae.losses.reconstruction import Output, ReconstructionTerm, as_term, name_of, weigh


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


BetaSchedule: TypeAlias = Callable[[float], float]


class LossTerms(NamedTuple):
    """A loss and its parts, in nats.

    Attributes:
        total: `reconstruction + beta * kl` (with free bits, what they make of it).
        reconstruction: Negative log-likelihood of the images, up to the constants named there.
        kl: KL divergence of the posteriors from the prior.
    """

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


class BetaLoss(nn.Module):
    """The loss of a beta-VAE: `reconstruction + beta * kl`, in nats.

    Summed over an image's values and latent dimensions, and averaged over the batch. So
    `beta=1` with "bce" is the negative ELBO, whatever the image or batch size, and a beta found
    for one size can be compared with any other.

    Args:
        beta: Weight of the KL divergence, at least 0. Below 1 the reconstructions get sharper,
            above 1 the latents come closer to the prior. Or a schedule for `fit`, a function of
            the share of the training done, from 0 to 1: see `easyvae.losses.LinearWarmup`.
        reconstruction: "bce" (Bernoulli, from logits), "mse" (half the squared error), "l1"
            (absolute error), "gaussian" (normal with the best shared variance), or a callable
            `(output, x) -> (N,)`, such as `easyvae.losses.LaplacianPyramid`.
        free_bits: Nats that each latent dimension may hold on average over the batch before
            `total` is charged for them; at least 0. The KL in the terms remains the true one.
        reduction: "mean" or "sum" over the batch, or "none": one value per image, (N,).

    Raises:
        ValueError: If an argument is out of its range or unknown.
        TypeError: If `beta` or `free_bits` is not a number.

    Example:
        >>> from easyvae import VAE
        >>> model, x = VAE(channels=[8, 16], latent=4, image_size=16), torch.rand(2, 3, 16, 16)
        >>> loss = BetaLoss(beta=0.1)
        >>> loss(model(x), x).ndim
        0
        >>> loss.terms(model(x), x)._fields
        ('total', 'reconstruction', 'kl')

    Reference:
        I. Higgins et al., "beta-VAE", 2017, https://openreview.net/forum?id=Sy2fzU9gl; free bits:
        D. Kingma et al., "Improving Variational Inference with Inverse Autoregressive Flow",
        2016, https://arxiv.org/abs/1606.04934
    """

    def __init__(
        self,
        beta: float | BetaSchedule = 1.0,
        *,
        reconstruction: Literal["bce", "mse", "l1", "gaussian"] | ReconstructionTerm = "bce",
        free_bits: float = 0.0,
        reduction: Literal["mean", "sum", "none"] = "mean",
    ) -> None:
        super().__init__()
        as_term("reconstruction", reconstruction)
        if reduction not in ("mean", "sum", "none"):
            raise ValueError(f"`reduction` (={reduction!r}) must be 'mean', 'sum' or 'none'")
        self.schedule = beta if callable(beta) else None
        #: The weight in use. With a schedule it is its last value until `fit` sets another.
        self.beta = as_weight("beta", beta(1.0) if callable(beta) else beta)
        self.reconstruction = reconstruction
        self.free_bits = as_weight("free_bits", free_bits)
        self.reduction = reduction

    def beta_at(self, progress: float) -> float:
        """Returns the beta for a share of the training done, from 0 to 1."""
        return self.beta if self.schedule is None else as_weight("beta", self.schedule(progress))

    def forward(self, output: Output, x: Tensor) -> Tensor:
        """Computes the loss of a model's output.

        Args:
            output: What `model(x)` returned.
            x: The images, (N, C, *spatial): float in the data's range, or uint8.

        Returns:
            A scalar, or (N,) with `reduction="none"`.

        Raises:
            ValueError: If the shapes differ, or a target of "bce" is outside [0, 1].
        """
        return self.terms(output, x).total

    def terms(self, output: Output, x: Tensor) -> LossTerms:
        """Computes the loss and its two parts, reduced alike."""
        terms = self.per_image(output, x)
        if self.reduction == "none":
            return terms
        return LossTerms(*(t.mean() if self.reduction == "mean" else t.sum() for t in terms))

    def per_image(self, output: Output, x: Tensor) -> LossTerms:
        """Computes the loss and its two parts for each image, (N,), whatever `reduction` says."""
        term = as_term("reconstruction", self.reconstruction)
        with torch.autocast(output.reconstruction.device.type, enabled=False):
            output, x = cast("Output", _Widened(output)), _prepare_target(output, x)
            reconstruction = term(output, x)
            check_tensor("reconstruction(output, x)", reconstruction)
            if reconstruction.shape != x.shape[:1]:
                raise ValueError(
                    f"`reconstruction` returned {tuple(reconstruction.shape)}; it must return "
                    f"one value per image, ({len(x)},)"
                )
            per_dim = kl_divergence(output.mean, output.log_var).flatten(1)  # (N, D)
            charged = kl = per_dim.sum(1)
            if self.free_bits:
                # A dimension below the threshold costs the threshold, and its gradient cancels.
                free = min(self.free_bits, torch.finfo(kl.dtype).max)
                charged = kl + (free - per_dim.mean(0)).clamp(min=0).sum()
            return LossTerms(reconstruction + weigh(self.beta, charged), reconstruction, kl)

    def extra_repr(self) -> str:
        """Shows the arguments."""
        beta = f"{self.beta:g}" if self.schedule is None else name_of(self.schedule)
        free = f", free_bits={self.free_bits:g}" if self.free_bits else ""
        return f"beta={beta}, reconstruction={name_of(self.reconstruction)!r}{free}"


class _Widened:
    """An output whose images are float32 or wider: half-precision sums of them are no good.

    `kl_divergence` widens the posteriors itself, and must see the dtype whose range it minds.
    """

    def __init__(self, output: Output) -> None:
        self._output = output

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._output, name)
        return at_least_float32(value) if name in ("reconstruction", "logits") else value


def _prepare_target(output: Output, x: Tensor) -> Tensor:
    """Checks the images' shape, and brings them to the output's device and to floats."""
    check_tensor("x", x)
    if x.shape != output.reconstruction.shape:
        raise ValueError(
            f"`x` {tuple(x.shape)} must have the shape of the reconstruction "
            f"{tuple(output.reconstruction.shape)}"
        )
    if x.shape[0] == 0:
        raise ValueError(f"`x` {tuple(x.shape)} must have at least one image")
    return at_least_float32(as_floats(x, device=output.reconstruction.device))
