"""Log-likelihoods and log-densities, in nats and in bits, and bounds on them."""

import math
from collections.abc import Callable, Sequence
from typing import TypeAlias, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from easyvae.core.checks import (
    as_floats,
    as_int,
    check_floats,
    check_rows,
    check_same_shape,
    widest,
)

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


LogLikelihood: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""Given latents (n, D) and as many images (n, C, *spatial): `log p(x|z)` in nats, (n,)."""


@torch.no_grad()
def importance_weighted_log_likelihood(
    x: Tensor,
    posterior_mean: Tensor,
    posterior_log_var: Tensor,
    log_likelihood: LogLikelihood,
    *,
    samples: int = 200,
    chunk: int = 256,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Estimates `log p(x)` of each image from below, by importance sampling from its posterior.

        log p(x) >= E[log(1/K sum_k p(x|z_k) p(z_k) / q(z_k|x))],    z_k ~ q(z|x)

    For one sample it is the ELBO; it rises with the samples, towards `log p(x)`. The result is
    one draw of what stands in the expectation. The prior is `N(0, I)`. Without gradient; put the
    model in eval mode first.

    Args:
        x: Images, (N, C, *spatial).
        posterior_mean: Means of `q(z|x)`, (N, D), such as `model.encode(x)` returns.
        posterior_log_var: Logarithms of its variances, (N, D).
        log_likelihood: A function of latents (n, D) and as many images (n, C, *spatial) that
            returns `log p(x|z)` in nats, (n,), all constants included.
        samples: Samples per image, K.
        chunk: The most latents to decode at a time. It changes the memory, not the draw.
        generator: Source of the noise; the global one of the latents' device by default.

    Returns:
        (N,), in nats, accumulated in float64.

    Raises:
        ValueError: If the shapes do not fit, or a count is below 1 or has a fraction.
        TypeError: If a posterior is not a float tensor, or a count not a number.

    Example:
        >>> from easyvae import VAE
        >>> model, x = VAE(channels=[8], latent=2, image_size=8).eval(), torch.ones(4, 3, 8, 8)
        >>> def log_likelihood(z, x):
        ...     return bernoulli_log_likelihood(model.decoder(z), x)
        >>> importance_weighted_log_likelihood(x, *model.encode(x), log_likelihood).shape
        torch.Size([4])

    Reference:
        Y. Burda et al., "Importance Weighted Autoencoders", 2015,
        https://arxiv.org/abs/1509.00519
    """
    mean, log_var = posterior_mean, posterior_log_var
    check_rows("posterior_mean", mean, least=0)
    check_rows("posterior_log_var", log_var, least=0)
    check_same_shape(("posterior_mean", "posterior_log_var"), mean, log_var)
    if len(x) != len(mean):
        raise ValueError(
            f"`x` {tuple(x.shape)} must have as many images as `posterior_mean` "
            f"{tuple(mean.shape)} has rows"
        )
    samples, chunk = as_int("samples", samples), as_int("chunk", chunk)
    together = max(1, chunk // samples)  # images whose samples are all decoded at once
    device, wide = mean.device, widest(mean.device)
    source = device if generator is None else generator.device
    bounds = []
    for start in range(0, len(x), together):
        rows = slice(start, start + together)
        images = x[rows].to(device)
        # Image by image, whatever the chunk: what a generator gives depends on the sizes asked.
        size = (samples, mean.shape[1])
        noise = torch.stack(
            [torch.randn(size, generator=generator, device=source, dtype=wide) for _ in images]
        ).to(device)  # (n, K, D)
        m, v = (part[rows, None].to(wide) for part in (mean, log_var))
        bound = torch.full((len(images),), -torch.inf, dtype=wide, device=device)
        for eps in noise.split(chunk, dim=1):
            k = eps.shape[1]
            z = m + torch.exp(v / 2) * eps  # (n, k, D)
            # log p(z) - log q(z|x), where (z - m) / std is `eps`, and the constants cancel
            ratio = (eps.square() + v - z.square()).sum(2) / 2
            given = log_likelihood(z.flatten(0, 1).to(mean.dtype), images.repeat_interleave(k, 0))
            if given.shape != (len(images) * k,):
                raise ValueError(
                    f"`log_likelihood` returned {tuple(given.shape)}; it must return one value "
                    f"per latent, ({len(images) * k},)"
                )
            weights = given.to(device, wide).unflatten(0, (-1, k)) + ratio
            bound = torch.logaddexp(bound, weights.logsumexp(1))
        bounds.append(bound - math.log(samples))
    return torch.cat(bounds) if bounds else torch.empty(0, dtype=wide, device=device)
