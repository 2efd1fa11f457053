"""How near images are to others: value by value, in sharpness, and in structure."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from easyvae.core.checks import as_floats, as_int, check_images, check_same_shape, widest

_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2, for values of a range L of 1
_PIECE_VALUES = 1 << 18  # 2 MiB of float64: a piece and what comes of it stay in the cache


def mse(images: Tensor, others: Tensor) -> Tensor:
    """Computes the mean squared error of each image: `mean((x - y)^2)`.

    Args:
        images: (N, C, *spatial), float in [0, 1] or uint8.
        others: The same shape.

    Returns:
        (N,), at least 0, in float64.

    Raises:
        ValueError: If the shapes differ or are not those of images.
        TypeError: If an argument is not a float or uint8 tensor.

    Example:
        >>> mse(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.5))
        tensor([0.2500, 0.2500], dtype=torch.float64)
    """
    check_images("images", images)
    check_images("others", others)
    check_same_shape(("images", "others"), images, others)
    return per_image(lambda x, y: (x - y).square().flatten(1).mean(1), images, others)


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Computes the peak signal-to-noise ratio of each image, for a peak of 1.

        PSNR = -10 log10(mean((x - y)^2))

    Average it over images, not their squared errors: it is the usual convention. An image that
    equals the other has an infinite ratio, and makes the average infinite.

    Args:
        images: (N, C, *spatial), float in [0, 1] or uint8.
        others: The same shape.

    Returns:
        (N,), in decibels, more is nearer, in float64.

    Raises:
        ValueError: If the shapes differ or are not those of images.
        TypeError: If an argument is not a float or uint8 tensor.

    Example:
        >>> psnr(torch.zeros(2, 3, 8, 8), torch.full((2, 3, 8, 8), 0.1))
        tensor([20.0000, 20.0000], dtype=torch.float64)
    """
    return -10 * mse(images, others).log10()


def laplacian_energy(images: Tensor) -> Tensor:
    """Computes the mean square of each image's Laplacian: how much fine detail it has.

    The Laplacian is discrete: the sum over the spatial dimensions of
    `x[i - 1] - 2 x[i] + x[i + 1]`, at the positions that have all these neighbours.

    Args:
        images: (N, C, *spatial) with sizes of at least 3, float in [0, 1] or uint8.

    Returns:
        (N,), at least 0, in float64.

    Raises:
        ValueError: If the shape is not that of images, or too small.
        TypeError: If `images` is not a float or uint8 tensor.

    Example:
        >>> laplacian_energy(torch.tensor([[[0.0, 1.0, 0.0, 0.0]]]))  # -2 and 1
        tensor([2.5000], dtype=torch.float64)
    """
    check_images("images", images, least=3)
    return per_image(lambda x: _laplacian(x).square().flatten(1).mean(1), images)


def sharpness(images: Tensor, originals: Tensor) -> float:
    """Computes how sharp images are against originals: the ratio of mean Laplacian energies.

    1 is as sharp as the originals, 0 is flat; noise counts as sharp. The two need not
    correspond, so that it is a measure of samples too.

    Args:
        images: (N, C, *spatial) with sizes of at least 3, float in [0, 1] or uint8.
        originals: (M, C, *spatial), the same shape but for their number.

    Returns:
        The ratio, at least 0.

    Raises:
        ValueError: If the shapes differ, there are no images, or the originals are flat.
        TypeError: If an argument is not a float or uint8 tensor.

    Example:
        >>> originals = torch.rand(4, 3, 8, 8)
        >>> round(sharpness(originals / 2, originals), 4)
        0.25
    """
    check_images("originals", originals, least=3)
    energy, own = laplacian_energy(images), laplacian_energy(originals)
    if images.shape[1:] != originals.shape[1:] or not len(images):
        raise ValueError(
            f"`images` {tuple(images.shape)} must be at least one image, of the shape "
            f"{tuple(originals.shape[1:])} of the originals"
        )
    scale = own.mean().item()
    if not scale > 0:
        raise ValueError(
            f"`originals` have a mean Laplacian energy of {scale}; it must be above 0: at least "
            "one image that is not flat"
        )
    return energy.mean().item() / scale


def _laplacian(x: Tensor) -> Tensor:
    """Computes the Laplacian of (N, C, *spatial) at its inner positions."""
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for dim in range(2, x.ndim):
        inner = [slice(None) if i in (0, 1, dim) else slice(1, -1) for i in range(x.ndim)]
        total = total + x[tuple(inner)].diff(n=2, dim=dim)
    return total


def ssim(images: Tensor, others: Tensor, *, window: int = 11) -> Tensor:
    """Computes the structural similarity index of each image.

        SSIM = mean((2 mx my + C1) (2 cxy + C2) / ((mx^2 + my^2 + C1) (vx + vy + C2)))

    with the means `m`, variances `v` and covariance `c` under a Gaussian window of a standard
    deviation of 1.5 pixels, `C1 = 0.01^2` and `C2 = 0.03^2`. The average is over the channels
    and all positions where the window fits, without any padding.

    Args:
        images: (N, C, *spatial), float in [0, 1] or uint8.
        others: The same shape.
        window: Width of the window in pixels, odd; at most the images' least size. Values of
            different windows do not compare: leave it at 11 unless the images are smaller.

    Returns:
        (N,), at most 1, which only equal images have; in float64.

    Raises:
        ValueError: If the shapes differ or are not those of images, or the window does not fit.
        TypeError: If an argument is not a float or uint8 tensor.

    Example:
        >>> images = torch.rand(2, 3, 16, 16)
        >>> ssim(images, images)
        tensor([1., 1.], dtype=torch.float64)

    Reference:
        Z. Wang et al., "Image Quality Assessment: From Error Visibility to Structural
        Similarity", 2004, https://doi.org/10.1109/TIP.2003.819861
    """
    check_images("images", images)
    check_images("others", others)
    check_same_shape(("images", "others"), images, others)
    if as_int("window", window) % 2 == 0:
        raise ValueError(f"`window` (={window}) must be odd; take {window - 1} or {window + 1}")
    least = min(images.shape[2:])
    if window > least:
        raise ValueError(
            f"`window` (={window}) must fit into the images {tuple(images.shape[2:])}; for these "
            f"window={least - 1 + least % 2} does, or make them larger"
        )
    weights = [math.exp(-((i - window // 2) ** 2) / (2 * _SIGMA**2)) for i in range(window)]
    weights = [weight / sum(weights) for weight in weights]

    def measure(x: Tensor, y: Tensor) -> Tensor:
        mx, my = _smooth(x, weights), _smooth(y, weights)
        product, squares = mx * my, mx.square() + my.square()
        covariance = _smooth(x * y, weights) - product
        variances = _smooth(x.square() + y.square(), weights) - squares  # vx + vy
        index = (2 * product + _C1) * (2 * covariance + _C2)
        return (index / ((squares + _C1) * (variances + _C2))).flatten(1).mean(1)

    return per_image(measure, images, others)


def _smooth(x: Tensor, weights: list[float]) -> Tensor:
    """Averages (N, C, *spatial) under a window, where it fits, one dimension after the other."""
    for dim in range(2, x.ndim):
        size = x.shape[dim] - len(weights) + 1
        # Shifted sums: in float64 on a CPU several times as fast as a convolution.
        total = weights[0] * x.narrow(dim, 0, size)
        for shift, weight in enumerate(weights[1:], 1):
            total.add_(x.narrow(dim, shift, size), alpha=weight)
        x = total
    return x


def per_image(measure: Callable[..., Tensor], first: Tensor, *others: Tensor) -> Tensor:
    """Applies a measure to some images at a time, in the widest dtype of the first's device.

    Args:
        measure: Takes pieces (n, C, *spatial) of all tensors, and returns (n,).
        first: Images, (N, C, *spatial).
        others: More of that shape.
    """
    step = max(1, _PIECE_VALUES // first.shape[1:].numel())
    device, dtype = first.device, widest(first.device)
    pieces = zip(*(x.split(step) for x in (first, *others)), strict=True)
    return torch.cat([measure(*(as_floats(x, dtype, device) for x in piece)) for piece in pieces])
