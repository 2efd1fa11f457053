"""A Gaussian mixture fitted to a set's latents, to draw new ones from in place of the prior."""

import math
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from easyvae.core.checks import (
    as_int,
    check_finite,
    check_floats,
    check_latents,
    check_temperature,
    unit_for,
    widest,
)
from easyvae.latents.paths import saturated

_TOLERANCE = 1e-3  # nats per latent and dimension: a smaller change ends the fit


class GaussianMixture:
    """Holds a mixture of K Gaussians with full covariances over latents of size D.

        p(z) = sum_k weight_k N(z | mean_k, L_k L_k^T)

    With a small beta the latents of a set fill only a part of the prior N(0, I), and most of what
    `model.sample` draws decodes to poor pictures. A mixture fitted to the latents knows which
    part. `GaussianMixture.fit` is the usual way to get one; the constructor takes the parameters
    of one that was stored.

    Args:
        weights: At least 0, their sum 1, (K,).
        means: (K, D).
        scale_tril: Lower Cholesky factors L of the covariances, (K, D, D).
        dtype: Of samples; that of `means` by default. Attributes of these names have them all.

    Raises:
        ValueError: If the shapes do not fit one another.

    Example:
        >>> from easyvae import VAE
        >>> from easyvae.latents import embed
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> latents = embed(model, torch.rand(100, 3, 16, 16), sample=True)
        >>> mixture = GaussianMixture.fit(latents, components=2)
        >>> mixture
        GaussianMixture(components=2, latent=4)
        >>> model.decode(mixture.sample(9)).shape
        torch.Size([9, 3, 16, 16])

    Reference:
        P. Ghosh et al., "From Variational to Deterministic Autoencoders", 2020,
        https://arxiv.org/abs/1903.12436
    """

    def __init__(
        self,
        weights: Tensor,
        means: Tensor,
        scale_tril: Tensor,
        *,
        dtype: torch.dtype | None = None,
    ) -> None:
        fits = means.ndim == 2 and scale_tril.shape == (*means.shape, means.shape[-1])
        if not fits or weights.shape != means.shape[:1]:
            raise ValueError(
                f"`weights` {tuple(weights.shape)}, `means` {tuple(means.shape)} and `scale_tril` "
                f"{tuple(scale_tril.shape)} must have the shapes (K,), (K, D) and (K, D, D)"
            )
        self.weights = weights
        self.means = means
        self.scale_tril = scale_tril
        self.dtype = means.dtype if dtype is None else dtype

    @classmethod
    def fit(
        cls, latents: Tensor, components: int = 10, *, seed: int = 0, iterations: int = 100
    ) -> Self:
        """Fits a mixture to latents by expectation maximisation, from a k-means++ start.

        Where a component has few latents for its size, their covariance alone would be
        singular. Each is therefore drawn towards the covariance that all latents have around
        the centres of their clusters, as by 2 D + 1 latents more; and that one towards its
        diagonal, by as much as its correlations are uncertain.

        The global random state is left alone; the same latents and seed give the same mixture.

        Args:
            latents: (n, D), finite floats, n at least `components`. Best are samples of the
                posteriors, `embed(model, x, sample=True)`: their means alone leave out the
                posteriors' widths.
            components: K, at least 1; 1 is a single Gaussian with a full covariance.
            seed: Of the start.
            iterations: At most so many; it ends once the mean log-likelihood settles.

        Returns:
            The mixture: on the device of `latents`, with parameters in float64 where there is
            that, and with samples in the dtype of `latents`. Components that ended up empty have
            the weight 0.

        Raises:
            ValueError: If there are too few latents or some are not finite, or a count is
                below 1 or has a fraction.
            TypeError: If `latents` is not a float tensor, or a count not a number.

        Example:
            >>> latents = torch.cat([torch.randn(300, 2) - 5, torch.randn(100, 2) + 5])
            >>> mixture = GaussianMixture.fit(latents, components=2)
            >>> mixture.weights.sort().values
            tensor([0.2500, 0.7500], dtype=torch.float64)

        Reference:
            Start: D. Arthur and S. Vassilvitskii, "k-means++", 2007. Covariances: C. Fraley and
            A. Raftery, "Bayesian Regularization for Normal Mixture Estimation", 2007, and
            J. Schäfer and K. Strimmer, "A Shrinkage Approach to Large-Scale Covariance Matrix
            Estimation", 2005.
        """
        check_floats("latents", latents)
        components = as_int("components", components)
        iterations = as_int("iterations", iterations)
        if latents.ndim != 2 or latents.numel() == 0:
            raise ValueError(
                f"`latents` {tuple(latents.shape)} must be (n, D), both at least 1; "
                "latents of more dimensions go in as latents.flatten(1)"
            )
        if components > len(latents):
            raise ValueError(
                f"`components` (={components}) must be at most the number of latents, "
                f"{len(latents)}"
            )
        check_finite("latents", latents)
        wide = widest(latents.device)
        z = latents.detach()
        # Covariances need float64: where a device has none, the CPU computes them.
        z = (z if wide == torch.float64 else z.cpu()).double()
        unit = unit_for(z)
        z = z / unit
        centre = z.mean(0)
        z = z - centre  # distances lose no digits to a mean far from 0
        shares = find_clusters(z, components, torch.Generator().manual_seed(seed))
        pooled = pooled_covariance(z, shares)
        before = -math.inf
        for _ in range(iterations):
            mixture = cls(*maximize(z, shares, pooled))
            joint = mixture._joint_log_prob(z)
            total = joint.logsumexp(1, keepdim=True)
            shares = (joint - total).exp()
            now = float(total.mean())
            if abs(now - before) < _TOLERANCE * z.shape[1]:
                break
            before = now
        factors = unit * mixture.scale_tril
        factors.diagonal(dim1=1, dim2=2).clamp_(min=torch.finfo(wide).tiny)
        fitted = (mixture.weights, unit * (mixture.means + centre), factors)
        return cls(*(saturated(x, wide).to(latents.device) for x in fitted), dtype=latents.dtype)

    @property
    def covariances(self) -> Tensor:
        """The covariances, (K, D, D)."""
        unit = unit_for(self.scale_tril)
        factors = self.scale_tril / unit
        return saturated(factors @ factors.mT * unit * unit, factors.dtype)

    def sample(
        self,
        n: int = 1,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draws new latents.

        Args:
            n: How many, at least 1.
            temperature: Scales each component's standard deviations, at least 0; with 0 all
                samples are means of components.
            generator: Source of the samples, on the mixture's device; the global one by default.

        Returns:
            (n, D), in the dtype and on the device of the latents that the mixture was fitted to;
            what lies beyond the range of that dtype is its largest number.

        Raises:
            ValueError: If `n` or `temperature` is out of its range.
            TypeError: If one of them is not a number.

        Example:
            >>> mixture = GaussianMixture.fit(torch.randn(100, 4), components=2)
            >>> mixture.sample(5, temperature=0.8).shape
            torch.Size([5, 4])
        """
        n = as_int("n", n)
        check_temperature(temperature)
        chosen = torch.multinomial(self.weights, n, replacement=True, generator=generator)
        noise = self.means.new_empty(n, self.means.shape[1]).normal_(generator=generator)
        z = self.means[chosen]
        for k, factor in enumerate(self.scale_tril):
            rows = chosen == k
            z[rows] += temperature * (noise[rows] @ factor.T)
        return saturated(z, self.dtype)

    def log_prob(self, z: Tensor) -> Tensor:
        """Returns the logarithm of the density at each latent.

        Args:
            z: (N, D), floats.

        Returns:
            Nats, (N,), in the dtype of the parameters; its lowest number where a latent is so
            far from all components that the density's logarithm lies beyond the range.

        Raises:
            ValueError: If the shape does not fit.
            TypeError: If `z` is not a float tensor.

        Example:
            >>> mixture = GaussianMixture(torch.ones(1), torch.zeros(1, 2), torch.eye(2)[None])
            >>> mixture.log_prob(torch.zeros(1, 2))  # -log(2 pi)
            tensor([-1.8379])
        """
        check_floats("z", z)
        check_latents("z", z, self.means.shape[1])
        z = z.to(self.means)
        lowest = torch.finfo(z.dtype).min
        # Distances beyond the range are infinite, or NaN where two of them meet.
        joint = self._joint_log_prob(z).nan_to_num(nan=lowest, neginf=lowest)
        return joint.logsumexp(1).masked_fill(z.isnan().any(1), torch.nan)

    def _joint_log_prob(self, z: Tensor) -> Tensor:
        """Returns the logarithm of each component's part of the density, (N, K)."""
        parts = []
        # One component at a time, for N * D numbers rather than K * N * D.
        for weight, mean, factor in zip(self.weights, self.means, self.scale_tril, strict=True):
            white = torch.linalg.solve_triangular(factor, (z - mean).T, upper=False)  # (D, N)
            log_det = factor.diagonal().log().sum()
            parts.append(weight.log() - log_det - white.square().sum(0) / 2)
        return torch.stack(parts, 1) - z.shape[1] / 2 * math.log(2 * math.pi)

    def __repr__(self) -> str:
        components, latent = self.means.shape
        return f"{type(self).__name__}(components={components}, latent={latent})"


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
