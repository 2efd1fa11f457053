"""The Frechet distance between two sets of features."""

import torch
from torch import Tensor

from easyvae.checks import unit_for
from easyvae.metrics.checks import check_rows


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Computes the squared Frechet distance between two sets of features, as if both were normal.

        d = |ma - mb|^2 + tr(Sa) + tr(Sb) - 2 tr((Sa Sb)^(1/2))

    with the means `m` and the unbiased covariances `S`. Few rows make it too large: compare only
    distances of equally many. With Inception's features it is the FID; with those of
    `random_features` it is not.

    No covariance is formed. With `S = R^T R`, `R` the triangle of a QR factorisation, the last
    trace is the sum of the singular values of `Ra Rb^T`. So singular covariances, as from fewer
    rows than features, are nothing special, and small values lose no digits to squaring.

    Args:
        a: Features, (N, F), at least 2 rows; see `random_features`.
        b: Features, (M, F), at least 2 rows.

    Returns:
        The distance, at least 0, computed in float64 on the CPU; infinite beyond its range.

    Raises:
        ValueError: If the shapes do not fit, or a feature is not finite.
        TypeError: If an argument is not a float tensor.

    Example:
        >>> a = torch.tensor([[-1.0], [1.0]])
        >>> round(frechet_distance(a, 3 * a + 1), 6)  # 1^2 + (3 - 1)^2 2
        9.0

    Reference:
        D. Dowson and B. Landau, "The Frechet Distance between Multivariate Normal Distributions",
        1982; as a measure of images, M. Heusel et al., 2017, https://arxiv.org/abs/1706.08500
    """
    for name, x in (("a", a), ("b", b)):
        check_rows(name, x, least=2)
        if not bool(x.isfinite().all()):
            raise ValueError(
                f"`{name}` must be finite; {int((~x.isfinite()).sum())} values are not"
            )
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`a` {tuple(a.shape)} and `b` {tuple(b.shape)} must have rows of one length"
        )
    unit = unit_for(a, b)
    (mean_a, root_a), (mean_b, root_b) = _moments(a, unit), _moments(b, unit)
    shift = (mean_a - mean_b).square().sum()
    overlap = torch.linalg.svdvals(root_a @ root_b.T).sum()
    distance = float(shift + root_a.square().sum() + root_b.square().sum() - 2 * overlap)
    # Sets that are alike may come out below 0 by rounding.
    return max(0.0, distance) * unit * unit


def _moments(x: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Returns the mean (F,) and a root R of the covariance `R^T R`, of features over a unit."""
    x = x.detach().cpu().double() / unit
    mean = x.mean(0)
    root: Tensor = torch.linalg.qr((x - mean) / (len(x) - 1) ** 0.5, mode="r").R
    return mean, root
