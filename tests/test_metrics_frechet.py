"""The Frechet distance: its formula, whatever the covariances."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from easyvae.metrics import frechet_distance


def with_moments(mean: Tensor, root: Tensor, n: int = 60) -> Tensor:
    """Rows (n, F) of exactly this mean (F,) and the covariance `root^T root`."""
    noise = torch.randn(n, len(root), dtype=torch.float64)
    white = torch.linalg.qr(noise - noise.mean(0)).Q  # its columns still have a mean of zero
    rows: Tensor = mean + math.sqrt(n - 1) * white @ root
    return rows


@pytest.mark.parametrize("size", [1, 3, 20])
def test_commuting_covariances(size: int) -> None:
    """With one set of axes it is `|ma - mb|^2 + sum((sa - sb)^2)`."""
    axes = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64)).Q
    a, b, sa, sb = torch.rand(4, size, dtype=torch.float64)
    expected = ((a - b).square() + (sa - sb).square()).sum().item()
    rows = with_moments(a, sa[:, None] * axes), with_moments(b, sb[:, None] * axes, n=45)
    assert frechet_distance(*rows) == pytest.approx(expected)


@pytest.mark.parametrize(("n", "m", "size"), [(100, 80, 5), (300, 100, 40), (50, 3, 2)])
def test_it_is_that_of_the_matrix_root(n: int, m: int, size: int) -> None:
    """With any covariances it equals the textbook formula by `scipy.linalg.sqrtm`."""
    linalg = pytest.importorskip("scipy.linalg", reason="scipy is not installed")
    a = torch.randn(n, size, dtype=torch.float64) @ torch.randn(size, size, dtype=torch.float64)
    b = 1 + torch.randn(m, size, dtype=torch.float64)
    sa, sb = np.atleast_2d(np.cov(a.numpy().T)), np.atleast_2d(np.cov(b.numpy().T))
    shift = (a.mean(0) - b.mean(0)).square().sum().item()
    expected = shift + np.trace(sa + sb - 2 * linalg.sqrtm(sa @ sb).real)
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(b, a) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("n", [2, 5, 30, 200])
def test_a_set_is_at_no_distance_from_itself(n: int) -> None:
    """Also with fewer rows than features, of which the covariance is singular."""
    a = torch.randn(n, 30)
    assert 0 <= frechet_distance(a, a) < 1e-10
    assert frechet_distance(a, a + 1) == pytest.approx(30, rel=1e-5)


def test_singular_covariances_are_nothing_special() -> None:
    """Sets on two lines at a right angle have the sum of their variances between them."""
    line = torch.linspace(-1, 1, 9, dtype=torch.float64)
    a, b = torch.zeros(2, 9, 4, dtype=torch.float64)
    a[:, 0], b[:, 2] = line, 2 * line
    assert frechet_distance(a, b) == pytest.approx(5 * line.var().item())
    assert frechet_distance(a, 0 * a) == pytest.approx(line.var().item())
    assert frechet_distance(0 * a, 0 * b) == 0


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_any_scale_has_its_digits(scale: float) -> None:
    """It grows with the square of the features' unit."""
    a, b = torch.randn(50, 6, dtype=torch.float64), 2 * torch.randn(40, 6, dtype=torch.float64) + 1
    scaled = frechet_distance(scale * a, scale * b)
    assert scaled == pytest.approx(scale**2 * frechet_distance(a, b))


def test_wrong_features_are_refused() -> None:
    """Two rows on each side, of one length, all finite."""
    fine = torch.randn(4, 3)
    with pytest.raises(ValueError, match=r"`b` \(1, 3\) must have at least 2 row"):
        frechet_distance(fine, fine[:1])
    with pytest.raises(ValueError, match=r"`a` \(4, 3\) and `b` \(4, 2\) .*one length"):
        frechet_distance(fine, fine[:, :2])
    with pytest.raises(ValueError, match=r"`a` .*two dimensions"):
        frechet_distance(torch.rand(4, 3, 8, 8), fine)
    with pytest.raises(TypeError, match="`a` must be a float tensor"):
        frechet_distance(fine.int(), fine)
    wrong = fine.clone()
    wrong[2, 1] = math.nan
    with pytest.raises(ValueError, match="`b` must be finite; 1 values are not"):
        frechet_distance(fine, wrong)
