"""The estimates that fitting a Gaussian mixture is made of."""

import math

import torch
from torch import Tensor
from torch.nn.functional import one_hot

_LLOYD = 20  # rounds of k-means


def find_clusters(z: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Divides latents among clusters by k-means: (n, K), with a one where each belongs.

    Of several centres that k-means++ might add, the one that helps most is taken: a single one
    is often a latent far from all others, which then has a component to itself.
    """
    centres = z[torch.randint(len(z), (1,), generator=generator)]
    nearest = torch.cdist(z, centres).square()[:, 0]
    for _ in range(count - 1):
        total = nearest.cpu().cumsum(0)
        draws = torch.rand(2 + int(math.log(count)), generator=generator, dtype=total.dtype)
        chosen = torch.searchsorted(total, draws * total[-1], right=True)
        candidates = z[chosen.clamp(max=len(z) - 1)]
        left = torch.minimum(nearest[:, None], torch.cdist(z, candidates).square())
        best = left.sum(0).argmin()
        centres = torch.cat([centres, candidates[best][None]])
        nearest = left[:, best]
    for _ in range(_LLOYD):
        members = one_hot(torch.cdist(z, centres).argmin(1), count).to(z)
        sizes = members.sum(0)[:, None]
        centres = torch.where(sizes > 0, members.T @ z / sizes.clamp(min=1), centres)
    return members


def pooled_covariance(z: Tensor, members: Tensor) -> Tensor:
    """Returns the covariance around the clusters' centres, shrunk towards its diagonal.

    The share of the diagonal is the sum of the variances of the correlations' estimates, by the
    sum of their squares: it minimises the expected squared error of the correlations.
    """
    centres = members.T @ z / members.sum(0).clamp(min=1)[:, None]
    residuals = z - members @ centres
    covariance = residuals.T @ residuals / len(z)
    diagonal = covariance.diagonal()
    deviations = torch.where(diagonal > 0, diagonal, 1).sqrt()
    squares = (residuals / deviations).square()
    correlation = covariance / torch.outer(deviations, deviations)
    uncertainty = (squares.T @ squares / len(z) - correlation.square()) / len(z)
    seen = correlation.square().fill_diagonal_(0).sum().clamp(min=1e-30)
    share = (uncertainty.fill_diagonal_(0).sum() / seen).clamp(0, 1)
    # Where a dimension is constant, or all of them are, the variance still is above 0.
    ridge = (torch.finfo(z.dtype).eps ** 0.5 * diagonal.mean()).clamp(min=1e-24)
    pooled: Tensor = (1 - share) * covariance + (share * diagonal + ridge).diag()
    return pooled


def maximize(z: Tensor, shares: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Returns the weights, means and Cholesky factors that fit the latents' shares (n, K) best.

    The covariances are modes of their posteriors under an inverse Wishart prior around `pooled`:

        (n_k S_k + nu pooled) / (n_k + nu),    nu = 2 D + 1

    From 2 D + 1 on the prior is a proper distribution. By the likelihood of held-out latents
    (7,500 images, D = 128, K = 10) half and twice as much were both worse.
    """
    sizes = shares.sum(0)
    means = shares.T @ z / sizes.clamp(min=1e-30)[:, None]
    strength = 2 * z.shape[1] + 1
    covariances = []
    for size, mean, share in zip(sizes, means, shares.T, strict=True):
        rows = share > 1e-12  # with many dimensions, most shares are far below
        centred = z[rows] - mean
        scatter = (share[rows, None] * centred).T @ centred
        covariances.append((scatter + strength * pooled) / (size + strength))
    return sizes / len(z), means, torch.linalg.cholesky(torch.stack(covariances))
