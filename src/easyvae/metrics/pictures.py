"""How near pictures are to others, and how sharp they are, value by value."""

import torch
from torch import Tensor

from easyvae.metrics.checks import check_images, check_same_shape, per_image


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
        images: (N, C, *spatial), float in [0, 1] or uint8, at least 3 values along each
            dimension.

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
        images: (N, C, *spatial), float in [0, 1] or uint8, at least 3 values along each
            dimension.
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
    dims = range(2, x.ndim)
    total = torch.zeros((), dtype=x.dtype, device=x.device)
    for dim in dims:
        lines = x
        for other in dims:
            if other != dim:
                lines = lines.narrow(other, 1, x.shape[other] - 2)
        total = total + lines.diff(n=2, dim=dim)
    return total
