"""Straight lines and great circles: exact at the ends, accurate between, and never NaN."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from easyvae import lerp, slerp
from easyvae.latents import blend

Path = Callable[..., Tensor]

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
BOTH = pytest.mark.parametrize("path", [lerp, slerp])
EVERY_DTYPE = pytest.mark.parametrize("dtype", DTYPES, ids=str)
EPS = {dtype: torch.finfo(dtype).eps for dtype in DTYPES}
BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def bits(x: Tensor) -> Tensor:
    return x.view(BITS[x.element_size()])


def identical(x: Tensor, y: Tensor) -> bool:
    """Tells whether two tensors have the same bits: -0.0 is not 0.0."""
    return x.dtype == y.dtype and x.shape == y.shape and torch.equal(bits(x), bits(y))


def angle(x: Tensor, y: Tensor) -> Tensor:
    """The angle between rows, in float64, by the formula that is accurate at any angle."""
    x, y = x.double(), y.double()
    x, y = x / x.norm(dim=-1, keepdim=True), y / y.norm(dim=-1, keepdim=True)
    return 2 * torch.atan2((x - y).norm(dim=-1), (x + y).norm(dim=-1))


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Two latents of one dtype: any, identical, opposite, parallel, zero, tiny or huge."""
    dtype = draw(st.sampled_from(DTYPES))
    size = draw(st.sampled_from([1, 2, 3, 16, 128]))
    g = torch.Generator().manual_seed(draw(st.integers(0, 1000)))
    a, b = torch.randn(2, size, generator=g, dtype=torch.float64)
    kind = draw(st.sampled_from(["any", "same", "opposite", "parallel", "near", "axis", "zero"]))
    if kind == "axis":
        a, b = torch.eye(size, dtype=torch.float64)[0], torch.eye(size, dtype=torch.float64)[-1]
    others = {"same": a, "opposite": -a, "parallel": 3 * a, "near": a * (1 + 1e-7) + 1e-9 * b}
    b = others.get(kind, 0 * b if kind == "zero" else b)
    limits = torch.finfo(dtype)
    scales = [1.0, limits.tiny, limits.smallest_normal * limits.eps, limits.max / 8, 0.0]
    a, b = a * draw(st.sampled_from(scales)), b * draw(st.sampled_from(scales))
    return (
        a.clamp(limits.min, limits.max).to(dtype),
        b.clamp(limits.min, limits.max).to(dtype),
    )


POSITIONS = st.one_of(
    st.floats(0, 1),
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, 1.0, -0.0, 0.5, 5e-324, 1 - 2**-53, -1.0, 2.0, 1e30, -1e30]),
)


@BOTH
@settings(max_examples=200)
@given(pairs(), POSITIONS)
def test_never_nan(path: Path, ends: tuple[Tensor, Tensor], t: float) -> None:
    """Whatever the finite ends and the position, no NaN; within the ends nothing infinite."""
    a, b = ends
    result = path(a, b, t)
    assert result.dtype == a.dtype
    assert result.shape == a.shape
    assert not result.isnan().any()
    if 0 <= t <= 1:
        assert result.isfinite().all()


@BOTH
@settings(max_examples=150)
@given(pairs())
def test_the_ends_are_the_ends_bit_for_bit(path: Path, ends: tuple[Tensor, Tensor]) -> None:
    """At 0 the result is `a` and at 1 it is `b`, for any numbers and dtype."""
    a, b = ends
    assert identical(path(a, b, 0.0), a)
    assert identical(path(a, b, 1.0), b)
    both = path(a, b, [0.0, 1.0])
    assert identical(both[0], a)
    assert identical(both[1], b)


@BOTH
@EVERY_DTYPE
def test_the_ends_of_special_numbers(path: Path, dtype: torch.dtype) -> None:
    """Minus zero, the smallest subnormal and the largest number come out as they went in."""
    limits = torch.finfo(dtype)
    smallest = limits.smallest_normal * limits.eps
    a = torch.tensor([-0.0, 0.0, smallest, -smallest, limits.max, limits.min], dtype=dtype)
    b = torch.tensor([0.0, -0.0, limits.max, 1.0, smallest, -0.0], dtype=dtype)
    assert a[2] != 0
    for t in (0, 0.0, torch.tensor(0.0), [0], torch.zeros(1, dtype=dtype)):
        assert identical(path(a, b, t).reshape(6), a)
    for t in (1, 1.0, torch.tensor(1.0), [1], torch.ones(1, dtype=dtype)):
        assert identical(path(a, b, t).reshape(6), b)


@BOTH
@settings(max_examples=150)
@given(pairs(), st.floats(-0.5, 1.5))
def test_both_ways_are_one(path: Path, ends: tuple[Tensor, Tensor], t: float) -> None:
    """`f(a, b, t) == f(b, a, 1 - t)`, to the rounding of the dtype."""
    a, b = ends
    forth, back = path(a, b, t).double(), path(b, a, 1 - t).double()
    scale = max(float(a.abs().max()), float(b.abs().max()))
    assert not forth.isnan().any()
    finite = forth.isfinite() & back.isfinite()  # extrapolated, huge numbers leave their dtype
    atol = 8 * EPS[a.dtype] * scale + torch.finfo(a.dtype).smallest_normal
    torch.testing.assert_close(forth[finite], back[finite], rtol=0, atol=atol)


@BOTH
def test_a_python_float_keeps_its_digits(path: Path) -> None:
    """In float64 a position of 0.1 is not the float32 next to it."""
    a, b = torch.randn(2, 8, dtype=torch.float64)
    exact = path(a, b, torch.tensor(0.1, dtype=torch.float64))
    assert torch.equal(path(a, b, 0.1), exact)
    assert torch.equal(path(a, b, [0.1])[0], exact)
    assert not torch.equal(path(a, b, 1 - 1e-12), b)


@EVERY_DTYPE
@settings(max_examples=60)
@given(st.integers(0, 1000), st.floats(-1, 2))
def test_lerp_is_the_straight_line(dtype: torch.dtype, seed: int, t: float) -> None:
    """It is `(1 - t) a + t b`, rounded once."""
    a, b = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(seed)).to(dtype)
    expected = ((1 - t) * a.double() + t * b.double()).to(dtype)
    torch.testing.assert_close(lerp(a, b, t), expected, rtol=EPS[dtype], atol=4e-16)


@settings(max_examples=100)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-0.5, 1.5))
def test_slerp_turns_evenly_and_scales_evenly(seed: int, ratio: float, t: float) -> None:
    """The angle to `a` is t times the whole, and the norm goes linearly."""
    g = torch.Generator().manual_seed(seed)
    a, b = torch.randn(2, 4, 9, generator=g, dtype=torch.float64)
    b = ratio * b
    z, whole = slerp(a, b, t), angle(a, b)
    norm = (1 - t) * a.norm(dim=-1) + t * b.norm(dim=-1)
    torch.testing.assert_close(z.norm(dim=-1), norm.abs())
    turned = torch.where(norm < 0, -z.T, z.T).T  # beyond a norm of zero the direction is opposite
    straight = angle(a, turned)
    expected = abs(t) * whole
    torch.testing.assert_close(straight, torch.minimum(expected, 2 * math.pi - expected))


@settings(max_examples=60)
@given(st.integers(0, 1000), st.floats(0.05, 3.0), st.floats(0, 1))
def test_slerp_is_shoemakes(seed: int, theta: float, t: float) -> None:
    """Between unit vectors it is the usual formula, where that one is accurate."""
    g = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(7, 2, generator=g, dtype=torch.float64))
    a, b = q[:, 0], math.cos(theta) * q[:, 0] + math.sin(theta) * q[:, 1]
    usual = (math.sin((1 - t) * theta) * a + math.sin(t * theta) * b) / math.sin(theta)
    torch.testing.assert_close(slerp(a, b, t), usual)


@pytest.mark.parametrize("theta", [1e-6, 1e-5, 1e-4, 1e-3, 1.0, math.pi - 1e-4, math.pi - 1e-6])
@pytest.mark.parametrize("size", [2, 128])
def test_small_and_nearly_opposite_angles_are_accurate_in_float32(theta: float, size: int) -> None:
    """Against the same ends in float64, the path is off by rounding and no more."""
    q, _ = torch.linalg.qr(torch.randn(size, 2, dtype=torch.float64))
    a = q[:, 0].float()
    b = (math.cos(theta) * q[:, 0] + math.sin(theta) * q[:, 1]).float()
    whole = angle(a, b)  # that of the float32 vectors themselves
    for t in (0.1, 0.25, 0.5, 0.9):
        z = slerp(a, b, t)
        assert float(z.double().norm()) == pytest.approx(1, rel=2e-7)
        # A float32 direction is known to about 6e-8; the angle cannot be better than that.
        assert float(angle(a, z)) == pytest.approx(t * float(whole), abs=1.5e-7)
        torch.testing.assert_close(
            z.double(), slerp(a.double(), b.double(), t), rtol=1e-7, atol=1e-9
        )


@EVERY_DTYPE
@pytest.mark.parametrize("size", [2, 3, 128])
def test_opposite_vectors_take_a_half_circle(dtype: torch.dtype, size: int) -> None:
    """The norm stays, the angle to the start grows evenly to pi, and it is always the same."""
    a = torch.randn(5, size).to(dtype)
    t = torch.linspace(0, 1, 9, dtype=torch.float64)
    z = slerp(a, -a, t)
    assert identical(z, slerp(a, -a, t))
    size_of = a.double().norm(dim=-1).expand(9, 5)
    tolerance = 4 * EPS[dtype]
    torch.testing.assert_close(z.double().norm(dim=-1), size_of, rtol=tolerance, atol=0)
    expected = (math.pi * t)[:, None].expand(9, 5)
    torch.testing.assert_close(angle(a.expand_as(z), z), expected, rtol=0, atol=2 * tolerance)
    # All the frames of a row lie in one plane: a circle, not just any way around.
    for row in range(5):
        singular = torch.linalg.svdvals(z[:, row].double())
        assert float(singular[2:].sum()) <= 9 * tolerance * float(singular[0])
    # And the way back is the same half circle.
    atol = 4 * EPS[dtype] * float(a.abs().max())
    torch.testing.assert_close(slerp(-a, a, 1 - t), z, rtol=0, atol=atol)


@EVERY_DTYPE
def test_slerp_falls_back_to_the_line(dtype: torch.dtype) -> None:
    """Zero vectors have no direction, and parallel ones only one: these take the line."""
    a = torch.randn(4, 6).to(dtype)
    zero = torch.zeros_like(a)
    t = [0.25, 0.5, 0.9]
    for other in (zero, a, 2 * a):
        torch.testing.assert_close(
            slerp(a, other, t), lerp(a, other, t), rtol=4 * EPS[dtype], atol=0
        )
    assert torch.equal(slerp(zero, zero, t), torch.zeros(3, 4, 6, dtype=dtype))


@EVERY_DTYPE
def test_one_dimension(dtype: torch.dtype) -> None:
    """On a line, numbers of one sign go straight; across zero there is no way around."""
    a, b = torch.tensor([[1.0], [-2.0]], dtype=dtype), torch.tensor([[3.0], [-4.0]], dtype=dtype)
    torch.testing.assert_close(slerp(a, b, 0.5), lerp(a, b, 0.5))
    across = slerp(a, -b, torch.linspace(0, 1, 5))
    assert across.isfinite().all()
    assert identical(across[0], a)
    assert identical(across[-1], -b)


@BOTH
@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5), (2, 3, 4, 5)])
def test_shapes(path: Path, shape: tuple[int, ...]) -> None:
    """One position gives the shape of the ends, S of them a first dimension of S."""
    a, b = torch.randn(2, *shape)
    one = path(a, b, 0.3)
    assert one.shape == shape
    assert torch.equal(path(a, b, torch.tensor(0.3, dtype=torch.float64)), one)
    positions = [0.0, 0.3, 0.6, 1.0]
    for t in (positions, tuple(positions), torch.tensor(positions, dtype=torch.float64)):
        assert path(a, b, t).shape == (4, *shape)
        assert torch.equal(path(a, b, t), torch.stack([path(a, b, p) for p in positions]))
    assert path(a, b, [0.3]).shape == (1, *shape)
    assert path(a, b, []).shape == (0, *shape)


@BOTH
def test_rows_are_independent(path: Path) -> None:
    """Each row of the last dimension is treated as if it were alone."""
    a, b = torch.randn(2, 6, 4)
    a[1], b[2], b[3] = 0, a[2], -a[3]
    b[4] *= 1e30
    t = torch.linspace(-0.5, 1.5, 5)
    rows = torch.stack([path(a[i], b[i], t) for i in range(6)], dim=1)
    assert torch.equal(path(a, b, t), rows)


@BOTH
@EVERY_DTYPE
@pytest.mark.parametrize("t", [0.0, 0.3, 1.0, [0.0, 0.5, 1.0], 1.5])
@pytest.mark.parametrize("kind", ["any", "same", "opposite", "zero", "both zero", "parallel"])
def test_gradients_are_finite(path: Path, dtype: torch.dtype, t: Any, kind: str) -> None:
    """Gradients reach both ends, also where two vectors agree, oppose or vanish."""
    a, b = torch.randn(2, 2, 5).to(dtype)
    a = 0 * a if kind == "both zero" else a
    b = {"same": a, "opposite": -a, "zero": 0 * b, "both zero": 0 * b, "parallel": 2 * a}.get(
        kind, b
    )
    a, b = a.clone().requires_grad_(), b.clone().requires_grad_()
    path(a, b, t).sum().backward()
    for end in (a, b):
        assert end.grad is not None
        assert end.grad.isfinite().all()


def test_gradients_of_slerp_are_right() -> None:
    """They are those of finite differences."""
    a, b = torch.randn(2, 2, 4, dtype=torch.float64, requires_grad=True).unbind()
    assert torch.autograd.gradcheck(lambda a, b: slerp(a, b, [0.2, 0.7]), (a, b))


@BOTH
def test_mixed_dtypes_are_promoted(path: Path) -> None:
    """As with any other operation of two tensors."""
    a, b = torch.randn(5).half(), torch.randn(5)
    assert path(a, b, 0.5).dtype == torch.float32
    assert path(a, b, 0.0).dtype == torch.float32


@BOTH
@pytest.mark.parametrize("shapes", [((3,), (4,)), ((2, 3), (3,)), ((1, 3), (2, 3)), ((), ())])
def test_shapes_that_differ_are_refused(path: Path, shapes: Any) -> None:
    """Nothing broadcasts by accident."""
    a, b = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=r"`a` .* and `b` .* must have one shape"):
        path(a, b, 0.5)


@BOTH
@pytest.mark.parametrize("t", [math.nan, math.inf, [0.0, math.nan], [[0.0], [1.0]]])
def test_wrong_positions_are_refused(path: Path, t: Any) -> None:
    """A position is one finite number, or a sequence of them."""
    with pytest.raises(ValueError, match="`t`"):
        path(torch.zeros(3), torch.ones(3), t)


@BOTH
@pytest.mark.parametrize("t", ["half", None, ["a"], object()])
def test_positions_that_are_no_numbers_are_refused(path: Path, t: Any) -> None:
    """The message names the argument."""
    with pytest.raises(TypeError, match="`t`"):
        path(torch.zeros(3), torch.ones(3), t)


@BOTH
@pytest.mark.parametrize("x", [torch.zeros(3, dtype=torch.int64), [0.0] * 3, None])
def test_what_is_no_float_tensor_is_refused(path: Path, x: Any) -> None:
    """The message says which of the two it is."""
    with pytest.raises(TypeError, match="`a` must be a float tensor"):
        path(x, torch.zeros(3), 0.5)
    with pytest.raises(TypeError, match="`b` must be a float tensor"):
        path(torch.zeros(3), x, 0.5)


# More than two

METHODS = pytest.mark.parametrize("method", ["lerp", "slerp"])
PATHS: dict[str, Path] = {"lerp": lerp, "slerp": slerp}


@METHODS
@settings(max_examples=60)
@given(st.integers(0, 1000), st.floats(0, 1), st.sampled_from([torch.float32, torch.float64]))
def test_a_blend_of_two_is_a_path(method: Any, seed: int, t: float, dtype: torch.dtype) -> None:
    """With weights 1 - t and t it is `lerp` or `slerp` at t."""
    g = torch.Generator().manual_seed(seed)
    points = torch.randn(2, 3, 8, generator=g, dtype=torch.float64).to(dtype)
    torch.testing.assert_close(
        blend(points, [1 - t, t], method=method), PATHS[method](*points, t), rtol=1e-5, atol=1e-6
    )


@METHODS
@settings(max_examples=40)
@given(st.integers(0, 1000), st.permutations(range(5)))
def test_blends_have_no_order(method: Any, seed: int, order: list[int]) -> None:
    """Points and weights in another order are the same blend."""
    g = torch.Generator().manual_seed(seed)
    points = torch.randn(5, 8, generator=g, dtype=torch.float64)
    w = torch.rand(5, generator=g, dtype=torch.float64)
    a = blend(points, w, method=method)
    b = blend(points[order], w[order], method=method)
    torch.testing.assert_close(a, b, rtol=0, atol=1e-8)


@METHODS
@EVERY_DTYPE
def test_a_blend_of_one_is_the_point(method: Any, dtype: torch.dtype) -> None:
    """A point that has all the weight comes out, whatever the others are."""
    points = torch.randn(4, 6).to(dtype)
    points[1], points[2] = -points[0], 0
    for i in range(4):
        torch.testing.assert_close(
            blend(points, torch.eye(4)[i], method=method), points[i], rtol=2 * EPS[dtype], atol=0
        )


@METHODS
@pytest.mark.parametrize("factor", [1e-6, 0.5, 3, 1e6])
def test_weights_have_no_scale(method: Any, factor: float) -> None:
    """They are divided by their sum."""
    points, w = torch.randn(4, 6), torch.rand(4, dtype=torch.float64)
    torch.testing.assert_close(
        blend(points, w, method=method), blend(points, factor * w, method=method)
    )


@METHODS
@EVERY_DTYPE
@pytest.mark.parametrize("shape", [(6,), (2, 6), (2, 3, 6)])
def test_shapes_of_blends(method: Any, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    """One set of weights gives a point, S sets S of them, and the dtype stays."""
    points, w = torch.randn(4, *shape).to(dtype), torch.rand(5, 4)
    many = blend(points, w, method=method)
    assert many.shape == (5, *shape)
    assert many.dtype == dtype
    for i in range(5):
        one = blend(points, w[i].tolist(), method=method)
        assert one.shape == shape
        torch.testing.assert_close(one, many[i])


def test_slerp_blends_keep_norm_and_balance() -> None:
    """The norm is the weighted mean of the norms, and the arcs to the points pull evenly."""
    points = torch.randn(5, 8, dtype=torch.float64) + 1
    w = torch.rand(5, dtype=torch.float64)
    w = w / w.sum()
    z = blend(points, w, method="slerp")
    torch.testing.assert_close(z.norm(), (w * points.norm(dim=1)).sum())
    m, u = z / z.norm(), points / points.norm(dim=1, keepdim=True)
    across = u - (u @ m)[:, None] * m
    pull = w[:, None] * angle(u, m.expand_as(u))[:, None] * across / across.norm(dim=1)[:, None]
    assert float(pull.sum(0).norm()) < 1e-9


@METHODS
def test_degenerate_blends_are_finite(method: Any) -> None:
    """Points that cancel, vanish or agree have a blend too."""
    x = torch.randn(1, 5)
    for points in (torch.cat([x, -x]), torch.cat([x, x, x]), torch.zeros(3, 5)):
        z = blend(points, [1.0] * len(points), method=method)
        assert z.isfinite().all()
    torch.testing.assert_close(blend(torch.cat([x, x, x]), [1, 2, 3], method=method), x[0])


@pytest.mark.parametrize(
    "weights",
    [
        [1.0, 1.0],
        [1.0] * 4,
        [0.0] * 3,
        [1.0, -0.5, 1.0],
        [1.0, math.nan, 1.0],
        [1.0, math.inf, 1.0],
        [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
        [[[1.0, 0.0, 0.0]]],
        1.0,
        [],
    ],
)
def test_wrong_weights_are_refused(weights: Any) -> None:
    """One per point, finite, at least 0, and not all 0."""
    with pytest.raises(ValueError, match="`weights`"):
        blend(torch.randn(3, 5), weights)


@pytest.mark.parametrize("weights", ["abc", None, [None] * 3])
def test_weights_that_are_no_numbers_are_refused(weights: Any) -> None:
    """The message names the argument."""
    with pytest.raises(TypeError, match="`weights`"):
        blend(torch.randn(3, 5), weights)


def test_wrong_points_and_methods_are_refused() -> None:
    """Integers would lose the fractions, and a single row has nothing to blend."""
    with pytest.raises(TypeError, match="`points`"):
        blend(torch.eye(3, dtype=torch.int64), [1, 1, 1])
    with pytest.raises(ValueError, match="`points`"):
        blend(torch.randn(3), [1, 1, 1])
    with pytest.raises(ValueError, match=r"`method`.*'slerp' or 'lerp'"):
        blend(torch.eye(3), [1, 1, 1], method="nlerp")  # type: ignore[arg-type]  # it is wrong


@pytest.mark.parametrize("path", [lerp, slerp])
def test_latents_of_no_dimension(path: Any) -> None:
    """There is nothing to turn, and no error."""
    assert path(torch.rand(2, 0), torch.rand(2, 0), torch.rand(3)).shape == (3, 2, 0)
