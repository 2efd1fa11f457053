"""What latents hold: the KL divergence per dimension, and how many dimensions are in use."""

import math
from typing import Any

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from easyvae.metrics import active_units, kl_per_dimension


def test_kl_is_that_of_torch() -> None:
    """Averaged over images it equals `torch.distributions`."""
    mean = 2 * torch.randn(50, 6, dtype=torch.float64)
    log_var = 3 * torch.randn(50, 6, dtype=torch.float64)
    expected = kl_divergence(Normal(mean, (log_var / 2).exp()), Normal(0.0, 1.0)).mean(0)
    torch.testing.assert_close(kl_per_dimension(mean, log_var), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_kl_is_zero_at_the_prior_and_never_less(dtype: torch.dtype) -> None:
    """In every dtype; the result is float64, and tiny divergences have their digits."""
    zeros = torch.zeros(3, 4, dtype=dtype)
    assert torch.equal(kl_per_dimension(zeros, zeros), torch.zeros(4, dtype=torch.float64))
    tiny = torch.full((3, 4), 2.0**-10, dtype=dtype)
    kl = kl_per_dimension(zeros, tiny)
    torch.testing.assert_close(kl, torch.full_like(kl, 2.0**-20 / 4), rtol=1e-3, atol=0)
    assert (kl_per_dimension(zeros, 1e-9 * torch.randn(3, 4)) >= 0).all()


@pytest.mark.parametrize("active", [0, 3, 8])
def test_active_units_are_counted(active: int) -> None:
    """Dimensions that vary count; those with a mean of their own but no variance do not."""
    mean = torch.full((1000, 8), 5.0) + 0.01 * torch.randn(1000, 8)
    mean[:, :active] += torch.randn(1000, active)
    assert active_units(mean) == active


def test_the_threshold_is_a_variance() -> None:
    """A standard deviation of 0.2 is above 0.01 and below 0.05."""
    mean = torch.tensor([[0.2], [-0.2]])
    assert active_units(mean) == 1
    assert active_units(mean, threshold=0.05) == 0


def test_one_image_shows_no_activity() -> None:
    """Nothing varies over a single image."""
    assert active_units(torch.randn(1, 8)) == 0


@pytest.mark.parametrize("threshold", [-0.1, math.nan, math.inf])
def test_wrong_thresholds_are_refused(threshold: float) -> None:
    """The message shows the value."""
    with pytest.raises(ValueError, match=r"`threshold` \(="):
        active_units(torch.randn(4, 8), threshold)


@pytest.mark.parametrize("wrong", [torch.zeros(4), torch.zeros(0, 4), torch.zeros(2, 3, 4)])
def test_wrong_shapes_are_refused(wrong: Any) -> None:
    """Latents are (N, D) with at least one row."""
    with pytest.raises(ValueError, match="`mean`"):
        active_units(wrong)
    with pytest.raises(ValueError, match="`mean`"):
        kl_per_dimension(wrong, wrong)


def test_parameters_do_not_broadcast() -> None:
    """A mean and log-variance of two shapes, or of integers, are refused."""
    with pytest.raises(ValueError, match=r"`mean` \(4, 8\) and `log_var` \(1, 8\)"):
        kl_per_dimension(torch.zeros(4, 8), torch.zeros(1, 8))
    with pytest.raises(TypeError, match="`log_var` must be a float tensor"):
        kl_per_dimension(torch.zeros(4, 8), torch.zeros(4, 8).long())
