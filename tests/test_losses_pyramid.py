"""The term of the Laplacian pyramid: what it equals, for which sizes, and what it refuses."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from easyvae import VAE, BetaLoss, VAEOutput, fit
from easyvae.kittens import draw_kittens
from easyvae.losses import RECONSTRUCTION_TERMS, LaplacianPyramid, laplacian_levels

SIZES = [(1,), (2,), (5,), (64,), (1, 6), (7, 9), (8, 8), (45, 80), (2, 3, 5), (16, 20, 24)]
TERMS = sorted(RECONSTRUCTION_TERMS)
BLUR = {-2: 1, -1: 4, 0: 6, 1: 4, 2: 1}


def make(
    *spatial: int, n: int = 3, colours: int = 2, dtype: torch.dtype = torch.float64, seed: int = 0
) -> tuple[VAEOutput, Tensor]:
    """An output of any numbers whose logits want a gradient, and images."""
    g = torch.Generator().manual_seed(seed)
    logits = torch.randn(n, colours, *spatial, generator=g, dtype=torch.float64).to(dtype)
    logits.requires_grad_()
    x = torch.rand(n, colours, *spatial, generator=g, dtype=torch.float64).to(dtype)
    zeros = torch.zeros(n, 4, dtype=dtype)
    return VAEOutput(logits.sigmoid(), zeros, zeros, zeros, logits), x


def average(line: Any, length: int, reach: Any) -> list[float]:
    """Weighs each of `length` values with the blur at the distance `reach` tells."""
    result = []
    for i in range(length):
        weights = [BLUR.get(reach(i, j), 0) for j in range(len(line))]
        result.append(sum(w * v for w, v in zip(weights, line, strict=True)) / sum(weights))
    return result


def slow_halved(image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One channel of half the size, one dimension after the other."""
    for axis, size in enumerate(image.shape):
        image = np.apply_along_axis(average, axis, image, (size + 1) // 2, lambda i, j: j - 2 * i)
    return image


def slow_levels(image: np.ndarray[Any, Any], count: int) -> list[np.ndarray[Any, Any]]:
    """The levels of one channel, value by value, one dimension after the other."""
    levels: list[np.ndarray[Any, Any]] = []
    while len(levels) < count and max(image.shape) > 1:
        half = back = slow_halved(image)
        for axis, size in enumerate(image.shape):
            back = np.apply_along_axis(average, axis, back, size, lambda i, j: i - 2 * j)
        levels.append(image - back)
        image = half
    return levels


@pytest.mark.parametrize("levels", [1, 2, 20])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_the_term_is_what_the_formula_says(size: tuple[int, ...], levels: int) -> None:
    """For any size and number of levels it equals two slow pyramids, subtracted and added up."""
    output, x = make(*size, n=1, colours=1)
    of_x, of_r = (
        slow_levels(t[0, 0].detach().numpy(), levels) for t in (x, output.reconstruction)
    )
    details = sum(np.abs(a - b).sum() for a, b in zip(of_x, of_r, strict=True))
    term = LaplacianPyramid(weight=0.7, levels=levels, base="mse")(output, x)
    base = RECONSTRUCTION_TERMS["mse"](output, x)
    torch.testing.assert_close(term, base + 0.7 * float(details))


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_levels_are_halved_until_nothing_is_left(size: tuple[int, ...]) -> None:
    """Sizes go down to single values, rounded up, and asking for more levels gives no more."""
    levels = laplacian_levels(make(*size)[1], 100)
    expected = []
    while max(size) > 1:
        expected.append((3, 2, *size))
        size = tuple((n + 1) // 2 for n in size)
    assert [tuple(level.shape) for level in levels] == expected


@pytest.mark.parametrize("base", TERMS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_identical_images_have_their_base_alone(size: tuple[int, ...], base: Any) -> None:
    """Where nothing differs, nothing is added."""
    output, _ = make(*size)
    x = output.reconstruction.detach()
    term = LaplacianPyramid(weight=3.0, levels=9, base=base, texture=3.0)(output, x)
    assert torch.equal(term, RECONSTRUCTION_TERMS[base](output, x))


@pytest.mark.parametrize("levels", [1, 3])
@pytest.mark.parametrize("size", [(2,), (7, 9), (2, 3, 5)], ids=str)
def test_the_texture_is_what_the_formula_says(size: tuple[int, ...], levels: int) -> None:
    """It compares the local strengths of two slow pyramids, and counts each value of a level."""
    output, x = make(*size, n=1, colours=1)
    pyramids = (slow_levels(t[0, 0].detach().numpy(), levels) for t in (x, output.reconstruction))
    expected = 0.0
    for ours, theirs in zip(*pyramids, strict=True):
        ours, theirs = (np.sqrt(slow_halved(level**2) + 1e-5) for level in (ours, theirs))
        expected += np.abs(ours - theirs).mean() * np.prod(size)
        size = tuple((n + 1) // 2 for n in size)
    term = LaplacianPyramid(0, levels, "mse", texture=0.7)(output, x)
    base = RECONSTRUCTION_TERMS["mse"](output, x)
    torch.testing.assert_close(term, base + 0.7 * expected)


def test_the_texture_asks_for_strength_and_not_for_a_pattern() -> None:
    """Details of another pattern cost less than none, the reverse of what `weight` says."""
    g = torch.Generator().manual_seed(0)
    x, other = (0.5 + 0.1 * torch.randn(1, 1, 32, 32, generator=g) for _ in range(2))
    flat = torch.full_like(x, 0.5)
    zeros = torch.zeros(1, 1)

    def cost(image: Tensor, weight: float, texture: float) -> float:
        output = VAEOutput(image, zeros, zeros, zeros, image)
        own = LaplacianPyramid(weight, base=lambda output, x: x[:, 0, 0, 0] * 0, texture=texture)
        return float(own(output, x))

    assert cost(other, 0, 1) < 0.5 * cost(flat, 0, 1)
    assert cost(other, 1, 0) > 1.2 * cost(flat, 1, 0)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_constants_have_no_details(size: tuple[int, ...]) -> None:
    """Up to the borders, whatever the size."""
    for level in laplacian_levels(torch.full((2, 3, *size), 0.7, dtype=torch.float64), 9):
        torch.testing.assert_close(level, torch.zeros_like(level))


def test_fine_details_are_not_drowned() -> None:
    """Of errors equally large, the finest chequer costs double, and an even shift nothing more."""
    i = torch.arange(64)
    chequer = (i[:, None] + i) % 2 * 0.2 - 0.1
    x = torch.full((1, 1, 64, 64), 0.5)
    zeros = torch.zeros(1, 1)
    for error, factor in ((chequer, 2.0), (torch.full((64, 64), 0.1), 1.0)):
        output = VAEOutput(x + error, zeros, zeros, zeros, x)
        term = LaplacianPyramid(base="l1")(output, x)
        torch.testing.assert_close(term, torch.tensor([factor * 409.6]), rtol=0.03, atol=0)


@pytest.mark.parametrize("base", TERMS)
@pytest.mark.parametrize("size", [(5,), (7, 9), (45, 80), (4, 5, 6)], ids=str)
def test_gradients_are_finite_and_reach_all_values(size: tuple[int, ...], base: Any) -> None:
    """Every logit has a gradient."""
    output, x = make(*size, dtype=torch.float32)
    term = LaplacianPyramid(levels=4, base=base, texture=0.5)
    BetaLoss(reconstruction=term)(output, x).backward()
    assert output.logits.grad is not None
    assert output.logits.grad.isfinite().all()
    assert output.logits.grad.all()


def test_gradients_are_those_of_the_term() -> None:
    """They equal finite differences."""
    output, x = make(5, 6)

    def term(logits: Tensor) -> Tensor:
        changed = output._replace(logits=logits, reconstruction=logits.sigmoid())
        return LaplacianPyramid(levels=2, texture=0.5)(changed, x)

    assert torch.autograd.gradcheck(term, output.logits)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_images_have_their_own_values(reduction: Any) -> None:
    """A batch is its images one by one, reduced."""
    output, x = make(7, 9)
    loss = BetaLoss(reconstruction=LaplacianPyramid(2.0, texture=1.0), reduction=reduction)
    alone = [
        loss.per_image(
            output._replace(**{k: t[i : i + 1] for k, t in output._asdict().items()}), y
        )
        for i, y in enumerate(x.split(1))
    ]
    each = torch.cat([terms.reconstruction for terms in alone])
    assert each.shape == (3,)
    expected = each if reduction == "none" else getattr(each, reduction)()
    torch.testing.assert_close(loss.terms(output, x).reconstruction, expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_loss_is_in_float32_or_wider(dtype: torch.dtype) -> None:
    """Half-precision outputs are widened, and uint8 is 255ths."""
    output, x = make(7, 9, dtype=dtype)
    loss = BetaLoss(reconstruction=LaplacianPyramid())
    wide = torch.float64 if dtype is torch.float64 else torch.float32
    assert loss(output, x).dtype == wide
    pixels = (x * 255).byte()
    assert torch.equal(loss(output, pixels), loss(output, pixels / 255))


def test_any_base_will_do() -> None:
    """Without weight the term is its base, a name or a callable, which sees the whole output."""
    output, x = make(7, 9)
    for name, function in RECONSTRUCTION_TERMS.items():
        named = LaplacianPyramid(0, base=name)  # type: ignore[arg-type]  # a str
        assert torch.equal(named(output, x), function(output, x))
    own = LaplacianPyramid(0, base=lambda output, x: output.z.sum(1) + 2)  # type: ignore[attr-defined]  # `Output` promises no z
    assert torch.equal(own(output, x), torch.full((3,), 2.0, dtype=torch.float64))


def test_the_base_keeps_its_rules() -> None:
    """The cross-entropy still refuses targets beyond its range."""
    output, x = make(7, 9)
    with pytest.raises(ValueError, match=r"`x` has values from .* in \[0, 1\]"):
        BetaLoss(reconstruction=LaplacianPyramid())(output, x + 1)
    assert BetaLoss(reconstruction=LaplacianPyramid(base="mse"))(output, x + 1).isfinite()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"weight": -1}, ValueError, r"`weight` \(=-1.0\) must be finite and at least 0"),
        ({"weight": math.nan}, ValueError, r"`weight` \(=nan\) must be finite"),
        ({"weight": "1"}, TypeError, r"`weight` \(='1'\) must be a number"),
        ({"texture": -1}, ValueError, r"`texture` \(=-1.0\) must be finite and at least 0"),
        ({"texture": None}, TypeError, r"`texture` \(=None\) must be a number"),
        ({"levels": 0}, ValueError, r"`levels` \(=0\) must be an integer of at least 1"),
        ({"levels": 2.0}, ValueError, r"`levels` \(=2.0\) must be an integer of at least 1"),
        ({"levels": True}, TypeError, r"`levels` \(=True\) must be an integer"),
        ({"base": "huber"}, ValueError, r"`base` \(='huber'\) must be one of 'bce', .* callable"),
        ({"base": None}, ValueError, r"`base` \(=None\) must be one of"),
    ],
)
def test_wrong_arguments_are_refused(
    arguments: dict[str, Any], error: type[Exception], message: str
) -> None:
    """When the term is made, and the message names the argument and its value."""
    with pytest.raises(error, match=message):
        LaplacianPyramid(**arguments)


@pytest.mark.parametrize("shape", [(), (3,), (3, 2), (3, 2, 4, 4, 4, 4)])
def test_wrong_shapes_are_refused(shape: tuple[int, ...]) -> None:
    """One to three sizes can be halved."""
    with pytest.raises(ValueError, match=r"`images` .* with one to three sizes"):
        laplacian_levels(torch.zeros(shape), 1)


def test_looks() -> None:
    """A term shows its settings, the same in every process, so that a run can compare them."""

    def mine(output: Any, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)

    start = "LaplacianPyramid(weight=1.0, levels=3, base='bce'"
    assert repr(LaplacianPyramid()) == f"{start}, texture=0.0)"
    assert repr(LaplacianPyramid(1)) == repr(LaplacianPyramid(1.0))
    text = repr(BetaLoss(reconstruction=LaplacianPyramid(0.25, 2, mine)))
    assert "LaplacianPyramid(weight=0.25, levels=2, base='mine', texture=0.0)" in text


def test_it_trains(tmp_path: Path) -> None:
    """A run with the term learns, and does not go on with another weight."""
    images = torch.from_numpy(draw_kittens(80, size=16)[0])
    torch.manual_seed(0)
    model = VAE([8, 16], 8, image_size=16)
    options: dict[str, Any] = {"out": tmp_path, "progress": False, "warp": None}
    loss = BetaLoss(0.01, reconstruction=LaplacianPyramid(2.0))
    history = fit(model, images, loss=loss, epochs=3, **options)
    losses = history["train_reconstruction"]
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < losses[0]
    other = BetaLoss(0.01, reconstruction=LaplacianPyramid(1.0))
    with pytest.raises(ValueError, match=r"loss\.reconstruction\.weight"):
        fit(model, images, loss=other, epochs=4, **options)


def test_fit_refuses_data_that_the_base_cannot_take() -> None:
    """Over "bce", data outside [0, 1] is refused when it is read, before the first step."""
    model = VAE(channels=[4], latent=2, image_size=8)
    loss = BetaLoss(reconstruction=LaplacianPyramid())
    with pytest.raises(ValueError, match="`data` must be in"):
        fit(model, 2 * torch.rand(20, 3, 8, 8), loss=loss, epochs=1, progress=False)
