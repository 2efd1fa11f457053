"""The importance-weighted bound on the log-likelihood."""

import math
from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from easyvae.checks import widest
from easyvae.geometry import as_int
from easyvae.metrics.checks import check_rows, check_same_shape

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
        >>> from easyvae.metrics import bernoulli_log_likelihood
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
        noise = torch.stack(
            [
                torch.randn(samples, mean.shape[1], generator=generator, device=source, dtype=wide)
                for _ in range(len(images))
            ]
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
