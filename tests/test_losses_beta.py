"""The loss: what it equals, that it stays finite, and what it refuses."""

import math
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Laplace, Normal
from torch.distributions import kl_divergence as reference_kl

from easyvae import VAE, BetaLoss, LossTerms, VAEOutput
from easyvae.losses import RECONSTRUCTION_TERMS, LinearWarmup, kl_divergence

TERMS = sorted(RECONSTRUCTION_TERMS)
SEEDS = st.integers(0, 2**31)
SHAPES = st.tuples(
    st.integers(1, 4), st.lists(st.integers(1, 7), min_size=1, max_size=3), st.integers(1, 5)
)


class Bare(NamedTuple):
    """The least that a loss reads."""

    reconstruction: Tensor
    logits: Tensor
    mean: Tensor
    log_var: Tensor


def make(
    seed: int,
    n: int = 3,
    spatial: tuple[int, ...] = (3, 5, 4),
    latent: int = 6,
    dtype: torch.dtype = torch.float32,
) -> tuple[Bare, Tensor]:
    """An output of any numbers, and images."""
    g = torch.Generator().manual_seed(seed)
    logits, mean, log_var = (
        2 * torch.randn(shape, generator=g, dtype=torch.float64)
        for shape in ((n, *spatial), (n, latent), (n, latent))
    )
    x = torch.rand(n, *spatial, generator=g, dtype=torch.float64)
    parts = (logits.sigmoid(), logits, mean, log_var)
    return Bare(*(part.to(dtype) for part in parts)), x.to(dtype)


def scale(log_var: Tensor) -> Tensor:
    return (log_var.double() / 2).exp()


# KL divergence


@settings(max_examples=300)
@given(
    st.floats(-100, 100),
    st.floats(-30, 30),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_kl_is_that_of_torch(mean: float, log_var: float, dtype: torch.dtype) -> None:
    """Element by element it equals `torch.distributions`, to the precision of its dtype."""
    m, v = torch.tensor(mean, dtype=dtype), torch.tensor(log_var, dtype=dtype)
    kl = kl_divergence(m, v)
    expected = reference_kl(Normal(m.double(), scale(v)), Normal(0.0, 1.0))
    assert kl.dtype == dtype
    eps = torch.finfo(dtype).eps
    # `torch.distributions` itself is a difference of numbers near one.
    torch.testing.assert_close(kl.double(), expected, rtol=8 * eps, atol=1e-15 + eps / 8)


@settings(max_examples=300)
@given(
    st.floats(-1, 1),
    st.floats(-1, 1),
    st.integers(0, 40),
    st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
)
def test_kl_is_never_negative(mean: float, log_var: float, shift: int, dtype: torch.dtype) -> None:
    """Not by an ulp, however small the numbers; and it is zero at the prior only."""
    m = torch.tensor(mean * 2.0**-shift, dtype=dtype)
    v = torch.tensor(log_var * 2.0**-shift, dtype=dtype)
    assert float(kl_divergence(m, v)) >= 0
    assert float(kl_divergence(m * 0, v * 0)) == 0


@settings(max_examples=200)
@given(
    st.floats(-100, 100),
    st.floats(-30, 30),
    st.sampled_from([torch.float32, torch.float64]),
)
def test_kl_has_its_own_gradient(mean: float, log_var: float, dtype: torch.dtype) -> None:
    """Its gradients are the mean itself and (exp(v) - 1) / 2."""
    m = torch.tensor(mean, dtype=dtype, requires_grad=True)
    v = torch.tensor(log_var, dtype=dtype, requires_grad=True)
    kl_divergence(m, v).backward()
    torch.testing.assert_close(m.grad, m.detach())
    expected = torch.expm1(v.detach().double()) / 2
    eps = torch.finfo(dtype).eps
    assert v.grad is not None
    torch.testing.assert_close(v.grad.double(), expected, rtol=8 * eps, atol=eps)


def test_kl_is_accurate_near_the_prior() -> None:
    """For a log-variance v near 0 it is v^2 / 4, where exp(v) - 1 - v would be all rounding."""
    v = torch.tensor([1e-3, -1e-3, 3e-3, -3e-3])
    expected = v.double() ** 2 / 4 + v.double() ** 3 / 12
    torch.testing.assert_close(kl_divergence(v * 0, v).double(), expected, rtol=2e-4, atol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("log_var", [12.0, 61.0, 89.0, 1e3, 1e4])
def test_kl_is_finite_and_points_back(log_var: float, sign: int, dtype: torch.dtype) -> None:
    """At any log-variance the KL is finite, and so is its gradient, which leads to the prior."""
    v = torch.full((2, 3), sign * log_var, dtype=dtype, requires_grad=True)
    m = torch.ones(2, 3, dtype=dtype, requires_grad=True)
    kl = kl_divergence(m, v)
    assert kl.dtype in (torch.float32, torch.float64)
    assert kl.isfinite().all()
    kl.mean().backward()
    assert v.grad is not None
    assert v.grad.isfinite().all()
    assert (v.grad.sign() == sign).all()
    assert m.grad is not None
    assert (m.grad > 0).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_kl_has_no_step_at_its_tangent(dtype: torch.dtype) -> None:
    """Where the exponential goes on as its tangent, value and slope go on too."""
    limit = 11.0 if dtype == torch.float16 else 60.0
    v = torch.tensor([limit * 0.99, limit, limit * 1.01]).to(dtype).requires_grad_()
    kl = kl_divergence(torch.zeros(3, dtype=dtype), v)
    assert kl[0] < kl[1] < kl[2]
    kl.sum().backward()
    assert v.grad is not None
    assert v.grad[0] < v.grad[1] == v.grad[2]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("term", TERMS)
def test_the_loss_of_half_precision_is_finite(term: Any, sign: int, dtype: torch.dtype) -> None:
    """With outputs of half precision and log-variances of +-1e4 the whole loss has gradients."""
    logits = torch.randn(2, 3, 4, 4).to(dtype).requires_grad_()
    mean = torch.randn(2, 5).to(dtype).requires_grad_()
    log_var = torch.full((2, 5), sign * 1e4, dtype=dtype, requires_grad=True)
    loss = BetaLoss(1.0, reconstruction=term)(
        Bare(logits.sigmoid(), logits, mean, log_var), torch.rand(2, 3, 4, 4).to(dtype)
    )
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    loss.backward()
    for leaf in (logits, mean, log_var):
        assert leaf.grad is not None
        assert leaf.grad.isfinite().all()
        assert leaf.grad.any()
    assert log_var.grad is not None
    assert (log_var.grad.sign() == sign).all()


# What the terms equal


@settings(max_examples=80)
@given(SEEDS, SHAPES, st.booleans())
def test_beta_one_is_the_negative_elbo(
    seed: int, shape: tuple[int, list[int], int], binary: bool
) -> None:
    """For any image, batch and latent size it is -log p(x|z) + KL, by `torch.distributions`."""
    n, spatial, latent = shape
    output, x = make(seed, n, tuple(spatial), latent, torch.float64)
    x = x.round() if binary else x
    # For targets between 0 and 1 the cross-entropy is the same expression.
    likelihood = Bernoulli(logits=output.logits, validate_args=False).log_prob(x)
    kl = reference_kl(Normal(output.mean, scale(output.log_var)), Normal(0.0, 1.0))
    elbo = likelihood.flatten(1).sum(1) - kl.sum(1)
    torch.testing.assert_close(BetaLoss(reduction="none")(output, x), -elbo)
    torch.testing.assert_close(BetaLoss()(output, x), -elbo.mean())
    torch.testing.assert_close(BetaLoss(reduction="sum")(output, x), -elbo.sum())


@settings(max_examples=40)
@given(SEEDS, SHAPES)
def test_mse_is_a_unit_normal(seed: int, shape: tuple[int, list[int], int]) -> None:
    """Half the squared error is the negative log-likelihood without its constant."""
    n, spatial, latent = shape
    output, x = make(seed, n, tuple(spatial), latent, torch.float64)
    nll = -Normal(output.reconstruction, 1.0).log_prob(x) - math.log(2 * math.pi) / 2
    terms = BetaLoss(reconstruction="mse", reduction="none").terms(output, x)
    torch.testing.assert_close(terms.reconstruction, nll.flatten(1).sum(1))


@settings(max_examples=40)
@given(SEEDS, SHAPES)
def test_l1_is_a_unit_laplace(seed: int, shape: tuple[int, list[int], int]) -> None:
    """The absolute error is the negative log-likelihood without its constant."""
    n, spatial, latent = shape
    output, x = make(seed, n, tuple(spatial), latent, torch.float64)
    nll = -Laplace(output.reconstruction, 1.0).log_prob(x) - math.log(2)
    terms = BetaLoss(reconstruction="l1", reduction="none").terms(output, x)
    torch.testing.assert_close(terms.reconstruction, nll.flatten(1).sum(1))


@settings(max_examples=40)
@given(SEEDS, SHAPES)
def test_gaussian_has_the_best_variance(seed: int, shape: tuple[int, list[int], int]) -> None:
    """It is the likelihood under one variance, and no other variance is better for the batch."""
    n, spatial, latent = shape
    output, x = make(seed, n, tuple(spatial), latent, torch.float64)
    nll = BetaLoss(reconstruction="gaussian", reduction="sum").terms(output, x).reconstruction
    best = (output.reconstruction - x).square().mean()
    grid = best * torch.logspace(-2, 2, 401, dtype=torch.float64)
    error = (output.reconstruction - x).flatten()
    each = -Normal(0.0, grid.sqrt()[:, None]).log_prob(error).sum(1)
    torch.testing.assert_close(nll, each.min())  # the grid has the best one in its middle
    assert each.argmin() == 200


def test_gaussian_variance_loses_no_gradient() -> None:
    """The gradient is the same as if the variance were part of the graph."""
    output, x = make(0, dtype=torch.float64)
    r = output.reconstruction.clone().requires_grad_()
    BetaLoss(reconstruction="gaussian")(output._replace(reconstruction=r), x).backward()
    s = output.reconstruction.clone().requires_grad_()
    (x[0].numel() / 2 * (s - x).square().mean().log()).backward()
    torch.testing.assert_close(r.grad, s.grad)


def test_gaussian_of_a_perfect_batch_is_finite() -> None:
    """No error at all is no infinite likelihood."""
    output, _ = make(0)
    assert BetaLoss(reconstruction="gaussian")(output, output.reconstruction).isfinite()


@pytest.mark.parametrize("term", ["bce", "mse", "l1"])
@pytest.mark.parametrize("factor", [2, 3])
def test_beta_does_not_depend_on_the_image_size(term: Any, factor: int) -> None:
    """With the same error per value, `factor^2` as many values are `factor^2` the error.

    The KL is the same, so no beta has to change with the size, and none is hidden in a mean.
    """
    small, x = make(0)
    repeat = (1, 1, factor, factor)
    large = small._replace(
        reconstruction=small.reconstruction.repeat(repeat), logits=small.logits.repeat(repeat)
    )
    a = BetaLoss(0.1, reconstruction=term).terms(small, x)
    b = BetaLoss(0.1, reconstruction=term).terms(large, x.repeat(repeat))
    torch.testing.assert_close(b.reconstruction, factor**2 * a.reconstruction)
    torch.testing.assert_close(b.kl, a.kl)
    torch.testing.assert_close(b.total, b.reconstruction + 0.1 * a.kl)


@pytest.mark.parametrize("term", TERMS)
@pytest.mark.parametrize("beta", [0, 0.005, 1, 4])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_total_is_the_sum_of_its_parts(term: Any, beta: float, reduction: Any) -> None:
    """`total = reconstruction + beta * kl`, and calling the loss is its total."""
    output, x = make(1)
    loss = BetaLoss(beta, reconstruction=term, reduction=reduction)
    terms = loss.terms(output, x)
    assert isinstance(terms, LossTerms)
    assert terms._fields == ("total", "reconstruction", "kl")
    assert all(part.shape == (() if reduction != "none" else (3,)) for part in terms)
    torch.testing.assert_close(terms.total, terms.reconstruction + beta * terms.kl)
    assert torch.equal(loss(output, x), terms.total)


@pytest.mark.parametrize("term", ["bce", "mse", "l1"])
def test_reductions_are_those_of_the_batch(term: Any) -> None:
    """The mean and the sum of the loss are those of its values per image."""
    output, x = make(2)
    each = BetaLoss(0.5, reconstruction=term, reduction="none")
    for field, part in each.terms(output, x)._asdict().items():
        for reduction in ("mean", "sum"):
            loss = BetaLoss(0.5, reconstruction=term, reduction=reduction)  # type: ignore[arg-type]  # mypy widens it to str
            whole = getattr(loss.terms(output, x), field)
            torch.testing.assert_close(whole, getattr(part, reduction)())
    alone = [each(Bare(*(t[i : i + 1] for t in output)), x[i : i + 1]) for i in range(3)]
    torch.testing.assert_close(torch.cat(alone), each(output, x))


def test_the_loss_reads_what_a_model_returns() -> None:
    """A `VAEOutput` is an output, and its gradients reach every parameter."""
    for term in TERMS:
        model, x = VAE([8, 16], 4, image_size=(10, 7)), torch.rand(2, 3, 10, 7)
        output = model(x)
        assert isinstance(output, VAEOutput)
        BetaLoss(0.5, reconstruction=term)(output, x).backward()  # type: ignore[arg-type]  # a str
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


# Targets


@pytest.mark.parametrize("term", TERMS)
def test_bytes_are_255ths(term: Any) -> None:
    """Targets of uint8 are the same as these divided by 255."""
    output, x = make(3)
    x = (x * 255).byte()
    loss = BetaLoss(reconstruction=term)
    assert torch.equal(loss(output, x), loss(output, x / 255))


@pytest.mark.parametrize("wrong", [-0.01, 1.01, 255.0, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, -1])
def test_bce_refuses_targets_beyond_its_range(wrong: float, where: int) -> None:
    """A single value outside [0, 1] is an error that says so."""
    output, x = make(4)
    x[where, where, where, where] = wrong
    with pytest.raises(ValueError, match=r"`x` has values from .* in \[0, 1\]"):
        BetaLoss()(output, x)


@pytest.mark.parametrize("term", ["mse", "l1", "gaussian"])
def test_other_terms_take_any_range(term: Any) -> None:
    """Standardised data has a loss too."""
    output, x = make(4)
    assert BetaLoss(reconstruction=term)(output, 4 * x - 2).isfinite()


@pytest.mark.parametrize("shape", [(3, 3, 5, 5), (1, 3, 5, 4), (3, 5, 4), (3, 1, 5, 4)])
def test_targets_do_not_broadcast(shape: tuple[int, ...]) -> None:
    """A target of another shape is refused, even where it would broadcast."""
    output, _ = make(5)
    with pytest.raises(ValueError, match=r"`x` .* must have the shape of the reconstruction"):
        BetaLoss()(output, torch.rand(shape))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("logit", [1e4, -1e4])
@pytest.mark.parametrize("target", [0.0, 0.5, 1.0])
def test_extreme_logits_are_finite(logit: float, target: float, dtype: torch.dtype) -> None:
    """The cross-entropy of logits of +-1e4 is what it should be, as is its gradient."""
    logits = torch.full((2, 3, 4, 4), logit, dtype=dtype, requires_grad=True)
    zeros = torch.zeros(2, 4)
    output = Bare(logits.sigmoid(), logits, zeros, zeros)
    loss = BetaLoss()(output, torch.full((2, 3, 4, 4), target))
    rounded = float(logits.detach().max())
    expected = 48 * (max(rounded, 0) - target * rounded)
    assert float(loss.detach()) == pytest.approx(expected)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
    assert float(logits.grad.mean()) == pytest.approx(((logit > 0) - target) / 2)


@pytest.mark.parametrize("term", TERMS)
def test_autocast_makes_no_difference(term: Any) -> None:
    """Under autocast the loss runs in float32: it equals the one outside bit for bit."""
    output, x = make(6)
    half = Bare(*(part.bfloat16() for part in output))
    loss = BetaLoss(reconstruction=term)
    with torch.autocast("cpu", torch.bfloat16):
        inside, inside_half = loss(output, x), loss(half, x)
    assert inside.dtype == inside_half.dtype == torch.float32
    assert torch.equal(inside, loss(output, x))
    assert torch.equal(inside_half, loss(half, x))
    torch.testing.assert_close(inside_half, inside, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("term", TERMS)
def test_a_model_under_autocast(term: Any) -> None:
    """A model's loss under bfloat16 autocast is that of float32, to bfloat16's precision."""
    model, x = VAE([8, 16], 4, image_size=16), torch.rand(4, 3, 16, 16)
    loss = BetaLoss(reconstruction=term)
    wide = loss(model(x, generator=torch.Generator().manual_seed(0)), x)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = loss(model(x, generator=torch.Generator().manual_seed(0)), x)
    torch.testing.assert_close(narrow, wide, rtol=0.03, atol=1.0)
    narrow.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


# Free bits


def test_free_bits_change_the_total_only() -> None:
    """The KL in the terms remains the true one."""
    output, x = make(7)
    plain, free = BetaLoss(2.0).terms(output, x), BetaLoss(2.0, free_bits=5.0).terms(output, x)
    assert torch.equal(free.kl, plain.kl)
    assert torch.equal(free.reconstruction, plain.reconstruction)
    per_dim = kl_divergence(output.mean, output.log_var).mean(0)
    expected = plain.reconstruction + 2 * per_dim.clamp(min=5.0).sum()
    torch.testing.assert_close(free.total, expected)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_free_bits_charge_no_dimension_below(reduction: Any) -> None:
    """Dimensions below the threshold have no gradient, and those above the full one."""
    _, x = make(8)
    base, _ = make(8)
    mean = (base.mean * torch.tensor([0.01, 0.01, 0.01, 3, 3, 3])).requires_grad_()
    log_var = torch.zeros(3, 6)
    output = base._replace(mean=mean, log_var=log_var)
    BetaLoss(0.5, free_bits=0.3, reduction=reduction)(output, x).sum().backward()
    assert mean.grad is not None
    n = 3 if reduction == "mean" else 1
    torch.testing.assert_close(mean.grad[:, :3], torch.zeros(3, 3))
    torch.testing.assert_close(mean.grad[:, 3:], 0.5 * mean.detach()[:, 3:] / n)


# Terms of the caller's own


def test_a_callable_is_a_reconstruction() -> None:
    """A function of output and images stands for a name, and sees floats of at least 32 bits."""
    seen = []

    def mine(output: Any, x: Tensor) -> Tensor:
        seen.append((output.reconstruction.dtype, output.logits.dtype, x.dtype))
        return (output.reconstruction - x).square().flatten(1).sum(1) / 2

    output, x = make(9)
    half = Bare(*(part.half() for part in output))
    own, named = BetaLoss(0.1, reconstruction=mine), BetaLoss(0.1, reconstruction="mse")
    assert torch.equal(own(output, x), named(output, x))
    assert torch.equal(own(half, (x * 255).byte()), named(half, (x * 255).byte()))
    assert set(seen) == {(torch.float32,) * 3}


def test_a_callable_sees_the_whole_output() -> None:
    """What else a model returns reaches a callable too."""
    model, x = VAE([8], 4, image_size=8), torch.rand(2, 3, 8, 8)
    loss = BetaLoss(0.0, reconstruction=lambda output, x: output.z.sum(1), reduction="none")  # type: ignore[attr-defined]  # `Output` promises no z
    output = model(x)
    assert torch.equal(loss(output, x), output.z.sum(1))


def test_a_module_is_a_reconstruction() -> None:
    """A module's parameters belong to the loss."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.tensor(2.0))

        def forward(self, output: Any, x: Tensor) -> Tensor:
            return self.scale * (output.reconstruction - x).abs().flatten(1).sum(1)

    output, x = make(9)
    loss = BetaLoss(reconstruction=Scaled())
    assert len(list(loss.parameters())) == 1
    torch.testing.assert_close(
        loss.terms(output, x).reconstruction,
        2 * BetaLoss(reconstruction="l1").terms(output, x).reconstruction,
    )


@pytest.mark.parametrize("shape", [(), (1,), (3, 3)])
def test_a_callable_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    """One value per image is what is asked for."""
    output, x = make(9)
    with pytest.raises(ValueError, match=r"`reconstruction` returned .*\(3,\)"):
        BetaLoss(reconstruction=lambda output, x: torch.zeros(shape))(output, x)


# Arguments


@pytest.mark.parametrize("name", ["beta", "free_bits"])
@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-0.1, ValueError),
        (math.nan, ValueError),
        (math.inf, ValueError),
        ("1", TypeError),
        (True, TypeError),
        (None, TypeError),
        ([1.0], TypeError),
    ],
)
def test_wrong_weights_are_refused(name: str, value: Any, error: type[Exception]) -> None:
    """The message names the argument and its value."""
    with pytest.raises(error, match=rf"`{name}` \(="):
        BetaLoss(**{name: value})


@pytest.mark.parametrize("value", ["BCE", "", None, 3, ["bce"]])
def test_unknown_terms_are_refused(value: Any) -> None:
    """The message lists what there is."""
    with pytest.raises(ValueError, match=r"`reconstruction`.*'bce', 'gaussian', 'l1', 'mse'"):
        BetaLoss(reconstruction=value)


@pytest.mark.parametrize("value", ["batchmean", None, True, ["mean"]])
def test_unknown_reductions_are_refused(value: Any) -> None:
    """The message lists what there is."""
    with pytest.raises(ValueError, match=r"`reduction`.*'mean', 'sum' or 'none'"):
        BetaLoss(reduction=value)


@pytest.mark.parametrize("value", [2, 2.0, torch.tensor(2.0)])
def test_any_number_is_a_beta(value: Any) -> None:
    """It is kept as a float."""
    assert BetaLoss(value).beta == 2.0
    assert type(BetaLoss(value).beta) is float


def test_looks() -> None:
    """A loss shows its arguments, by name and without addresses in memory."""

    def mine(output: Any, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)

    assert repr(BetaLoss(0.005)) == "BetaLoss(beta=0.005, reconstruction='bce')"
    assert "free_bits=0.1" in repr(BetaLoss(free_bits=0.1))
    assert "mine" in repr(BetaLoss(reconstruction=mine))
    assert "LinearWarmup(beta=0.5, share=0.1)" in repr(BetaLoss(LinearWarmup(0.5, 0.1)))
    assert " at 0x" not in repr(BetaLoss(lambda progress: progress, reconstruction=mine))


def test_what_is_no_batch_is_refused() -> None:
    """An array, and a batch of no images, whatever the term."""
    model = VAE([4], 2, image_size=8)
    x = torch.rand(2, 3, 8, 8)
    with pytest.raises(TypeError, match="`x` must be a tensor, not ndarray"):
        BetaLoss()(model(x), x.numpy())  # type: ignore[arg-type]  # that is the point
    for term in RECONSTRUCTION_TERMS:
        with pytest.raises(ValueError, match="must have at least one image"):
            BetaLoss(reconstruction=term)(model(x[:0]), x[:0])  # type: ignore[arg-type]  # a name
    with pytest.raises(TypeError, match="must be a tensor, not float"):
        BetaLoss(reconstruction=lambda output, x: 1.0)(model(x), x)  # type: ignore[arg-type, return-value]  # that is the point
