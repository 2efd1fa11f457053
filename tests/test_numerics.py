"""The maths of latents and losses, in every float type and over all its values: never NaN."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.utils.data import DataLoader

from easyvae import VAE, BetaLoss, fit, lerp, reparameterize, slerp
from easyvae.latents import (
    GaussianMixture,
    attribute_direction,
    blend,
    edit,
    principal_directions,
    traverse,
)
from easyvae.losses import LaplacianPyramid, kl_divergence
from easyvae.metrics import active_units, frechet_distance, nearest_distance, normal_log_density
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


# Latents of any magnitude

Path = Callable[..., Tensor]
BOTH = pytest.mark.parametrize("path", [lerp, slerp])
METHODS = pytest.mark.parametrize("method", ["lerp", "slerp"])
POSITIONS = st.one_of(
    st.floats(-1, 2),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([1e308, -1e308, 1.7976931348623157e308, 5e-324, 1e154, 0.5, 1 - 2**-53]),
)


@st.composite
def ends(draw: st.DrawFn, *, least: int = 2, most: int = 2) -> Tensor:
    """Latents of any float type, (K, 2, D), each row of a magnitude of its own.

    Such as 1e200 and 1e-200 in float64, the largest number, the smallest one, and zero.
    """
    dtype = draw(st.sampled_from(DTYPES))
    kind = torch.finfo(dtype)
    count, size = draw(st.integers(least, most)), draw(st.sampled_from([1, 2, 3, 64]))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    # Of some signs only, too: so that rows are parallel or opposite.
    rows = torch.rand(count, 2, size, generator=generator, dtype=torch.float64) * 2 - 1
    rows = rows.sign() if draw(st.booleans()) else rows
    smallest = kind.tiny * kind.eps
    root = math.log2(kind.max) * 0.65  # 2 to its power is 1e200 in float64
    magnitudes = [0.0, smallest, kind.tiny, 2**-root, 1.0, 2**root, kind.max / 8, kind.max]
    scale = torch.tensor(
        [[[draw(st.sampled_from(magnitudes))] for _ in range(2)] for _ in range(count)],
        dtype=torch.float64,
    )
    return (rows * scale).clamp(kind.min, kind.max).to(dtype)


@BOTH
@given(ends(), POSITIONS)
def test_paths_are_finite_at_any_magnitude(path: Path, pair: Tensor, t: float) -> None:
    """Whatever the ends and the position, however far outside: finite, and of their type.

    At 0 and 1 it is the ends, bit for bit.
    """
    a, b = pair
    for point in (path(a, b, t), path(a, b, [t, 0.5])):
        assert point.dtype == a.dtype
        assert point.isfinite().all()
    assert torch.equal(path(a, b, [0.0, 1.0]), pair)


@BOTH
@given(ends(), st.floats(-2, 3))
def test_paths_have_no_preferred_end_at_any_magnitude(path: Path, pair: Tensor, t: float) -> None:
    """`f(a, b, t) == f(b, a, 1 - t)`, to the rounding of the type."""
    a, b = pair
    kind = torch.finfo(a.dtype)
    forth, back = path(a, b, t).double(), path(b, a, 1 - t).double()
    # In units of the ends' largest number, since twice the largest float is none.
    unit = max(float(pair.abs().max()), kind.tiny)
    distance = (forth / unit - back / unit).abs().max()
    assert float(distance) <= 64 * kind.eps * pair.shape[-1] ** 0.5


@BOTH
@pytest.mark.parametrize("power", [-1000, -660, -300, 300, 660, 1000])
@pytest.mark.parametrize("t", [0.3, -0.5, 1.5])
def test_paths_do_not_depend_on_the_unit(path: Path, power: int, t: float) -> None:
    """Ends times 2^k lead to points times 2^k, to the last digits."""
    a, b = torch.randn(2, 4, 8, dtype=torch.float64)
    scale = math.ldexp(1.0, power)
    found = path(a * scale, b * scale, t)
    torch.testing.assert_close(found / scale, path(a, b, t), rtol=1e-13, atol=0)


def test_a_tiny_vector_has_a_direction_beside_a_huge_one() -> None:
    """Of 1e-200 and 1e200, half-way is half-way round, at half the larger norm."""
    east, north = torch.eye(2, dtype=torch.float64)
    expected = torch.full((2,), 0.5 * math.sqrt(0.5), dtype=torch.float64)
    for a, b in ((1e-200 * east, 1e200 * north), (1e200 * east, 1e-200 * north)):
        torch.testing.assert_close(slerp(a, b, 0.5) / 1e200, expected)
        middle = blend(torch.stack([a, b]), [1, 1], method="slerp")
        torch.testing.assert_close(middle / 1e200, expected)


@BOTH
def test_far_points_that_a_float_holds_are_found(path: Path) -> None:
    """The position may be beyond all bounds where the point is not, and the other way round."""
    a, b = torch.zeros(1, dtype=torch.float64), torch.full((1,), 1e-200, dtype=torch.float64)
    torch.testing.assert_close(path(a, b, 1e300), b * 1e300)
    torch.testing.assert_close(path(b, b, 1e308), b)
    limit = torch.finfo(torch.float64).max
    assert float(path(a, b + 1, 1e308)) == 1e308
    for factor, t in ((3.0, 1e308), (-3.0, 1e308), (3.0, -1e308)):
        assert float(path(a, b + factor, t)) == math.copysign(limit, factor * t)


@BOTH
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_what_lies_beyond_the_range_is_the_largest_number(path: Path, dtype: torch.dtype) -> None:
    """Twice the way to the largest float ends there."""
    largest = torch.tensor([torch.finfo(dtype).max, 0.0], dtype=dtype)
    assert torch.equal(path(torch.zeros_like(largest), largest, 2.0), largest)


@BOTH
@pytest.mark.parametrize("magnitude", [1e-200, 1e-150, 1e150, 1e200])
def test_gradients_of_paths_at_any_magnitude(path: Path, magnitude: float) -> None:
    """They are those of the same ends in another unit."""

    def gradients(scale: float) -> list[Tensor]:
        leaves = [(end * scale).requires_grad_() for end in torch.randn(2, 3, 5).double()]
        (path(*leaves, [0.3, 1.7]) * torch.arange(5)).sum().backward()
        return [leaf.grad for leaf in leaves if leaf.grad is not None]

    torch.manual_seed(1)
    found = gradients(magnitude)
    torch.manual_seed(1)
    torch.testing.assert_close(found, gradients(1.0))


WEIGHTS = [0.0, 5e-324, 1e-200, 0.5, 1.0, 1e200, 1e308, 1.7976931348623157e308]


@METHODS
@given(ends(least=1, most=4), st.data())
def test_blends_are_finite_at_any_magnitude(method: Any, points: Tensor, data: Any) -> None:
    """Whatever the points and the weights, some of them 0, all of them 1e308."""
    some = st.lists(st.sampled_from(WEIGHTS), min_size=len(points), max_size=len(points)).filter(
        any
    )
    weights = data.draw(some)
    z = blend(points, weights, method=method)
    assert z.dtype == points.dtype
    assert z.isfinite().all()
    if sum(map(bool, weights)) == 1:  # a point that has all the weight comes out
        alone = points[[bool(weight) for weight in weights].index(True)]
        rounding = 8 * torch.finfo(z.dtype).eps * alone.double().abs().amax(-1, keepdim=True)
        assert ((z.double() - alone.double()).abs() <= rounding).all()


@METHODS
@pytest.mark.parametrize("power", [-660, 660, 1000])
def test_blends_do_not_depend_on_the_units(method: Any, power: int) -> None:
    """Neither on that of the points, nor on that of the weights."""
    points, w = torch.randn(3, 2, 8).double(), torch.tensor([0.5, 0.25, 1.0]).double()
    scale, expected = math.ldexp(1.0, power), blend(points, w, method=method)
    for found in (
        blend(points * scale, w, method=method) / scale,
        blend(points, w * scale, method=method),
    ):
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)


@METHODS
def test_blends_of_nothing_are_refused(method: Any) -> None:
    """The error is ours and names the points; no sets of weights are no blends."""
    for shape, weights in (((0, 4), []), ((0, 3, 4), torch.zeros(2, 0)), ((2, 0, 4), [1, 1])):
        with pytest.raises(ValueError, match=r"`points` .* with at least one latent"):
            blend(torch.zeros(shape), weights, method=method)
    assert blend(torch.zeros(2, 3, 4), torch.zeros(0, 2), method=method).shape == (0, 3, 4)


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_devices_without_float64(monkeypatch: pytest.MonkeyPatch, scale: float) -> None:
    """Where float32 is the widest type, its squares leave the range from 1e19 on."""
    monkeypatch.setattr("easyvae.latents.paths.widest", lambda device: torch.float32)
    points = torch.randn(2, 3, 8)
    for call in (lambda x: slerp(*x, 0.3), lambda x: lerp(*x, 0.3), lambda x: blend(x, [1, 2])):
        torch.testing.assert_close(
            call(points * scale) / scale, call(points), rtol=1e-5, atol=1e-6
        )


@BOTH
def test_positions_beyond_all_floats_are_refused(path: Path) -> None:
    """An integer of 400 digits is a number, and the message says which argument it is."""
    with pytest.raises(ValueError, match="`t` must be finite"):
        path(torch.zeros(2), torch.ones(2), 10**400)
    with pytest.raises(ValueError, match="`weights` must be finite"):
        blend(torch.ones(2, 2), [10**400, 1])


@pytest.mark.parametrize("scale", [5e-324, 1e-320, 1e-200, 1e200, 1.7e308])
def test_directions_at_any_magnitude(scale: float) -> None:
    """They are finite, and those of the same latents in another unit."""
    latents = torch.randn(20, 3, dtype=torch.float64).clamp(-1, 1)
    huge = latents * scale
    found, gap = principal_directions(huge, 2), attribute_direction(huge[:9], huge[9:])
    assert found.isfinite().all()
    assert gap.isfinite().all()
    if scale > 1e-300:
        torch.testing.assert_close(found / scale, principal_directions(latents, 2))
        torch.testing.assert_close(gap / scale, attribute_direction(latents[:9], latents[9:]))
    half = torch.tensor([[65504.0, 1.0], [-65504.0, 2.0], [0.0, 3.0]], dtype=torch.float16)
    assert principal_directions(half, 2).isfinite().all()
    assert attribute_direction(half[:1], half[1:2])[0] == 65504
    with pytest.raises(ValueError, match="`latents` must be finite"):
        principal_directions(latents / 0, 2)
    with pytest.raises(TypeError, match="`with_it`"):
        attribute_direction(half.int(), half.int())


@pytest.mark.parametrize("scale", [0.0, 5e-324, 1e-200, 1e200, 1.7e308])
@pytest.mark.parametrize("constant", [False, True])
def test_mixtures_at_any_magnitude(scale: float, constant: bool) -> None:
    """Of latents of any size, also of such that are all the same, everything is finite."""
    rows = torch.randn(60, 3, dtype=torch.float64).clamp(-1, 1)
    rows = (torch.ones_like(rows) if constant else rows) * scale
    mixture = GaussianMixture.fit(rows, 2)
    generator = torch.Generator().manual_seed(0)
    far = torch.tensor([[1e308, -1e308, 1.0]], dtype=torch.float64)
    for x in (
        mixture.weights,
        mixture.means,
        mixture.scale_tril,
        mixture.covariances,
        mixture.log_prob(rows),
        mixture.log_prob(far),
        mixture.sample(9, generator=generator),
        mixture.sample(9, temperature=1e6, generator=generator),
    ):
        assert x.isfinite().all()
    assert mixture.log_prob(far * torch.nan).isnan().all()
    assert mixture.scale_tril.diagonal(dim1=1, dim2=2).gt(0).all()
    if 1e-300 < scale < 1e300 and not constant:
        twin = GaussianMixture.fit(rows / scale, 2)
        torch.testing.assert_close(mixture.means / scale, twin.means)
        torch.testing.assert_close(
            mixture.log_prob(rows), twin.log_prob(rows / scale) - 3 * math.log(scale)
        )


def test_edits_beyond_the_range_name_the_argument() -> None:
    """What would be infinite in the latents' type is refused, and says which argument it was."""
    model = VAE([4], 3, image_size=8)
    x = torch.rand(3, 8, 8)
    for amounts in ([1e308], [math.nan], [3e38, 3e38]):
        directions = torch.ones(len(amounts), 3)
        with pytest.raises(ValueError, match="`amounts` must"):
            edit(model, x, directions, amounts)
    with pytest.raises(ValueError, match="`directions` must be finite"):
        edit(model, x, torch.full((1, 3), 1e200, dtype=torch.float64), [1.0])
    for span in (1e308, math.inf, math.nan):
        with pytest.raises(ValueError, match="`span`"):
            traverse(model, x, 0, span=span)
    with pytest.raises(TypeError, match="`span`"):
        traverse(model, x, 0, span="wide")  # type: ignore[arg-type]  # it is wrong


def test_noise_of_zero_adds_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However wide the posterior: 0 times an infinite deviation would be NaN."""
    monkeypatch.setattr(torch.Tensor, "normal_", lambda self, generator: self.zero_())
    for dtype in DTYPES:
        mean = torch.randn(2, 3).to(dtype)
        assert torch.equal(reparameterize(mean, torch.full_like(mean, 1e4)), mean)


# Losses of any magnitude


def _output(shown: Tensor, mean: Tensor, log_var: Tensor) -> VAEOutput:
    return VAEOutput(shown, mean, log_var, mean, shown)


@pytest.mark.parametrize("beta", [0.0, 1.0, 1e308])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_no_beta_makes_a_loss_nan(beta: float, dtype: torch.dtype) -> None:
    """Without a weight an infinite KL costs nothing, and a huge weight makes nothing of none."""
    largest = torch.finfo(dtype).max
    mean = torch.tensor([[0.0], [1.0], [largest]], dtype=dtype, requires_grad=True)
    log_var = torch.tensor([[0.0], [0.5], [largest]], dtype=dtype, requires_grad=True)
    shown = torch.zeros(3, 1, 2, dtype=dtype, requires_grad=True)
    terms = BetaLoss(beta, reconstruction="mse", reduction="none").terms(
        _output(shown, mean, log_var), torch.ones(3, 1, 2)
    )
    assert not any(bool(term.isnan().any()) for term in terms)
    assert terms.total[0].item() == 1.0
    assert terms.kl[0].item() == 0.0
    if beta == 0:
        assert terms.total.tolist() == [1.0, 1.0, 1.0]
        terms.total.sum().backward()
        assert mean.grad is not None  # it stays in the graph, as several processes ask
        assert not mean.grad.any()


def test_huge_free_bits_without_a_beta() -> None:
    """0 times an infinite threshold is 0 too."""
    loss = BetaLoss(0.0, free_bits=1e308)
    z, x = torch.zeros(2, 3), torch.rand(2, 1, 4)
    assert loss(_output(x, z, z), x).isfinite()


@pytest.mark.parametrize("magnitude", [1e10, 1.9e19, 1e25, 3e38])
def test_gaussian_losses_have_no_largest_error(magnitude: float) -> None:
    """Where squares leave the range the loss is that of float64, and so are its gradients."""
    generator = torch.Generator().manual_seed(0)
    x, r = (torch.rand(2, 2, 1, 6, generator=generator, dtype=torch.float64) * 2 - 1) * magnitude
    found = []
    for dtype in (torch.float32, torch.float64):
        shown = r.to(dtype).requires_grad_()
        z = torch.zeros(2, 3, dtype=dtype)
        loss = BetaLoss(reconstruction="gaussian")(_output(shown, z, z), x.to(dtype))
        loss.backward()
        assert shown.grad is not None
        found.append((loss.detach().double(), shown.grad.double() * magnitude))
    torch.testing.assert_close(found[0], found[1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name",
    [
        "mse",
        "l1",
        "gaussian",
        LaplacianPyramid(base="mse", texture=0.5),
        LaplacianPyramid(0.0, base="l1"),
        LaplacianPyramid(1e308, base="l1", texture=1e308),
    ],
    ids=str,
)
@given(tensors(), st.integers(0, 2))
def test_reconstruction_terms_are_never_nan(name: Any, values: Tensor, kind: int) -> None:
    """For images and reconstructions of any finite numbers; at most infinite, for all to see."""
    x = values.double().to(values.dtype)[:, None]
    shown = [x, -x, x.flip(2)][kind]
    z = torch.zeros(2, 3)
    terms = BetaLoss(0.5, reconstruction=name).terms(_output(shown, z, z), x)
    assert not terms.total.isnan()
    if name == "gaussian":
        assert terms.total.isfinite()


def test_measures_at_any_magnitude() -> None:
    """Distances of huge features and densities of huge latents are no NaN, nor zero for it."""
    a, b = torch.randn(2, 20, 3, dtype=torch.float64)
    for scale in (1e-170, 1e150):
        near = nearest_distance(a * scale, b * scale) / scale
        torch.testing.assert_close(near, nearest_distance(a, b))
        assert active_units(a * scale) == (3 if scale > 1 else 0)
    distance = frechet_distance(a, b)
    assert frechet_distance(a * 1e150, b * 1e150) == pytest.approx(distance * 1e300)
    assert frechet_distance(a * 1e200, b * 1e200) == math.inf
    huge = torch.full((1, 2), 1e4, dtype=torch.float64)
    for log_var in (-huge, huge):
        assert not normal_log_density(huge, huge, log_var).isnan().any()
        assert not normal_log_density(huge * 1e300, -huge, log_var).isnan().any()


# Pictures without a difference


@pytest.mark.parametrize("shape", [(3, 16, 16), (1, 16)])
@pytest.mark.parametrize("name", ["bce", "mse"])
@pytest.mark.parametrize(
    "kind", ["black", "white", "grey", "two", "channel", "repeated", "loader"]
)
def test_constant_pictures_train(kind: str, name: Any, shape: tuple[int, ...]) -> None:
    """All of one value, of one of two, with a channel without one, or one picture many times."""
    values = {"black": 0.0, "white": 1.0, "two": 0.2}
    images = torch.full((40, *shape), values.get(kind, 0.13333334))
    if kind == "two":
        images[20:] = 0.7
    if kind == "channel":
        images[:, 1:] = torch.rand(40, *shape)[:, 1:]
    if kind in ("repeated", "loader"):
        images[:] = torch.rand(shape)
    data: Any = DataLoader(images, batch_size=8) if kind == "loader" else images
    for hidden in ((), (8,)) if kind in ("grey", "repeated") else ((),):
        model = VAE(
            [8, 16],
            4,
            image_size=shape[1:],
            in_channels=shape[0],
            activation="tanh",
            hidden=hidden,
        )
        history = fit(
            model,
            data,
            loss=BetaLoss(0.1, reconstruction=name),
            epochs=2,
            validation=None,
            progress=False,
            device="cpu",
        )
        assert all(math.isfinite(loss) for loss in history["train_loss"])
        assert all(bool(p.isfinite().all()) for p in model.parameters())
