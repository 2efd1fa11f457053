"""The layers at the principal components: tiles of the convolutions, and the dense layers."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from easyvae.core.checks import as_floats
from easyvae.data import Images
from easyvae.model import VAE
from easyvae.model.network import ResidualBlock


class Pairs(NamedTuple):
    """Units that hold codes, two of opposite sign for each."""

    signs: Tensor  # from codes to units, (U, Q): 1 and -1 in the two units of a code
    gain: float  # `f(u) - f(-u)` is that many times `u`
    places: int = 1  # copies of these units, one for each position of a grid

    @classmethod
    def of(cls, codes: int, units: int, gain: float, places: int = 1) -> Self:
        """Puts as many codes into the first half of the units, and their opposites behind."""
        signs = torch.zeros(units, codes, dtype=torch.float32)
        index = torch.arange(codes)
        signs[index, index], signs[units // 2 + index, index] = 1.0, -1.0
        return cls(signs, gain, places)

    @property
    def used(self) -> Tensor:
        """Returns which units hold a code, (U * places,)."""
        return self.signs.any(1).repeat_interleave(self.places)

    def read(self, matrix: Tensor) -> Tensor:
        """Turns weights on codes, (Q * places, D), into (D, U * places), which read them."""
        matrix = matrix.view(-1, self.places, matrix.shape[1])
        return torch.einsum("qpd,cq->dcp", matrix, self.signs / self.gain).flatten(1)

    def write(self, matrix: Tensor) -> Tensor:
        """Turns weights on codes, (Q * places, D), into (U * places, D), which write them."""
        matrix = matrix.view(-1, self.places, matrix.shape[1])
        return torch.einsum("cq,qpd->cpd", self.signs, matrix).flatten(0, 1)


def linear_gain(activation: nn.Module) -> tuple[float, float]:
    """Returns `c` in `f(u) - f(-u) = c u`, and how large `u` may be on average for that."""
    activation = copy.deepcopy(activation).cpu().float()  # it may have parameters
    u = torch.linspace(-3, 3, 601, dtype=torch.float32)
    density = torch.exp(-(u**2) / 2)
    gain = 0.0
    for size in (1.0, 0.1):
        odd = (activation(size * u) - activation(-size * u)).float().cpu() / size
        gain = float((density * u * odd).sum() / (density * u**2).sum())
        wrong = (density * (odd - gain * u) ** 2).sum() / (density * u**2).sum()
        if float(wrong) < 1e-4 * gain**2:
            break
    return gain, size


SAMPLE = 8192  # images that are looked at, or fewer where their codes would take much memory
PIECE = 256  # images whose codes are computed at once, and at least so many tiles' images
FLOATS = torch.float32, torch.device("cpu")  # as what the start reads images, and where
ROUNDING = 1e-10  # of the square of a mean: a smaller variance is but the rounding of float32
_CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


class Level(NamedTuple):
    """The components of the tiles that one stage of the encoder sees."""

    pairs: Pairs  # the channels that hold the components' codes
    components: Tensor  # orthonormal rows, (Q, codes below * stride^dims)
    mean: Tensor  # the average tile
    scale: float  # brings the codes to a mean square of 1
    stride: int  # width of a tile
    grid: tuple[int, ...]  # how many tiles there are in each dimension

    def codes(self, below: Tensor) -> Tensor:
        """Maps the codes of the level below, (N, C, *spatial), to (N, Q, *grid)."""
        reading = self.scale * self.components
        return _CONVOLVE[len(self.grid)](
            _fit(below, self.stride, self.grid),
            reading.view(len(reading), -1, *[self.stride] * len(self.grid)),
            -reading @ self.mean,
            self.stride,
        )


def set_encoder(model: VAE, images: Images) -> list[Level]:
    """Gives every convolution of the encoder the components of its tiles, level by level.

    Where the tiles of a level are all alike there are no components, and no levels are returned.
    """
    below = _as_it_is(model)
    gain, size = linear_gain(model.decoder.activation)
    levels: list[Level] = []
    for stage in model.encoder.stages:
        layer = convolution_of(stage)
        width = layer.stride[0]
        grid = tuple(model.plan[len(levels)].inner)
        size_below = below.signs.shape[1] * width ** len(grid)
        count = max(PIECE, math.ceil(20 * size_below / math.prod(grid)))
        mean, covariance = _moments(levels, images, min(count, SAMPLE), width, grid)
        if not covariance.trace() > ROUNDING * mean.square().sum():
            return []
        values, vectors = torch.linalg.eigh(covariance)
        kept = min(layer.out_channels // 2, len(values))
        components = vectors.T.flip(0)[:kept]
        scale = size / math.sqrt(max(float(values[-kept:].mean()), 1e-12))
        pairs = Pairs.of(kept, layer.out_channels, gain, places=math.prod(grid))
        tiles = (scale * components).view(kept, -1, *[width] * len(grid))
        weight = torch.einsum("oq,qk...,ck->oc...", pairs.signs, tiles, below.signs / below.gain)
        bias = pairs.signs @ (-scale * components @ mean)
        _write(stage, weight, bias, pairs.signs.any(1))
        levels.append(Level(pairs, components, mean, scale, width, grid))
        below = pairs
    return levels


def _moments(
    levels: Sequence[Level], images: Images, count: int, width: int, grid: tuple[int, ...]
) -> tuple[Tensor, Tensor]:
    """Returns the mean and the covariance of the tiles of the first `count` images."""
    number, total, outer = 0, torch.zeros(1).double(), torch.zeros(1).double()
    for codes in codes_of(levels, images, min(count, len(images))):
        rows = _tiles(codes, width, grid).flatten(0, -2).double()
        number, total, outer = number + len(rows), total + rows.sum(0), outer + rows.T @ rows
    mean = total / number
    return mean.float(), (outer / number - mean.outer(mean)).float()


def set_decoder(model: VAE, levels: Sequence[Level]) -> None:
    """Gives every transposed convolution the transpose of its mirror."""
    below = [_as_it_is(model), *(level.pairs for level in levels[:-1])]
    for stage, level, out in zip(reversed(model.decoder.stages), levels, below, strict=True):
        shape = (-1, out.signs.shape[1], *[level.stride] * len(level.grid))
        tiles = (level.components / level.scale).view(shape)
        reading = level.pairs.signs / level.pairs.gain
        weight = torch.einsum("cq,qk...,ok->co...", reading, tiles, out.signs)
        bias = out.signs @ level.mean.view(shape[1:]).flatten(1).mean(1)
        _write(stage, weight, bias, out.signs.any(1))


def _as_it_is(model: VAE) -> Pairs:
    """Returns what stands for pairs in the image itself: each colour holds its own code."""
    return Pairs(torch.eye(model.input_shape[0], dtype=torch.float32), 1.0)


def _write(stage: nn.Module, weight: Tensor, bias: Tensor, used: Tensor) -> None:
    """Puts a tile's weights where they read or write the tile, and zero around them.

    The outputs that no component uses keep what they were drawn with.
    The residual blocks around are silenced.
    """
    for block in stage.children():
        if isinstance(block, ResidualBlock):
            block.silence()
    layer = convolution_of(stage)
    whole = torch.zeros(layer.weight.shape, dtype=torch.float32)
    starts = map(int, layer.padding)
    inside = (slice(n, n + stride) for n, stride in zip(starts, layer.stride, strict=True))
    whole[(slice(None), slice(None), *inside)] = weight
    used = used.to(layer.weight.device)
    mask = used.view([-1 if i == layer.transposed else 1 for i in range(whole.ndim)])
    layer.weight.copy_(torch.where(mask, whole.to(layer.weight), layer.weight))
    if layer.bias is not None:
        layer.bias.copy_(torch.where(used, bias.to(layer.bias), layer.bias))


def codes_of(levels: Sequence[Level], images: Images, count: int) -> Iterator[Tensor]:
    """Yields the last level's codes of the first images, piece by piece, (n, Q, *grid)."""
    for start in range(0, count, PIECE):
        x = as_floats(images[start : min(start + PIECE, count)], *FLOATS)
        for level in levels:
            x = level.codes(x)
        yield x


def _tiles(x: Tensor, width: int, grid: tuple[int, ...]) -> Tensor:
    """Cuts (N, C, *spatial) into tiles `width` wide, (N, *grid, C * width^dims)."""
    dims = len(grid)
    x = _fit(x, width, grid)
    x = x.reshape(*x.shape[:2], *(size for n in grid for size in (n, width)))
    order = [0, *range(2, 2 + 2 * dims, 2), 1, *range(3, 3 + 2 * dims, 2)]
    return x.permute(order).flatten(1 + dims)


def _fit(x: Tensor, width: int, grid: tuple[int, ...]) -> Tensor:
    """Brings images to the size of the tiles: what is missing is zero, as in the convolutions."""
    x = x[(slice(None), slice(None), *(slice(n * width) for n in grid))]
    missing = [n * width - size for n, size in zip(grid, x.shape[2:], strict=True)]
    return F.pad(x, [amount for n in reversed(missing) for amount in (0, n)])


def convolution_of(stage: nn.Module) -> _ConvNd:
    """Finds the strided convolution of a stage, beside which there are only residual blocks."""
    return next(layer for layer in stage.children() if isinstance(layer, _ConvNd))


class Heads:
    """The heads of the latents and their mirror, above the hidden layers if there are any.

    Each hidden layer holds the components in pairs of its units, brought to the variance at which
    a pair is linear; its mirror in the decoder gives them back. They are set at once, the heads
    by `write`, from the channels that hold the codes of the last convolution, the average code
    (K,), orthonormal components (K, D) and the variance of each (D,).
    """

    def __init__(
        self, model: VAE, pairs: Pairs, mean: Tensor, components: Tensor, variance: Tensor
    ) -> None:
        encoder, decoder = model.encoder, model.decoder
        self.layers = (encoder.mean, encoder.log_var)
        *mirrors, self.mirror = (decoder.expand, *reversed(_linears(decoder.hidden)))
        self.scale = torch.ones_like(variance)  # of what the heads read
        gain, size = linear_gain(decoder.activation)
        for layer, mirror in zip(_linears(encoder.hidden), mirrors, strict=True):
            above = Pairs.of(len(variance), layer.out_features, gain)
            scale = size / variance.sqrt()
            reading = components * scale
            start = above.signs @ -(reading.T @ mean)
            _set(layer, above, above.signs @ pairs.read(reading), start)
            back = pairs.write(components / scale) @ above.signs.T / gain
            _set(mirror, pairs, back, pairs.write(mean[:, None])[:, 0])
            self.scale = self.scale * scale
            pairs, mean = above, torch.zeros_like(variance)
            components = torch.eye(len(variance), dtype=torch.float32)
            variance = variance * scale**2
        self.pairs, self.mean, self.components = pairs, mean, components

    def write(self, reading: Tensor, writing: Tensor, log_var: Tensor) -> None:
        """Sets, for each component, what it is multiplied by on the way in and on the way out."""
        count = len(reading)
        matrix = self.components * (reading / self.scale)
        weight = self.pairs.read(matrix)
        shape = (-1, self.pairs.places)
        start = -torch.einsum("qpd,qp->d", matrix.view(*shape, count), self.mean.view(shape))
        for layer, weights, bias in zip(
            self.layers, (weight, 0 * weight), (start, log_var), strict=True
        ):
            layer.weight[:count] = weights.to(layer.weight)
            layer.bias[:count] = bias.to(layer.bias)
        back = self.pairs.write(self.components * (writing * self.scale))
        _set(self.mirror, self.pairs, back, self.pairs.write(self.mean[:, None])[:, 0])


def room(model: VAE) -> int:
    """Returns how many components have a latent, and a pair of units in every hidden layer."""
    widths = [layer.out_features for layer in _linears(model.encoder.hidden)]
    return min([model.latent, *(width // 2 for width in widths)])


def principal(rows: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Finds the rows' mean (K,), their leading components (K, D), orthonormal, and variances (D,).

    What varies by no more than rounding is no component: rows that are alike have none. The rows
    are centred in place.

    By three rounds of subspace iteration from a random start: exact to far below the noise.

    Reference:
        N. Halko et al., "Finding structure with randomness", 2009,
        https://arxiv.org/abs/0909.4061
    """
    mean = rows.mean(0)
    centred = rows.sub_(mean)
    width = min(count + 40, *centred.shape)
    basis = torch.randn(
        centred.shape[1], width, generator=torch.Generator().manual_seed(0), dtype=centred.dtype
    )
    for _ in range(3):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q  # (K, width)
    inside = centred @ basis
    values, vectors = torch.linalg.eigh(inside.T @ inside)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    variances = values / len(centred)
    real = (variances > 1e-6 * variances[0]) & (variances > ROUNDING * mean.square().sum())
    return mean, basis @ vectors[:, real], variances[real]


def _linears(layers: nn.Sequential) -> list[nn.Linear]:
    return [layer for layer in layers if isinstance(layer, nn.Linear)]


def _set(layer: nn.Linear, pairs: Pairs, weight: Tensor, bias: Tensor) -> None:
    """Sets the units that hold a code, which read nothing else; the others stay as drawn."""
    used = pairs.used.to(layer.weight.device)
    whole = F.pad(weight, (0, layer.in_features - weight.shape[1])).to(layer.weight)
    layer.weight.copy_(torch.where(used[:, None], whole, layer.weight))
    layer.bias.copy_(torch.where(used, bias.to(layer.bias), layer.bias))
