"""Errors and sharpness of pictures: equal to their formulas, in any number of dimensions."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from easyvae.metrics import images, laplacian_energy, mse, psnr, sharpness, ssim

SHAPES = [(3, 1, 40), (4, 3, 8, 9), (2, 1, 28, 28), (2, 2, 5, 6, 7)]
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)
EVERY_PAIR = pytest.mark.parametrize("measure", [mse, psnr])


def laplacian(image: Any) -> Any:
    """The Laplacian of one channel as the sum of numpy's second differences."""
    dims = range(image.ndim)
    inner = [slice(1, -1)] * image.ndim
    second = [
        np.diff(image, 2, axis=d)[tuple(slice(None) if e == d else inner[e] for e in dims)]
        for d in dims
    ]
    return np.sum(second, axis=0)


@EVERY_SHAPE
def test_mse_is_the_mean_of_squares(shape: tuple[int, ...]) -> None:
    """One value per image, as numpy computes it."""
    x, y = torch.rand(shape), torch.rand(shape)
    expected = np.square(x.double().numpy() - y.double().numpy()).reshape(len(x), -1).mean(1)
    assert mse(x, y).shape == shape[:1]
    torch.testing.assert_close(mse(x, y), torch.from_numpy(expected))


@EVERY_SHAPE
@pytest.mark.parametrize(("error", "decibels"), [(1.0, 0.0), (0.1, 20.0), (0.001, 60.0)])
def test_psnr_of_a_known_error(shape: tuple[int, ...], error: float, decibels: float) -> None:
    """An error of 10^-k everywhere has 20 k dB."""
    x = torch.zeros(shape, dtype=torch.float64)
    ratio = psnr(x, x + error)
    torch.testing.assert_close(ratio, torch.full_like(ratio, decibels), atol=1e-9, rtol=0)


def test_equal_images_have_an_infinite_psnr() -> None:
    """As their error is zero; the others in the batch keep their own."""
    x = torch.rand(3, 3, 8, 8)
    y = x.clone()
    y[1] = 1 - y[1]
    assert psnr(x, y).isinf().tolist() == [True, False, True]
    assert (psnr(x, x) > 0).all()


@EVERY_SHAPE
def test_laplacian_energy_is_that_of_second_differences(shape: tuple[int, ...]) -> None:
    """At the inner positions, averaged over these and the channels."""
    x = torch.rand(shape)
    expected = [
        np.mean([np.square(laplacian(channel)).mean() for channel in image])
        for image in x.double().numpy()
    ]
    torch.testing.assert_close(laplacian_energy(x), torch.tensor(expected))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_a_parabola_has_a_constant_laplacian(dims: int) -> None:
    """The one of `a |x|^2` is `2 a dims` everywhere, so its energy is the square of that."""
    axes = torch.meshgrid(*[torch.arange(7.0) / 8] * dims, indexing="ij")
    energy = laplacian_energy(torch.stack(axes).square().sum(0)[None, None])
    torch.testing.assert_close(energy, torch.tensor([(2 * dims / 64) ** 2], dtype=torch.float64))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_slopes_and_flat_images_have_no_energy(dims: int) -> None:
    """A linear function has no second difference."""
    axes = torch.meshgrid(*[torch.arange(7.0) / 8] * dims, indexing="ij")
    assert laplacian_energy(torch.stack(axes).sum(0)[None, None]).item() < 1e-25
    assert laplacian_energy(torch.full((1, 2, *[7] * dims), 0.3)).item() < 1e-25


@EVERY_SHAPE
def test_sharpness_is_a_ratio_of_energies(shape: tuple[int, ...]) -> None:
    """Half the contrast has a quarter of the energy, and blur has less still."""
    x = torch.rand(shape)
    assert sharpness(x, x) == 1
    assert sharpness(x / 2, x) == pytest.approx(0.25)
    blurred = (x + x.roll(1, -1)) / 2
    assert 0 < sharpness(blurred, x) < 0.9
    assert sharpness(torch.zeros_like(x), x) == 0


def test_sharpness_compares_sets() -> None:
    """The two may differ in number: it is the ratio of the means."""
    x = torch.rand(6, 3, 8, 8)
    expected = laplacian_energy(x[:2]).mean() / laplacian_energy(x).mean()
    assert sharpness(x[:2], x) == pytest.approx(expected.item())


@pytest.mark.parametrize("measure", [mse, psnr, sharpness])
def test_bytes_are_255ths(measure: Callable[[Tensor, Tensor], Any]) -> None:
    """Images of uint8 are the same as these divided by 255, on either side."""
    x, y = (torch.rand(2, 5, 3, 8, 8) * 255).byte()
    wide_x, wide_y = x.double() / 255, y.double() / 255
    expected = torch.as_tensor(measure(wide_x, wide_y))
    for pair in ((x, y), (x, wide_y), (wide_x, y)):
        torch.testing.assert_close(torch.as_tensor(measure(*pair)), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_every_dtype_is_computed_in_float64(dtype: torch.dtype) -> None:
    """Rounded images have exactly the errors of their rounded values."""
    x, y = torch.rand(3, 3, 8, 8).to(dtype), torch.rand(3, 3, 8, 8).to(dtype)
    for measure in (mse, psnr):
        assert measure(x, y).dtype == torch.float64
        assert torch.equal(measure(x, y), measure(x.double(), y.double()))
    assert torch.equal(laplacian_energy(x), laplacian_energy(x.double()))


def test_pieces_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    """Image by image or all at once, the numbers are the same, and so are the gradients."""
    x, y = torch.rand(7, 3, 8, 8, requires_grad=True), torch.rand(7, 3, 8, 8)
    whole = mse(x, y)
    (gradient,) = torch.autograd.grad(whole.sum(), x)
    monkeypatch.setattr(images, "_PIECE_VALUES", 2 * 192)
    assert torch.equal(mse(x, y), whole)
    assert torch.equal(torch.autograd.grad(mse(x, y).sum(), x)[0], gradient)


def test_no_images_have_no_values() -> None:
    """An empty batch gives an empty result."""
    x = torch.rand(0, 3, 8, 8)
    assert mse(x, x).shape == psnr(x, x).shape == laplacian_energy(x).shape == (0,)


def test_images_that_are_not_finite_show() -> None:
    """A NaN stays one in its own image, and nowhere else."""
    x = torch.rand(3, 1, 8, 8)
    y = x / 2
    y[1, 0, 2, 2] = math.nan
    for values in (mse(x, y), psnr(x, y), laplacian_energy(y)):
        assert values.isnan().tolist() == [False, True, False]


@EVERY_PAIR
@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (4, 1, 8, 8), (4, 3, 8, 9), (4, 3, 64)])
def test_pairs_do_not_broadcast(measure: Callable[..., Tensor], shape: tuple[int, ...]) -> None:
    """Two shapes are an error that shows both."""
    with pytest.raises(ValueError, match=r"`images` \(4, 3, 8, 8\) and `others` .*one shape"):
        measure(torch.rand(4, 3, 8, 8), torch.rand(shape))


@EVERY_PAIR
@pytest.mark.parametrize("shape", [(), (8,), (8, 8), (1, 1, 2, 2, 2, 2), (2, 0, 8, 8), (2, 3, 0)])
def test_shapes_must_be_those_of_images(
    measure: Callable[..., Tensor], shape: tuple[int, ...]
) -> None:
    """There are one to three spatial dimensions, and at least one value."""
    with pytest.raises(ValueError, match=r"`images` \("):
        measure(torch.rand(shape), torch.rand(shape))


@EVERY_PAIR
@pytest.mark.parametrize("wrong", [np.zeros((2, 3, 8, 8)), torch.zeros(2, 3, 8, 8).long(), None])
def test_only_float_and_byte_tensors_are_images(
    measure: Callable[..., Tensor], wrong: Any
) -> None:
    """Anything else is a TypeError that names the argument."""
    fine = torch.zeros(2, 3, 8, 8)
    with pytest.raises(TypeError, match="`images`"):
        measure(wrong, fine)
    with pytest.raises(TypeError, match="`others`"):
        measure(fine, wrong)


@pytest.mark.parametrize("shape", [(1, 1, 2), (1, 1, 8, 2), (1, 1, 8, 8, 1)])
def test_a_laplacian_needs_three_values(shape: tuple[int, ...]) -> None:
    """Smaller images have no inner position."""
    with pytest.raises(ValueError, match=r"`images` .* at least 3 values along each"):
        laplacian_energy(torch.rand(shape))


def test_sharpness_needs_originals_to_compare_with() -> None:
    """Flat originals, other shapes and empty sets are refused."""
    x = torch.rand(2, 3, 8, 8)
    with pytest.raises(ValueError, match=r"`originals` .*above 0"):
        sharpness(x, torch.zeros_like(x))
    with pytest.raises(ValueError, match=r"`originals` .*above 0"):
        sharpness(x, x[:0])
    with pytest.raises(ValueError, match=r"`images` .*\(3, 8, 9\) of the originals"):
        sharpness(x, torch.rand(2, 3, 8, 9))
    with pytest.raises(ValueError, match=r"`originals` \(2, 3, 8, 2\) .* at least 3 values"):
        sharpness(x, torch.rand(2, 3, 8, 2))
    with pytest.raises(ValueError, match=r"`images` .*at least one image"):
        sharpness(x[:0], x)


SSIM_SHAPES = [(2, 1, 60), (3, 1, 28, 28), (2, 3, 64, 64), (2, 3, 11, 17), (1, 2, 12, 13, 14)]
EVERY_SSIM_SHAPE = pytest.mark.parametrize("shape", SSIM_SHAPES, ids=str)


@EVERY_SSIM_SHAPE
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.2, 1.0])
def test_it_is_that_of_scikit_image(shape: tuple[int, ...], noise: float) -> None:
    """With its Gaussian window, where that fits, it agrees to rounding."""
    metrics = pytest.importorskip("skimage.metrics", reason="scikit-image is not installed")
    x = torch.rand(shape, dtype=torch.float64)
    for dim in range(2, x.ndim):
        x = (x + x.roll(1, dim) + x.roll(2, dim)) / 3  # some structure
    y = (x + noise * torch.randn(shape, dtype=torch.float64)).clamp(0, 1)
    expected = [
        metrics.structural_similarity(
            a,
            b,
            channel_axis=0,
            data_range=1,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        for a, b in zip(x.numpy(), y.numpy(), strict=True)
    ]
    torch.testing.assert_close(ssim(x, y), torch.tensor(expected), rtol=0, atol=1e-12)
    single = ssim(x.float(), y.float())
    torch.testing.assert_close(single, torch.tensor(expected), rtol=0, atol=1e-5)


@EVERY_SSIM_SHAPE
def test_equal_images_have_one(shape: tuple[int, ...]) -> None:
    """Flat ones too; and swapping the two changes nothing."""
    x, y = torch.rand(shape), torch.rand(shape)
    torch.testing.assert_close(ssim(x, x), torch.ones(len(x), dtype=torch.float64))
    torch.testing.assert_close(ssim(0 * x, 0 * x), torch.ones(len(x), dtype=torch.float64))
    assert torch.equal(ssim(x, y), ssim(y, x))
    assert (ssim(x, y) < 1).all()


@pytest.mark.parametrize(("a", "b"), [(0.0, 1.0), (0.25, 0.5), (0.9, 0.8)])
def test_flat_images_differ_by_their_means(a: float, b: float) -> None:
    """Without variance it is `(2 a b + C1) / (a^2 + b^2 + C1)`."""
    x = torch.full((1, 3, 16, 16), a, dtype=torch.float64)
    y = torch.full((1, 3, 16, 16), b, dtype=torch.float64)
    assert ssim(x, y).item() == pytest.approx((2 * a * b + 1e-4) / (a * a + b * b + 1e-4))


@pytest.mark.parametrize("window", [1, 3, 7])
def test_small_images_take_smaller_windows(window: int) -> None:
    """Down to single pixels, whose index is that of flat images."""
    x, y = torch.rand(4, 1, 7, 8), torch.rand(4, 1, 7, 8)
    assert ssim(x, y, window=window).isfinite().all()
    flat = (2 * x * y + 1e-4) / (x * x + y * y + 1e-4)
    if window == 1:
        torch.testing.assert_close(ssim(x, y, window=1), flat.double().mean((1, 2, 3)))


def test_ssim_of_bytes_is_that_of_255ths() -> None:
    """Images of uint8 are the same as these divided by 255."""
    x, y = (torch.rand(2, 3, 3, 16, 16) * 255).byte()
    torch.testing.assert_close(ssim(x, y), ssim(x.double() / 255, y.double() / 255))


def test_it_has_a_gradient() -> None:
    """The way it rises leads from noise towards the other image."""
    target = torch.rand(1, 1, 16, 16)
    x = torch.rand(1, 1, 16, 16, requires_grad=True)
    (gradient,) = torch.autograd.grad(ssim(x, target).sum(), x)
    assert ssim(x.detach() + 0.1 * gradient / gradient.norm(), target) > ssim(x.detach(), target)


@pytest.mark.parametrize(("size", "advice"), [((10, 12), 9), ((64, 7), 7), ((1, 64), 1)])
def test_the_window_must_fit(size: tuple[int, int], advice: int) -> None:
    """The error names the window that does, and that one does."""
    x = torch.rand(1, 1, *size)
    with pytest.raises(ValueError, match=rf"`window` \(=11\) must fit .*window={advice} does"):
        ssim(x, x)
    assert ssim(x, x, window=advice).item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("window", "error"),
    [(0, ValueError), (-3, ValueError), (4, ValueError), (3.0, ValueError), (True, TypeError)],
)
def test_the_window_is_odd(window: Any, error: type[Exception]) -> None:
    """Other widths are refused."""
    x = torch.rand(1, 1, 16, 16)
    with pytest.raises(error, match="`window`"):
        ssim(x, x, window=window)


@pytest.mark.parametrize("shape", [(1, 1, 16, 16), (2, 1, 16, 16), (2, 3, 16, 17)])
def test_ssim_does_not_broadcast(shape: tuple[int, ...]) -> None:
    """Two shapes are an error."""
    with pytest.raises(ValueError, match=r"`images` .* `others` .*one shape"):
        ssim(torch.rand(2, 3, 16, 16), torch.rand(shape))
