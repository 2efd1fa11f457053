"""The importance-weighted bound, on a linear Gaussian model whose likelihood is known."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from easyvae.metrics import importance_weighted_log_likelihood, normal_log_density


class Linear:
    """`z ~ N(0, I)`, `x|z ~ N(W z + b, s^2 I)`, with orthogonal columns in `W`.

    So that the covariance of the posterior is diagonal, like that of an encoder.
    """

    def __init__(self, n: int = 6, size: int = 9, latent: int = 4, s: float = 0.3) -> None:
        g = torch.Generator().manual_seed(1)
        square = torch.randn(size, size, generator=g, dtype=torch.float64)
        columns = torch.linalg.qr(square).Q[:, :latent]
        self.w = columns * torch.linspace(0.5, 2, latent, dtype=torch.float64)
        self.b = torch.randn(size, generator=g, dtype=torch.float64)
        self.s, self.largest = s, 0
        z = torch.randn(n, latent, generator=g, dtype=torch.float64)
        noise = torch.randn(n, size, generator=g, dtype=torch.float64)
        self.x = z @ self.w.T + self.b + s * noise
        precision = 1 + self.w.square().sum(0) / s**2
        self.mean = (self.x - self.b) @ self.w / s**2 / precision
        self.log_var = -precision.log().expand(n, latent)
        covariance = self.w @ self.w.T + s**2 * torch.eye(size, dtype=torch.float64)
        self.exact = MultivariateNormal(self.b, covariance).log_prob(self.x)

    def __call__(self, z: Tensor, x: Tensor) -> Tensor:
        self.largest = max(self.largest, len(z))
        return normal_log_density(x, z.double() @ self.w.T + self.b, 2 * math.log(self.s))


@pytest.mark.parametrize("samples", [1, 2, 50])
@pytest.mark.parametrize("chunk", [1, 7, 256])
def test_the_exact_posterior_gives_the_exact_likelihood(samples: int, chunk: int) -> None:
    """With any number of samples: the weights are all the same."""
    model = Linear()
    bound = importance_weighted_log_likelihood(
        model.x, model.mean, model.log_var, model, samples=samples, chunk=chunk
    )
    torch.testing.assert_close(bound, model.exact, rtol=1e-9, atol=0)


def test_one_sample_is_the_elbo_on_average() -> None:
    """Its mean over draws is the ELBO: `log p(x)` less the divergence from the posterior."""
    model = Linear(n=2)
    n = 20_000
    x, mean, log_var = (
        part.repeat_interleave(n, 0) for part in (model.x, model.mean + 0.1, model.log_var)
    )
    bound = importance_weighted_log_likelihood(x, mean, log_var, model, samples=1, chunk=n)
    gap = (0.1**2 / model.log_var.exp()).sum(1) / 2  # KL of two normals of one variance
    average = bound.unflatten(0, (2, n)).mean(1)
    torch.testing.assert_close(average, model.exact - gap, rtol=0, atol=0.05)


def test_it_rises_to_the_likelihood_from_below() -> None:
    """A posterior that is off gives less on average; more samples give more, up to the truth."""
    model = Linear(n=4)
    n = 300
    x, mean, log_var = (
        part.repeat_interleave(n, 0) for part in (model.x, model.mean + 0.1, model.log_var + 0.3)
    )
    gaps = []
    for samples in (1, 10, 100):
        bound = importance_weighted_log_likelihood(
            x, mean, log_var, model, samples=samples, chunk=4096
        )
        gaps.append((model.exact.repeat_interleave(n) - bound).mean().item())
    assert gaps[0] > 2 * gaps[1] > 8 * gaps[2] > 0
    assert gaps[2] < 0.02


@pytest.mark.parametrize("samples", [1, 5, 40])
def test_chunks_do_not_change_the_draw(samples: int) -> None:
    """One seed gives one result, and no more latents are decoded at once than asked."""
    model = Linear()
    results = []
    for chunk in (1, 3, 5, 12, 1000):
        model.largest = 0
        bound = importance_weighted_log_likelihood(
            model.x,
            model.mean + 0.2,
            model.log_var,
            model,
            samples=samples,
            chunk=chunk,
            generator=torch.Generator().manual_seed(3),
        )
        assert model.largest <= chunk
        results.append(bound)
    for bound in results[1:]:
        torch.testing.assert_close(bound, results[0], rtol=1e-12, atol=0)


def test_the_noise_is_the_generators() -> None:
    """With one the global state stays as it is; without, the global seed decides."""
    model = Linear()
    arguments = model.x, model.mean + 0.2, model.log_var, model
    before = torch.get_rng_state()
    first = importance_weighted_log_likelihood(*arguments, generator=torch.Generator())
    assert torch.equal(torch.get_rng_state(), before)
    second = importance_weighted_log_likelihood(*arguments)
    torch.manual_seed(0)
    assert torch.equal(importance_weighted_log_likelihood(*arguments), second)
    assert not torch.equal(first, second)


@pytest.mark.parametrize("shift", [-1e5, 1e5])
def test_likelihoods_beyond_exp_are_fine(shift: float) -> None:
    """The logarithms are summed without leaving the range of floats."""
    model = Linear()
    bound = importance_weighted_log_likelihood(
        model.x, model.mean, model.log_var, lambda z, x: model(z, x) + shift, samples=5
    )
    torch.testing.assert_close(bound, model.exact + shift)


def test_latents_have_the_posteriors_dtype() -> None:
    """Float32 latents reach the decoder; the sums are float64 all the same."""
    model = Linear()

    def log_likelihood(z: Tensor, x: Tensor) -> Tensor:
        assert z.dtype == torch.float32
        return model(z, x)

    mean, log_var = model.mean.float(), model.log_var.float()
    bound = importance_weighted_log_likelihood(model.x, mean, log_var, log_likelihood)
    assert bound.dtype == torch.float64
    torch.testing.assert_close(bound, model.exact, rtol=1e-4, atol=1e-4)


def test_images_go_with_their_latents() -> None:
    """Each image comes as it is, uint8 too, beside every one of its latents; no gradient."""
    x = torch.arange(5, dtype=torch.uint8).reshape(5, 1, 1, 1).expand(5, 3, 2, 2)
    mean = torch.arange(5.0)[:, None].expand(5, 2)
    layer = nn.Linear(2, 1)

    def log_likelihood(z: Tensor, x: Tensor) -> Tensor:
        assert x.dtype == torch.uint8
        assert torch.equal(z.round(), x[:, 0, 0, :].float())
        result: Tensor = layer(z)[:, 0]
        assert not result.requires_grad
        return result

    log_var = torch.full((5, 2), -20.0)
    importance_weighted_log_likelihood(x, mean, log_var, log_likelihood, samples=3, chunk=6)


def test_no_images_have_no_bounds() -> None:
    """An empty batch gives an empty result."""
    none = torch.zeros(0, 2)
    assert importance_weighted_log_likelihood(none, none, none, Linear()).shape == (0,)


@pytest.mark.parametrize("name", ["samples", "chunk"])
@pytest.mark.parametrize(
    ("value", "error"), [(0, ValueError), (2.0, ValueError), ("3", TypeError)]
)
def test_counts_are_counts(name: str, value: Any, error: type[Exception]) -> None:
    """The message names the argument and its value."""
    model = Linear()
    with pytest.raises(error, match=rf"`{name}` \(="):
        importance_weighted_log_likelihood(
            model.x, model.mean, model.log_var, model, **{name: value}
        )


def test_shapes_must_fit() -> None:
    """Posteriors of one shape, one per image, and one likelihood per latent."""
    model = Linear()
    x, mean, log_var = model.x, model.mean, model.log_var
    with pytest.raises(ValueError, match=r"`posterior_mean` .* and `posterior_log_var`"):
        importance_weighted_log_likelihood(x, mean, log_var[:1], model)
    with pytest.raises(ValueError, match=r"`posterior_mean` .*two dimensions"):
        importance_weighted_log_likelihood(x, mean[0], log_var[0], model)
    with pytest.raises(ValueError, match=r"`x` \(5, 9\) must have as many images"):
        importance_weighted_log_likelihood(x[:5], mean, log_var, model)
    with pytest.raises(ValueError, match=r"`log_likelihood` returned \(\); .*\(200,\)"):
        importance_weighted_log_likelihood(x, mean, log_var, lambda z, x: model(z, x).sum())
