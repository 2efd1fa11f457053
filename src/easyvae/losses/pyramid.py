"""A reconstruction term that asks for an image's details: the levels of its Laplacian pyramid."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from easyvae.core.checks import as_int, as_weight
from easyvae.losses.reconstruction import (
    Output,
    ReconstructionTerm,
    as_term,
    name_of,
    sum_image,
    unit_of,
    weigh,
)

_CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
_TRANSPOSED: dict[int, Callable[..., Tensor]] = {
    1: F.conv_transpose1d,
    2: F.conv_transpose2d,
    3: F.conv_transpose3d,
}


@dataclass(frozen=True)
class LaplacianPyramid:
    """A reconstruction term: another one, and the absolute error of the details of every scale.

        base + weight * sum_j sum(|L_j(x) - L_j(r)|)
             + texture * sum_j sum(|S_j(x) - S_j(r)|),    j = 0, 1, ..., levels - 1

    `L_0` are the finest details. A level has a quarter of the values of the one before (in two
    dimensions), so that the finest have the most say. With differences averaged over each level
    instead of summed, a factor of `4^j`, counted from the coarsest, would do the same. What is
    left below the last level, the brightness and colour of larger areas, is the base's affair.

    An absolute error is least at the median, and the median of a detail of which the latents tell
    nothing is none at all: `weight` asks for what can be known, and makes no fur up. `texture`
    makes it up: it asks for details as strong as the original's around each place, whatever their
    pattern. That is sharper, and the error is larger. The strength of a level is

        S_j = sqrt(blur(L_j^2) + 1e-5).

    Args:
        weight: Weight of the details, at least 0.
        levels: How many scales, each twice as coarse as the one before, at least 1. Those that
            the images are too small for are left out.
        base: "bce", "mse", "l1", "gaussian", or a callable `(output, x) -> (N,)`.
        texture: Weight of the details' strength, at least 0; meant for data of about [0, 1].

    Raises:
        ValueError: If an argument is out of its range or unknown.
        TypeError: If `weight`, `texture` or `levels` is not a number.

    Example:
        >>> from easyvae import BetaLoss
        >>> LaplacianPyramid(levels=2)
        LaplacianPyramid(weight=1.0, levels=2, base='bce', texture=0.0)
        >>> loss = BetaLoss(beta=0.005, reconstruction=LaplacianPyramid(texture=0.5))

    Reference:
        P. Bojanowski et al., "Optimizing the Latent Space of Generative Networks", 2018,
        https://arxiv.org/abs/1707.05776
    """

    weight: float = 1.0
    levels: int = 3
    base: Literal["bce", "mse", "l1", "gaussian"] | ReconstructionTerm = "bce"
    texture: float = field(default=0.0, kw_only=True)

    def __post_init__(self) -> None:
        # As a float, so that 1 and 1.0 are the same setting.
        for name in ("weight", "texture"):
            object.__setattr__(self, name, as_weight(name, getattr(self, name)))
        object.__setattr__(self, "levels", as_int("levels", self.levels))
        as_term("base", self.base)

    def __call__(self, output: Output, x: Tensor) -> Tensor:
        """Computes the term of (N, C, *spatial), one to three sizes, in nats: (N,)."""
        total = as_term("base", self.base)(output, x)
        unit = unit_of(x, output.reconstruction)
        x, r = x / unit, output.reconstruction / unit
        if self.weight:
            # The pyramid is linear: the difference of two is the pyramid of the difference.
            for level in laplacian_levels(x - r, self.levels):
                total = total + weigh(self.weight, sum_image(level.abs()) * unit)
        if self.texture:
            pyramids = (laplacian_levels(y, self.levels) for y in (x, r))
            for level, other in zip(*pyramids, strict=True):
                difference = (_strength(level) - _strength(other)).abs().flatten(1).mean(1)
                total = total + weigh(self.texture * level[0].numel(), difference * unit)
        return total

    def __repr__(self) -> str:
        return (
            f"LaplacianPyramid(weight={self.weight}, levels={self.levels}, "
            f"base={name_of(self.base)!r}, texture={self.texture})"
        )


def laplacian_levels(images: Tensor, count: int) -> list[Tensor]:
    """Returns the levels of a Laplacian pyramid: what each halving of the images loses.

    A level is the images less the halved images that are brought back to their size; the halved
    images make the next. Both ways go over a binomial blur of five values in each dimension. It is
    cut off and scaled at the borders, so that constant images have no details.

    Args:
        images: (N, C, *spatial), one to three sizes.
        count: How many levels. They end early where only single values are left.

    Returns:
        The levels, the finest first, (N, C, *spatial). The sizes are halved from one to the next
        and rounded up.

    Raises:
        ValueError: If the shape is another one.

    Example:
        >>> [tuple(level.shape) for level in laplacian_levels(torch.rand(2, 3, 45, 80), 3)]
        [(2, 3, 45, 80), (2, 3, 23, 40), (2, 3, 12, 20)]

    Reference:
        P. Burt and E. Adelson, "The Laplacian Pyramid as a Compact Image Code", 1983,
        https://doi.org/10.1109/TCOM.1983.1095851
    """
    if images.ndim - 2 not in _CONVOLVE:
        raise ValueError(
            f"`images` {tuple(images.shape)} must be (N, C, *spatial), with one to three sizes"
        )
    levels: list[Tensor] = []
    # All images as the channels of one: so laid out, the convolutions are ten times faster.
    fine = images.flatten(0, 1).unsqueeze(0)  # (1, N * C, *spatial)
    while len(levels) < count and max(fine.shape[2:]) > 1:
        size = fine.shape[2:]
        half = _halve(fine)
        levels.append((fine - _double(half, size)).view(*images.shape[:2], *size))
        fine = half
    return levels


def _strength(level: Tensor) -> Tensor:
    """Returns the local root mean square of a level, at half its size."""
    local = _halve(level.flatten(0, 1).unsqueeze(0).square())
    # The constant bounds the slope of the root where there is nothing.
    return (local + 1e-5).sqrt().view(*level.shape[:2], *local.shape[2:])


def _halve(x: Tensor) -> Tensor:
    """Blurs (1, K, *spatial), and keeps every other value in each dimension."""
    return _over_ones(_CONVOLVE[x.ndim - 2], x)


def _double(x: Tensor, size: torch.Size) -> Tensor:
    """Puts zeros between the values of (1, K, *spatial), and blurs."""
    return _over_ones(_TRANSPOSED[x.ndim - 2], x, output_padding=[1 - n % 2 for n in size])


def _over_ones(convolve: Callable[..., Tensor], x: Tensor, **options: list[int]) -> Tensor:
    """Blurs, by what a constant would be: the kernel is cut off at the borders."""

    def blur(y: Tensor) -> Tensor:
        return convolve(y, _kernel(y), stride=2, padding=2, groups=y.shape[1], **options)

    return blur(x) / blur(torch.ones_like(x[:, :1]))


def _kernel(x: Tensor) -> Tensor:
    """Returns a blur for each of K channels, (K, 1, 5, ...)."""
    line = torch.tensor([1.0, 4.0, 6.0, 4.0, 1.0], dtype=x.dtype, device=x.device) / 16
    kernel = line
    for _ in range(x.ndim - 3):
        kernel = kernel.unsqueeze(-1) * line
    return kernel.expand(x.shape[1], 1, *kernel.shape)
