"""The maths of latents and losses, in every float type and over all its values: never NaN."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from easyvae import VAE, BetaLoss, fit, lerp, reparameterize, slerp
from easyvae.losses import kl_divergence
from easyvae.model import VAEOutput

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@st.composite
def tensors(draw: st.DrawFn, *, least: float = -math.inf, most: float = math.inf) -> Tensor:
    """Finite numbers of any size that a float type holds, 2 rows of 1 to 5 of them.

    Its largest and smallest numbers, subnormal ones and both zeros are drawn more often.
    """
    dtype = draw(st.sampled_from(DTYPES))
    kind = torch.finfo(dtype)
    low, high = max(least, kind.min), min(most, kind.max)
    special = [0.0, -0.0, 1.0, -1.0, kind.tiny, -kind.tiny, kind.eps, kind.max, kind.min]
    number = st.one_of(
        st.sampled_from([x for x in special if low <= x <= high]),
        st.floats(-8, 8).filter(lambda x: low <= x <= high),
        st.floats(low, high),
    )
    size = draw(st.integers(1, 5))
    rows = draw(st.lists(number, min_size=2 * size, max_size=2 * size))
    return torch.tensor(rows, dtype=torch.float64).to(dtype).reshape(2, size).clamp(low, high)


@given(tensors(), st.integers(0, 2**32 - 1))
def test_a_sample_is_finite_where_the_posterior_is_sane(mean: Tensor, seed: int) -> None:
    """With a variance of up to e^16 and noise of some sigmas, it is the mean plus the noise.

    It has the mean's type; only where mean and noise together pass its range is it infinite.
    """
    for log_var in (-1e4, -20.0, 0.0, 16.0):
        spread = torch.full_like(mean, log_var)
        generator = torch.Generator().manual_seed(seed)
        z = reparameterize(mean, spread, generator=generator)
        assert z.dtype == mean.dtype
        assert not z.isnan().any()
        bound = mean.double().abs() + 10 * math.exp(log_var / 2)
        assert z[bound < torch.finfo(mean.dtype).max].isfinite().all()
        if log_var == -1e4:
            assert torch.equal(z, mean)


@given(tensors(least=-1e18, most=1e18), tensors())
def test_the_kl_is_never_nan_or_negative(mean: Tensor, log_var: Tensor) -> None:
    """For means of up to 1e18 and any log-variance, of any types; its gradients are finite."""
    size = min(mean.shape[1], log_var.shape[1])
    mean = mean[:, :size].clone().requires_grad_()
    log_var = log_var[:, :size].clone().requires_grad_()
    kl = kl_divergence(mean, log_var)
    assert kl.dtype in (torch.float32, torch.float64)
    assert not kl.isnan().any()
    assert (kl >= 0).all()
    kl.sum().backward()
    assert mean.grad.isfinite().all()
    assert log_var.grad.isfinite().all()


@pytest.mark.parametrize("path", [lerp, slerp])
@given(tensors(), st.floats(0, 1), st.randoms(use_true_random=False))
def test_paths_within_the_ends_are_finite(
    path: object, a: Tensor, t: float, chance: object
) -> None:
    """From any vector to any permutation of it or its opposite, in the type of the ends."""
    order = list(range(a.shape[1]))
    chance.shuffle(order)  # type: ignore[attr-defined]  # a `random.Random`
    for b in (a, -a, a[:, order], torch.zeros_like(a)):
        point = path(a, b, t)  # type: ignore[operator]  # one of the two
        assert point.dtype == a.dtype
        assert point.isfinite().all()


@pytest.mark.parametrize("name", ["bce", "mse", "l1", "gaussian"])
@given(tensors(least=-1e4, most=1e4), st.integers(0, 2**32 - 1))
def test_losses_and_gradients_are_finite(name: str, values: Tensor, seed: int) -> None:
    """For logits, means and log-variances of up to 1e4, in any type, and images in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    n, size = values.shape
    x = torch.rand(n, 1, size, generator=generator, dtype=torch.float64).to(values.dtype)
    logits = values.clone().reshape(n, 1, size).requires_grad_()
    mean, log_var = (values.clone().requires_grad_() for _ in range(2))
    output = VAEOutput(logits.sigmoid(), mean, log_var, mean, logits)
    terms = BetaLoss(0.5, reconstruction=name, free_bits=0.1).terms(output, x)  # type: ignore[arg-type]  # one of the names
    assert all(bool(term.isfinite().all()) for term in terms)
    terms.total.backward()
    for leaf in (logits, mean, log_var):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()


@pytest.mark.parametrize("name", ["bce", "mse", "l1", "gaussian"])
@pytest.mark.parametrize("norm", [None, "batch"])
def test_training_under_bfloat16_stays_finite(name: str, norm: str | None) -> None:
    """Forty steps at ten times the default rate, on black, white and noise: finite, and better."""
    generator = torch.Generator().manual_seed(0)
    images = torch.cat(
        [
            torch.zeros(20, 1, 12, 12),
            torch.ones(20, 1, 12, 12),
            torch.rand(40, 1, 12, 12, generator=generator),
        ]
    )
    model = VAE([8, 16], 4, image_size=12, in_channels=1, norm=norm, residual_blocks=1)
    history = fit(
        model,
        images,
        loss=BetaLoss(0.01, reconstruction=name),  # type: ignore[arg-type]  # one of the names
        epochs=8,
        batch_size=16,
        lr=0.02,
        validation=None,
        precision="bfloat16",
        start="random",
        progress=False,
        device="cpu",
    )
    losses = history["train_loss"]
    assert all(math.isfinite(loss) for loss in losses)
    assert losses[-1] < losses[0]
    assert all(bool(p.isfinite().all()) for p in model.parameters())
