"""Random features: fixed, and with distances that see what changes a set of pictures."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from easyvae.kittens import draw_kittens
from easyvae.metrics import features as module
from easyvae.metrics import frechet_distance, random_features

SETS = 250


@pytest.fixture(scope="module")
def kittens() -> tuple[Tensor, Tensor]:
    """Two disjoint sets of the same distribution, (SETS, 3, 32, 32)."""
    pictures = torch.from_numpy(draw_kittens(2 * SETS, size=32)[0]).float() / 255
    return pictures[:SETS], pictures[SETS:]


def blur(x: Tensor, sigma: float) -> Tensor:
    weights = torch.exp(-torch.arange(-6.0, 7.0).square() / (2 * sigma**2))
    weights = (weights / weights.sum()).expand(x.shape[1], 1, 1, -1)
    x = F.pad(x, (6, 6, 6, 6), mode="reflect")
    x = F.conv2d(x, weights, groups=x.shape[1])
    return F.conv2d(x, weights.mT, groups=x.shape[1])


def noisy(x: Tensor, strength: float) -> Tensor:
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + strength * noise).clamp(0, 1)


@pytest.mark.parametrize(
    ("change", "amounts"), [(blur, (0.5, 0.8, 1.5, 3.0)), (noisy, (0.05, 0.1, 0.2, 0.4))]
)
def test_the_distance_grows_with_the_damage(
    kittens: tuple[Tensor, Tensor], change: Callable[[Tensor, float], Tensor], amounts: Any
) -> None:
    """It is near 0 between two sets of one kind, and grows with blur and with noise."""
    a, b = kittens
    reference = random_features(a)
    same = frechet_distance(random_features(b), reference)
    damaged = [
        frechet_distance(random_features(change(b, amount)), reference) for amount in amounts
    ]
    assert [same, *damaged] == sorted([same, *damaged])
    assert damaged[0] > 1.5 * same
    assert damaged[-1] > 20 * same


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.flip(2),  # upside down
        lambda x: x.roll(16, 3),  # halves exchanged
        lambda x: x.flip(1),  # red and blue exchanged
        lambda x: (x + x.roll(1, 0)) / 2,  # ghosts
        lambda x: x[:1].expand_as(x),  # one picture only
    ],
    ids=["upside down", "halves exchanged", "colours exchanged", "ghosts", "one picture"],
)
def test_the_distance_sees_layout_colour_and_variety(
    kittens: tuple[Tensor, Tensor], change: Callable[[Tensor], Tensor]
) -> None:
    """Each of these puts a set far from another of its kind."""
    a, b = kittens
    reference = random_features(a)
    same = frechet_distance(random_features(b), reference)
    assert frechet_distance(random_features(change(b)), reference) > 2 * same


@pytest.mark.parametrize(
    ("shape", "features"),
    [
        ((2, 3, 64, 64), 3 * 64 + 48),
        ((2, 1, 28, 28), 3 * 64 + 16),
        ((2, 4, 13, 40), 2 * 64 + 64),
        ((2, 3, 6, 6), 64 + 48),
        ((0, 3, 64, 64), 3 * 64 + 48),
    ],
)
def test_the_number_of_features(shape: tuple[int, ...], features: int) -> None:
    """Small pictures have fewer scales, and no pictures none but their number."""
    assert random_features(torch.rand(shape)).shape == (shape[0], features)


def test_the_map_never_changes() -> None:
    """The filters begin and end with these numbers, and no global state is touched."""
    before = torch.get_rng_state()
    filters = module._filters(3)
    assert torch.equal(torch.get_rng_state(), before)
    first = torch.tensor([0.1531747, -0.0089152, 0.0598453, 0.2098441, 0.1654757])
    last = torch.tensor([0.1216472, -0.0109260, -0.0906382, -0.2751725, 0.0633654])
    torch.testing.assert_close(filters[0, 0, 0], first, atol=1e-7, rtol=0)
    torch.testing.assert_close(filters[-1, -1, -1], last, atol=1e-7, rtol=0)
    torch.testing.assert_close(filters.mean((2, 3)), torch.zeros(16, 3), atol=1e-7, rtol=0)
    torch.testing.assert_close(filters.square().sum((1, 2, 3)), torch.ones(16))


def test_flat_pictures_have_colours_only() -> None:
    """The textures of a flat picture are zero, whatever its colour."""
    colours = torch.rand(3)
    features = random_features(colours[None, :, None, None].expand(1, 3, 32, 32))
    expected = 1.2 / 3**0.5 * colours.repeat(16)
    torch.testing.assert_close(features[0, :48], expected)
    assert features[0, 48:].max() < 1e-5


def test_pieces_do_not_change_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    """One picture at a time or all at once, up to rounding."""
    x = torch.rand(9, 3, 16, 16)
    whole = random_features(x)
    monkeypatch.setattr(module, "_PIECE_VALUES", 1)
    torch.testing.assert_close(random_features(x), whole)


def test_bytes_are_255ths_and_autocast_changes_nothing() -> None:
    """Pictures of uint8 are scaled; the features are float32, and without a gradient."""
    x = (torch.rand(4, 3, 16, 16) * 255).byte()
    features = random_features(x)
    assert features.dtype == torch.float32
    assert torch.equal(features, random_features((x.float() / 255).requires_grad_()))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(features, random_features(x))


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 3, 16), (2, 3, 5, 16), (2, 1, 8, 8, 8)])
def test_only_pictures_have_features(shape: tuple[int, ...]) -> None:
    """Two spatial dimensions of at least 6 pixels."""
    with pytest.raises(ValueError, match="`images`"):
        random_features(torch.rand(shape))


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
