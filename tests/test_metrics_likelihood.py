"""Likelihoods: those of `torch.distributions`, and exact where the model has a closed form."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal

from easyvae.metrics import bernoulli_log_likelihood, bits_per_dimension, normal_log_density


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
