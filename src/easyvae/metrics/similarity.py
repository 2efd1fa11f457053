"""The structural similarity index, for 1, 2 and 3 spatial dimensions."""

import math

from torch import Tensor

from easyvae.geometry import as_int
from easyvae.metrics.checks import check_images, check_same_shape, per_image

_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2  # (K1 L)^2 and (K2 L)^2, for values of a range L of 1


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
        >>> import torch
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
