"""Gaussian mixtures of latents: what they find, the density they have, what they draw."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal

from easyvae.latents import GaussianMixture

FLOATS = pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64]
)


def known() -> GaussianMixture:
    """Three well separated Gaussians in the plane."""
    factors = [[[1.0, 0.0], [0.8, 0.5]], [[0.3, 0.0], [0.0, 0.3]], [[0.7, 0.0], [-0.6, 0.2]]]
    return GaussianMixture(
        torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64),
        torch.tensor([[0.0, 0.0], [10.0, 1.0], [-4.0, 9.0]], dtype=torch.float64),
        torch.tensor(factors, dtype=torch.float64),
    )


def draw(n: int, seed: int = 0) -> Tensor:
    return known().sample(n, generator=torch.Generator().manual_seed(seed))


def assert_sound(mixture: GaussianMixture, latents: Tensor) -> None:
    """Everything about it is finite, and the weights are weights."""
    assert float(mixture.weights.sum()) == pytest.approx(1)
    assert (mixture.weights >= 0).all()
    for tensor in (
        mixture.weights,
        mixture.means,
        mixture.scale_tril,
        mixture.log_prob(latents),
        mixture.sample(50),
    ):
        assert tensor.isfinite().all()
    assert (mixture.scale_tril.diagonal(dim1=1, dim2=2) > 0).all()


# Fits


@pytest.mark.parametrize("seed", range(3))
def test_a_known_mixture_is_recovered(seed: int) -> None:
    """Weights, means and covariances are those of the mixture that the latents came from."""
    truth, found = known(), GaussianMixture.fit(draw(8000), components=3, seed=seed)
    order = torch.cdist(truth.means, found.means).argmin(1)
    torch.testing.assert_close(found.weights[order], truth.weights, rtol=0, atol=0.015)
    torch.testing.assert_close(found.means[order], truth.means, rtol=0, atol=0.05)
    torch.testing.assert_close(found.covariances[order], truth.covariances, rtol=0, atol=0.05)


def test_iterations_raise_the_likelihood() -> None:
    """Each step of the fit explains overlapping latents better, until it ends by itself."""
    latents = torch.cat([draw(3000) / 3, draw(3000) / 2 + 1])
    found = [GaussianMixture.fit(latents, 5, iterations=i) for i in (1, 2, 3, 4, 8, 200, 300)]
    likelihoods = [float(mixture.log_prob(latents).mean()) for mixture in found]
    assert likelihoods == sorted(likelihoods)
    assert likelihoods[0] < likelihoods[1] - 1e-3
    assert likelihoods[-2] == likelihoods[-1]


def test_three_components_explain_three_clusters_best() -> None:
    """On latents that the fit has not seen, three beat one; and one beats the prior."""
    latents, unseen = draw(1000), draw(1000, seed=1)
    one, three = (GaussianMixture.fit(latents, k).log_prob(unseen).mean() for k in (1, 3))
    prior = MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(unseen.float()).mean()
    truth = known().log_prob(unseen).mean()
    assert prior < one < three - 0.5
    assert float(three) == pytest.approx(float(truth), abs=0.03)


def test_one_component_has_the_mean_and_the_covariance() -> None:
    """A single Gaussian has the sample's moments; its correlations are a little smaller."""
    latents = torch.randn(20_000, 5, dtype=torch.float64) @ torch.randn(5, 5).double() + 40
    mixture = GaussianMixture.fit(latents, components=1)
    covariance = latents.T.cov(correction=0)
    torch.testing.assert_close(mixture.weights, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(mixture.means[0], latents.mean(0))
    torch.testing.assert_close(mixture.covariances[0], covariance, rtol=1e-3, atol=1e-3)


def test_few_latents_keep_their_variances_and_lose_correlations() -> None:
    """With n below D each dimension has its variance, and no correlation is believed in."""
    scales = torch.linspace(0.1, 3, 40, dtype=torch.float64)
    latents = torch.randn(20, 40, dtype=torch.float64) * scales
    found = GaussianMixture.fit(latents, components=1).covariances[0]
    torch.testing.assert_close(found.diagonal(), latents.var(0, correction=0))
    believed, seen = (
        (c / torch.outer(c.diagonal(), c.diagonal()).sqrt()).fill_diagonal_(0).norm()
        for c in (found, latents.T.cov())
    )
    assert believed < 0.4 * seen


def test_many_dimensions_and_few_latents() -> None:
    """Components with fewer latents than dimensions are sound, and better than one Gaussian."""
    centres = 2 * torch.randn(3, 100)
    latents = (centres[:, None] + torch.randn(3, 40, 100)).flatten(0, 1)
    mixture = GaussianMixture.fit(latents, components=3)
    assert_sound(mixture, latents)
    assert torch.equal((mixture.weights * 120).round(), torch.full((3,), 40.0).double())
    unseen = (centres[:, None] + torch.randn(3, 40, 100)).flatten(0, 1)
    one = GaussianMixture.fit(latents, components=1)
    assert mixture.log_prob(unseen).mean() > one.log_prob(unseen).mean() + 20


HARD: dict[str, tuple[Callable[[], Tensor], int]] = {
    "one": (lambda: torch.randn(1, 3), 1),
    "one number": (lambda: torch.randn(1, 1), 1),
    "two": (lambda: torch.randn(2, 3), 1),
    "as many as components": (lambda: torch.randn(5, 3), 5),
    "one dimension": (lambda: torch.randn(50, 1), 4),
    "zeros": (lambda: torch.zeros(20, 3), 4),
    "constant": (lambda: torch.full((20, 3), 7.1), 4),
    "copies": (lambda: torch.randn(3, 4).repeat(10, 1), 6),
    "constant dimensions": (lambda: torch.randn(30, 4) * torch.tensor([1.0, 0.0, 0.0, 1.0]), 3),
    "equal dimensions": (lambda: torch.randn(30, 1).repeat(1, 4), 3),
    "far away": (lambda: torch.cat([torch.randn(30, 3), torch.full((1, 3), 1e6)]), 3),
    "tiny": (lambda: torch.randn(30, 3) * 1e-12, 3),
    "huge": (lambda: torch.randn(30, 3) * 1e30, 3),
}


@pytest.mark.parametrize("name", HARD)
def test_hard_latents(name: str) -> None:
    """Whatever the latents are, the mixture is sound and draws from their neighbourhood."""
    make, components = HARD[name]
    latents = make()
    mixture = GaussianMixture.fit(latents, components)
    assert_sound(mixture, latents)
    samples = mixture.sample(200)
    span = latents.amax(0) - latents.amin(0)
    room = 4 * span + 1e-3 * span.max() + 1e-6  # constant dimensions are only nearly so
    assert (samples >= latents.amin(0) - room).all()
    assert (samples <= latents.amax(0) + room).all()


def test_empty_components_have_no_weight() -> None:
    """Three different latents fill three of six components, and the others are never drawn."""
    latents = torch.tensor([[0.0, 1.0], [5.0, 5.0], [9.0, 0.0]]).repeat(10, 1)
    mixture = GaussianMixture.fit(latents, components=6)
    weights = mixture.weights.sort().values
    torch.testing.assert_close(weights, torch.tensor([0, 0, 0, 1, 1, 1]).double() / 3)
    assert (torch.cdist(mixture.sample(300), latents[:3]).amin(1) < 1e-3).all()


def test_the_same_seed_gives_the_same_mixture() -> None:
    """The seed decides the start, and the global random state is neither read nor changed."""
    latents = torch.randn(500, 6)
    state = torch.get_rng_state()
    first = GaussianMixture.fit(latents, 8, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    second = GaussianMixture.fit(latents, 8, seed=1)
    for name in ("weights", "means", "scale_tril"):
        assert torch.equal(getattr(first, name), getattr(second, name))
    assert not torch.equal(first.means, GaussianMixture.fit(latents, 8, seed=2).means)


@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_where_the_latents_are_does_not_matter(shift: float) -> None:
    """Moved and stretched latents have the moved and stretched mixture."""
    latents = draw(500)
    here, there = (GaussianMixture.fit(x, 3) for x in (latents, 7 * latents + shift))
    torch.testing.assert_close(there.weights, here.weights)
    torch.testing.assert_close(there.means, 7 * here.means + shift)
    torch.testing.assert_close(there.covariances, 49 * here.covariances, rtol=1e-5, atol=1e-6)


def test_gradients_end_at_the_fit() -> None:
    """Latents with a gradient give parameters without; densities have one by the latent."""
    mixture = GaussianMixture.fit(torch.randn(50, 3, requires_grad=True), 2)
    assert not mixture.scale_tril.requires_grad
    z = torch.randn(4, 3, requires_grad=True)
    mixture.log_prob(z).sum().backward()
    assert z.grad is not None
    assert z.grad.isfinite().all()


@pytest.mark.parametrize(
    ("latents", "arguments", "message"),
    [
        (torch.ones(5), {}, r"`latents` \(5,\) must be \(n, D\)"),
        (torch.ones(5, 2, 3, 3), {}, r"`latents` .*latents\.flatten\(1\)"),
        (torch.ones(0, 3), {}, "`latents`"),
        (torch.ones(5, 0), {}, "`latents`"),
        (torch.tensor([[1.0], [math.nan]]), {"components": 1}, "`latents` must be finite"),
        (torch.tensor([[1.0], [math.inf]]), {"components": 1}, "`latents` must be finite"),
        (torch.ones(9, 3), {}, r"`components` \(=10\) must be at most the number of latents, 9"),
        (torch.ones(9, 3), {"components": 0}, "`components`"),
        (torch.ones(9, 3), {"components": 2.5}, "`components`"),
        (torch.ones(9, 3), {"components": 2, "iterations": 0}, "`iterations`"),
    ],
)
def test_wrong_fits_are_refused(latents: Tensor, arguments: dict[str, Any], message: str) -> None:
    """The message names the argument and the rule."""
    with pytest.raises(ValueError, match=message):
        GaussianMixture.fit(latents, **arguments)


@pytest.mark.parametrize("latents", [torch.ones(20, 3, dtype=torch.int64), [[1.0]], None])
def test_only_float_tensors_are_fitted(latents: Any) -> None:
    """Integers are no latents, nor are lists."""
    with pytest.raises(TypeError, match="`latents` must be a float tensor"):
        GaussianMixture.fit(latents, components=1)


# Densities


def reference(mixture: GaussianMixture) -> MixtureSameFamily:
    return MixtureSameFamily(
        Categorical(mixture.weights),
        MultivariateNormal(mixture.means, scale_tril=mixture.scale_tril),
    )


@pytest.mark.parametrize(("n", "dim", "components"), [(500, 2, 1), (500, 2, 7), (80, 30, 3)])
def test_the_density_is_that_of_torch(n: int, dim: int, components: int) -> None:
    """It equals torch.distributions' mixture of normals, near and far."""
    mixture = GaussianMixture.fit(torch.randn(n, dim) ** 3, components)
    z = torch.randn(200, dim, dtype=torch.float64) * torch.logspace(-2, 3, 200)[:, None].double()
    torch.testing.assert_close(mixture.log_prob(z), reference(mixture).log_prob(z))


def test_the_density_integrates_to_one() -> None:
    """Over the plane, in small squares."""
    steps = torch.arange(-12, 16, 0.05, dtype=torch.float64)
    density = known().log_prob(torch.cartesian_prod(steps, steps)).exp()
    assert float(density.sum()) * 0.05**2 == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("shape", [(2,), (5, 3), (5, 2, 1)])
def test_other_shapes_have_no_density(shape: tuple[int, ...]) -> None:
    """Latents are (N, D), with the mixture's D."""
    with pytest.raises(ValueError, match=r"`z` .* must have the shape \(N, 2\)"):
        known().log_prob(torch.randn(shape))
    with pytest.raises(TypeError, match="`z` must be a float tensor"):
        known().log_prob(torch.zeros(5, 2, dtype=torch.int64))


# Samples


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_have_the_moments_of_the_mixture(temperature: float) -> None:
    """Means and covariances of each component, the latter by the temperature's square."""
    truth = known()
    z = truth.sample(60_000, temperature=temperature)
    nearest = torch.cdist(z, truth.means).argmin(1)
    for k in range(3):
        own = z[nearest == k]
        assert len(own) / len(z) == pytest.approx(float(truth.weights[k]), abs=0.01)
        torch.testing.assert_close(own.mean(0), truth.means[k], rtol=0, atol=0.03)
        expected = temperature**2 * truth.covariances[k]
        torch.testing.assert_close(own.T.cov(), expected, rtol=0, atol=0.03)


def test_without_temperature_samples_are_the_means() -> None:
    """At 0 nothing but the choice of the component is left to chance."""
    truth = known()
    z = truth.sample(100, temperature=0)
    assert (z[:, None] == truth.means).all(-1).any(1).all()
    assert len(z.unique(dim=0)) == 3


@FLOATS
def test_samples_have_the_dtype_of_the_latents(dtype: torch.dtype) -> None:
    """The fit is in float64 for all of them."""
    mixture = GaussianMixture.fit(torch.randn(50, 3).to(dtype), 2)
    assert mixture.means.dtype == torch.float64
    assert mixture.sample().dtype == dtype
    assert mixture.sample().shape == (1, 3)
    assert mixture.sample(7).shape == (7, 3)


def test_samples_come_from_the_generator() -> None:
    """With one of their own the global random state stays; without one they use it."""
    state = torch.get_rng_state()
    assert torch.equal(draw(5), draw(5))
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(known().sample(5), known().sample(5))


@pytest.mark.parametrize(
    ("n", "error"),
    [(0, ValueError), (-1, ValueError), (2.5, ValueError), (True, TypeError), (None, TypeError)],
)
def test_wrong_counts_are_refused(n: Any, error: type[Exception]) -> None:
    """Samples are counted."""
    with pytest.raises(error, match="`n`"):
        known().sample(n)


@pytest.mark.parametrize(
    ("temperature", "error"),
    [
        (-1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        (1e308, ValueError),
        ("1", TypeError),
    ],
)
def test_wrong_temperatures_are_refused(temperature: Any, error: type[Exception]) -> None:
    """It is a number from 0 to a million."""
    with pytest.raises(error, match="`temperature`"):
        known().sample(temperature=temperature)


# Mixtures as such


def test_a_mixture_can_be_built_from_its_parameters() -> None:
    """The constructor takes what the attributes hold, and gives an equal mixture."""
    first = GaussianMixture.fit(torch.randn(50, 3), 2)
    second = GaussianMixture(first.weights, first.means, first.scale_tril, dtype=first.dtype)
    z = torch.randn(9, 3)
    assert torch.equal(first.log_prob(z), second.log_prob(z))
    samples = [m.sample(4, generator=torch.Generator().manual_seed(0)) for m in (first, second)]
    assert torch.equal(*samples)
    assert samples[1].dtype == torch.float32


@pytest.mark.parametrize(
    "shapes",
    [((2,), (2, 3), (2, 3, 2)), ((3,), (2, 3), (2, 3, 3)), ((1,), (3,), (3, 3)), ((), (), ())],
)
def test_parameters_that_do_not_fit_are_refused(shapes: Any) -> None:
    """The message shows the three shapes."""
    with pytest.raises(ValueError, match=r"`weights` .*`means` .*`scale_tril` .*\(K, D, D\)"):
        GaussianMixture(*(torch.ones(shape) for shape in shapes))


def test_a_mixture_shows_its_size() -> None:
    """K and D are what there is to know at a glance."""
    assert repr(known()) == "GaussianMixture(components=3, latent=2)"
