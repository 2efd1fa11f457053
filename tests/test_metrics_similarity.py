"""The structural similarity index: that of scikit-image, in 1, 2 and 3 dimensions."""

from typing import Any

import pytest
import torch

from easyvae.metrics import ssim

SHAPES = [(2, 1, 60), (3, 1, 28, 28), (2, 3, 64, 64), (2, 3, 11, 17), (1, 2, 12, 13, 14)]
EVERY_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=str)


@EVERY_SHAPE
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


@EVERY_SHAPE
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


def test_bytes_are_255ths() -> None:
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
def test_pairs_do_not_broadcast(shape: tuple[int, ...]) -> None:
    """Two shapes are an error."""
    with pytest.raises(ValueError, match=r"`images` .* `others` .*one shape"):
        ssim(torch.rand(2, 3, 16, 16), torch.rand(shape))
