"""Likelihoods: those of `torch.distributions`, and exact where the model has a closed form."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from easyvae.metrics import (
    bernoulli_log_likelihood,
    bits_per_dimension,
    importance_weighted_log_likelihood,
    normal_log_density,
)


@pytest.mark.parametrize(
    ("shape", "count"),
    [((3, 64, 64), 12288), (torch.Size([1, 5]), 5), ([2, 3, 4, 5], 120), (np.int64(7), 7), (1, 1)],
)
def test_bits_are_nats_over_values(shape: Any, count: int) -> None:
    """A bit per value is `log(2)` nats for each of them; numbers and tensors keep their kind."""
    assert bits_per_dimension(count * math.log(2), shape) == pytest.approx(1)
    nats = torch.tensor([1.0, -2.0]) * count * math.log(2)
    torch.testing.assert_close(bits_per_dimension(nats, shape), torch.tensor([1.0, -2.0]))


@pytest.mark.parametrize(
    ("shape", "error"),
    [(0, ValueError), ((3, 0, 4), ValueError), ((3, 2.5), ValueError), (None, TypeError)],
)
def test_sizes_are_counts(shape: Any, error: type[Exception]) -> None:
    """Anything else is refused."""
    with pytest.raises(error, match="`shape`"):
        bits_per_dimension(1.0, shape)


@pytest.mark.parametrize("shape", [(4, 7), (3, 1, 20), (2, 3, 8, 9), (2, 1, 3, 4, 5)])
def test_bernoulli_is_that_of_torch(shape: tuple[int, ...]) -> None:
    """Summed over all but the first dimension."""
    logits, x = 5 * torch.randn(shape), torch.rand(shape).round()
    expected = Bernoulli(logits=logits.double()).log_prob(x.double()).flatten(1).sum(1)
    result = bernoulli_log_likelihood(logits, x)
    assert result.dtype == torch.float64
    torch.testing.assert_close(result, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("logit", [1e4, -1e4])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_extreme_logits_are_finite(logit: float, target: float, dtype: torch.dtype) -> None:
    """Each value has `target l - max(l, 0)` there."""
    logits = torch.full((2, 48), logit, dtype=dtype)
    exact = float(logits[0, 0])
    expected = 48 * (target * exact - max(exact, 0))
    result = bernoulli_log_likelihood(logits, torch.full((2, 48), target))
    assert result.tolist() == pytest.approx([expected, expected])


def test_bytes_are_255ths() -> None:
    """Targets of uint8 are the same as these divided by 255."""
    logits, x = torch.randn(2, 3, 4, 4), (torch.rand(2, 3, 4, 4) * 255).byte()
    assert torch.equal(
        bernoulli_log_likelihood(logits, x), bernoulli_log_likelihood(logits, x / 255)
    )


@pytest.mark.parametrize("wrong", [-0.01, 1.01, math.nan, math.inf])
def test_bernoulli_refuses_values_beyond_its_range(wrong: float) -> None:
    """A single value outside [0, 1] is an error that says so."""
    x = torch.rand(2, 3, 4, 4)
    x[1, 2, 0, 3] = wrong
    with pytest.raises(ValueError, match=r"`x` has values from .* must be in \[0, 1\]"):
        bernoulli_log_likelihood(torch.zeros_like(x), x)


@pytest.mark.parametrize("shape", [(4, 7), (2, 3, 8, 9)])
def test_normal_is_that_of_torch(shape: tuple[int, ...]) -> None:
    """Given tensors or single numbers for the mean and the log-variance."""
    z, mean, log_var = torch.randn(3, *shape, dtype=torch.float64)
    for m, v in ((mean, log_var), (0.3, log_var), (mean, -0.7), (0.0, 0.0)):
        scale = torch.exp(torch.as_tensor(v, dtype=torch.float64) / 2)
        expected = Normal(torch.as_tensor(m, dtype=torch.float64), scale).log_prob(z)
        torch.testing.assert_close(normal_log_density(z, m, v), expected.flatten(1).sum(1))
    torch.testing.assert_close(normal_log_density(z), normal_log_density(z, 0.0, 0.0))


def test_no_rows_have_no_values() -> None:
    """An empty batch gives an empty result."""
    none = torch.zeros(0, 3)
    assert bernoulli_log_likelihood(none, none).shape == normal_log_density(none).shape == (0,)


def test_arguments_do_not_broadcast() -> None:
    """Tensors of two shapes are refused, and so are integers."""
    z = torch.zeros(4, 4)
    with pytest.raises(ValueError, match=r"`z` \(4, 4\) and `mean` \(4,\)"):
        normal_log_density(z, torch.zeros(4))
    with pytest.raises(ValueError, match=r"`z` \(4, 4\) and `log_var` \(1, 4\)"):
        normal_log_density(z, z, torch.zeros(1, 4))
    with pytest.raises(ValueError, match=r"`logits` \(4, 4\) and `x` \(4, 1\)"):
        bernoulli_log_likelihood(z, torch.zeros(4, 1))
    with pytest.raises(TypeError, match="`z` must be a float tensor"):
        normal_log_density(z.int())
    with pytest.raises(TypeError, match="`logits` must be a float tensor"):
        bernoulli_log_likelihood(z.int(), z)


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
