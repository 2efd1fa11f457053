"""A fixed map from pictures to features, and the Frechet distance between two sets of them."""

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from easyvae.core.checks import as_floats, check_images, check_rows, unit_for

Features: TypeAlias = Callable[[Tensor], Tensor]
"""Maps images (n, C, *spatial) to features (n, F), such as `random_features`."""

_FILTERS, _SIZE = 16, 5
# With these factors the variance of each part, over photographs of cats, adds up to about 1.
_TEXTURE = (5.0, 4.5, 3.0)  # from the finest scale to the coarsest
_COLOUR = 1.2  # over the root of the number of colours, which mostly vary together
_PIECE_VALUES = 1 << 20  # of the responses of a piece: 4 MiB


@torch.no_grad()
def random_features(images: Tensor) -> Tensor:
    """Computes texture and layout features by fixed random filters.

    They are no Inception features, and a `frechet_distance` of them is not the FID: they know
    nothing of what is in a picture, and their distances compare with no published figures. They
    do see blur, noise, wrong textures, colours and layouts, without a network or a download.

    - Texture: a picture and its halves and quarters, where these still have 6 pixels, go through
      16 random filters of 5x5 pixels over all colours, of norm 1 and of mean 0 in each colour.
      The absolute responses are averaged over a 2x2 grid: `16 * 4` features per scale.
    - Layout: the colours averaged over a 4x4 grid, `C * 16` features.

    All are scaled so that each scale's textures, and the colours, have a share of like size in
    distances between photographs. The map never changes: it depends on `C` only.

    Args:
        images: Pictures, (N, C, H, W), float in [0, 1] or uint8, at least 6 pixels high and wide.

    Returns:
        (N, F), in float32. For 3x64x64, F is `3 * 64 + 48 = 240`.

    Raises:
        ValueError: If the shape is not that of pictures, or too small.
        TypeError: If `images` is not a float or uint8 tensor.

    Example:
        >>> random_features(torch.rand(10, 3, 64, 64)).shape
        torch.Size([10, 240])
    """
    check_images("images", images, dims=(2,), least=_SIZE + 1)
    step = max(1, _PIECE_VALUES // (_FILTERS * images.shape[2] * images.shape[3]))
    filters = _filters(images.shape[1]).to(images.device)
    with torch.autocast(images.device.type, enabled=False):
        pieces = [
            _describe(as_floats(piece, torch.float32, images.device), filters)
            for piece in images.split(step)
        ]
    return torch.cat(pieces)


def _describe(x: Tensor, filters: Tensor) -> Tensor:
    parts = [_COLOUR / x.shape[1] ** 0.5 * _grid(x, 4)]
    for scale in _TEXTURE:
        if min(x.shape[2:]) <= _SIZE:
            break
        parts.append(scale * _grid(F.conv2d(x, filters).abs(), 2))
        x = F.avg_pool2d(x, 2)
    return torch.cat(parts, 1)


def _filters(colours: int) -> Tensor:
    """Draws the filters, (16, C, 5, 5)."""
    # NumPy has frozen what this generator gives for good; torch's may change with a release.
    numbers = np.random.RandomState(0).standard_normal((_FILTERS, colours, _SIZE, _SIZE))
    numbers -= numbers.mean((2, 3), keepdims=True)
    numbers /= np.sqrt(np.square(numbers).sum((1, 2, 3), keepdims=True))
    return torch.from_numpy(numbers.astype(np.float32))


def _grid(x: Tensor, cells: int) -> Tensor:
    """Averages (n, C, H, W) over a grid of cells: (n, C * cells^2)."""
    rows = x.tensor_split(cells, 2)
    means = [cell.mean((2, 3)) for row in rows for cell in row.tensor_split(cells, 3)]
    return torch.cat(means, 1)


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """Computes the squared Frechet distance between two sets of features, as if both were normal.

        d = |ma - mb|^2 + tr(Sa) + tr(Sb) - 2 tr((Sa Sb)^(1/2))

    with the means `m` and the unbiased covariances `S`. Few rows make it too large: compare only
    distances of equally many. With Inception's features it is the FID; with those of
    `random_features` it is not.

    No covariance is formed. With `S = R^T R`, `R` the triangle of a QR factorisation, the last
    trace is the sum of the singular values of `Ra Rb^T`. So singular covariances, as from fewer
    rows than features, are nothing special, and small values lose no digits to squaring.

    Args:
        a: Features, (N, F), at least 2 rows; see `random_features`.
        b: Features, (M, F), at least 2 rows.

    Returns:
        The distance, at least 0, computed in float64 on the CPU; infinite beyond its range.

    Raises:
        ValueError: If the shapes do not fit, or a feature is not finite.
        TypeError: If an argument is not a float tensor.

    Example:
        >>> a = torch.tensor([[-1.0], [1.0]])
        >>> round(frechet_distance(a, 3 * a + 1), 6)  # 1^2 + (3 - 1)^2 2
        9.0

    Reference:
        D. Dowson and B. Landau, "The Frechet Distance between Multivariate Normal Distributions",
        1982; as a measure of images, M. Heusel et al., 2017, https://arxiv.org/abs/1706.08500
    """
    for name, x in (("a", a), ("b", b)):
        check_rows(name, x, least=2)
        if count := int((~x.isfinite()).sum()):
            raise ValueError(f"`{name}` must be finite; {count} values are not")
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"`a` {tuple(a.shape)} and `b` {tuple(b.shape)} must have rows of one length"
        )
    unit = unit_for(a, b)
    (mean_a, root_a), (mean_b, root_b) = _moments(a, unit), _moments(b, unit)
    shift = (mean_a - mean_b).square().sum()
    overlap = torch.linalg.svdvals(root_a @ root_b.T).sum()
    distance = float(shift + root_a.square().sum() + root_b.square().sum() - 2 * overlap)
    # Sets that are alike may come out below 0 by rounding.
    return max(0.0, distance) * unit * unit


def _moments(x: Tensor, unit: float) -> tuple[Tensor, Tensor]:
    """Returns the mean (F,) and a root R of the covariance `R^T R`, of features over a unit."""
    x = x.detach().cpu().double() / unit
    mean = x.mean(0)
    root: Tensor = torch.linalg.qr((x - mean) / (len(x) - 1) ** 0.5, mode="r").R
    return mean, root
