"""Where training starts: the principal components of the data, as weights of the network."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from easyvae.blocks import ResidualBlock
from easyvae.data import Images
from easyvae.latents import Posterior, eval_mode
from easyvae.losses import BetaLoss, LossTerms
from easyvae.model import VAE, VAEOutput

SAMPLE = 8192
"""As many images are looked at, or fewer where their codes would take much memory."""

_FLOATS = 2**25  # of the codes that are held at once
_PIECE = 256  # images whose codes are computed at once, and at least so many tiles' images
_PROBE = 64  # images that go through the whole model, to measure a few numbers

_CONVOLVE: dict[int, Callable[..., Tensor]] = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


def principal_start(model: VAE, images: Images, loss: BetaLoss | None = None) -> int:
    """Sets a new model's weights so that it starts as the best linear autoencoder of its data.

    A random network spends most of a short training on learning what linear algebra knows at
    once. Here every convolution gets the principal components of the tiles that it sees, one
    `stride`-wide tile per output, and the heads get those of the whole image; the decoder gets
    the transposes. So that this passes through the activations, each component has two channels
    of opposite sign: `f(u) - f(-u)` is linear in `u` for ReLU, leaky ReLU, SiLU, GELU and
    softplus, and nearly so for others. With the precision `k` of the loss (its curvature by the
    logits), the variance `v` of a component in the logits, and `t = k v / beta`, a latent has

        mean = sqrt(t - 1) / t * y,    log_var = -log(t)

    where `y` is the component divided by the noise `sqrt(beta / k)`: the optimum of a linear
    VAE, in which components below the noise are left to the prior. Channels and latents without
    a component keep the weights they were drawn with.

    The global random state is left alone. A model that is no better on the images for it is put
    back as it was.

    Args:
        model: A model of which nothing is trained; its weights are overwritten.
        images: (N, C, *spatial), float in the data's range or uint8; the first 8,192 count.
        loss: The loss that training will use; `BetaLoss()` by default.

    Returns:
        How many latents hold a component; 0 where the model was left as it was, which is so for
        models with norms: they undo the scale of what passes.

    Raises:
        ValueError: If the images do not fit the model or the loss.

    Example:
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> principal_start(model, torch.rand(64, 3, 16, 16))
        4

    Reference:
        P. Krähenbühl et al., "Data-dependent Initializations of Convolutional Neural Networks",
        2015, https://arxiv.org/abs/1511.06856; the pairs: D. Balduzzi et al., "The Shattered
        Gradients Problem", 2017, https://arxiv.org/abs/1702.08591; the linear VAE: J. Lucas et
        al., "Don't Blame the ELBO!", 2019, https://arxiv.org/abs/1911.02469
    """
    loss = BetaLoss() if loss is None else loss
    with eval_mode(model), torch.no_grad():
        if len(images) < 2 or not _is_plain(model):
            return 0
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        was = _mean_loss(model, loss, images[:_PROBE])
        try:
            found = _start(model, images, loss)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # not among torch's stubs
            found = 0  # values that are not finite: for training to report
        if found and _mean_loss(model, loss, images[:_PROBE]) < was:
            return found
    model.load_state_dict(before)
    return 0


def _start(model: VAE, images: Images, loss: BetaLoss) -> int:
    """Sets the weights, and returns how many latents hold a component."""
    levels = _set_encoder(model, images)
    top = _top_codes(model, levels, images)
    mean = top.mean(0)
    components, variance = _principal(top.sub_(mean), model.latent)
    del top
    _set_decoder(model, levels)
    head = _Head(model, levels[-1], mean, components)
    # Without noise or shrinking at first, to measure what the latents do to the loss.
    head.write(torch.ones_like(variance), torch.ones_like(variance), torch.zeros_like(variance))
    probe = images[:_PROBE]
    if model.output == "sigmoid":
        _set_slope(model, probe)
    gain, curvature = _measure(model, loss, probe, len(variance))
    unit = math.sqrt(gain * curvature / max(loss.beta_at(1.0), 1e-4))
    # Components below the noise keep a little weight: at zero they would have no gradient.
    weight = (unit**2 * variance - 1).clamp(min=0.01).sqrt()
    total = weight.square() + 1
    head.write(weight / total * unit, weight / unit, -total.log())
    return len(variance)


class _Level(NamedTuple):
    """The components of the tiles that one stage of the encoder sees.

    Attributes:
        pairs: From codes to channels, (channels, Q): 1 and -1 in the two channels of a code.
        gain: What `f(u) - f(-u)` makes of `u`: that many times `u`.
        components: Orthonormal rows, (Q, codes below * stride^dims).
        mean: The average tile.
        scale: Brings the codes to a mean square of 1.
        stride: Width of a tile.
        grid: How many tiles there are in each dimension.
    """

    pairs: Tensor
    gain: float
    components: Tensor
    mean: Tensor
    scale: float
    stride: int
    grid: tuple[int, ...]

    def codes(self, below: Tensor) -> Tensor:
        """Maps the codes of the level below, (N, C, *spatial), to (N, Q, *grid)."""
        reading = self.scale * self.components
        return _CONVOLVE[len(self.grid)](
            _fit(below, self.stride, self.grid),
            reading.view(len(reading), -1, *[self.stride] * len(self.grid)),
            -reading @ self.mean,
            self.stride,
        )


def _set_encoder(model: VAE, images: Images) -> list[_Level]:
    """Gives every convolution of the encoder the components of its tiles, level by level."""
    channels = model.input_shape[0]
    pairs, gain = torch.eye(channels), 1.0  # those of the image: as it is
    odd, size = _linear_gain(model.decoder.activation)
    levels: list[_Level] = []
    for stage in model.encoder.stages:
        convolution = _convolution(stage)
        width = convolution.stride[0]
        grid = tuple(model.plan[len(levels)].inner)
        count = max(_PIECE, math.ceil(20 * pairs.shape[1] * width ** len(grid) / math.prod(grid)))
        codes = _codes(levels, _as_floats(images[:count]))
        rows = _tiles(codes, width, grid).flatten(0, -2)
        mean = rows.mean(0)
        rows = rows - mean
        values, vectors = torch.linalg.eigh(rows.T @ rows / len(rows))
        half = convolution.out_channels // 2
        kept = min(half, len(values))
        components = vectors.T.flip(0)[:kept]
        scale = size / math.sqrt(max(float(values[-kept:].mean()), 1e-12))
        spread = torch.zeros(convolution.out_channels, kept)
        index = torch.arange(kept)
        spread[index, index], spread[half + index, index] = 1.0, -1.0
        level = _Level(spread, odd, components, mean, scale, width, grid)
        shape = (kept, -1, *[width] * len(grid))
        weight = torch.einsum(
            "oq,qk...,ck->oc...", spread, (scale * components).view(shape), pairs / gain
        )
        used = spread.any(1)
        _write(convolution, weight, spread @ (-scale * components @ mean), used)
        levels.append(level)
        pairs, gain = spread, level.gain
        for block in stage.children():
            if isinstance(block, ResidualBlock):
                block.silence()
    return levels


def _set_decoder(model: VAE, levels: Sequence[_Level]) -> None:
    """Gives every transposed convolution the transpose of its mirror."""
    channels = model.input_shape[0]
    below = [torch.eye(channels), *(level.pairs for level in levels[:-1])]
    for stage, level, pairs in zip(reversed(model.decoder.stages), levels, below, strict=True):
        shape = (-1, pairs.shape[1], *[level.stride] * len(level.grid))
        tiles = (level.components / level.scale).view(shape)
        weight = torch.einsum("cq,qk...,ok->co...", level.pairs / level.gain, tiles, pairs)
        bias = pairs @ level.mean.view(shape[1:]).flatten(1).mean(1)
        _write(_convolution(stage), weight, bias, pairs.any(1))
        for block in stage.children():
            if isinstance(block, ResidualBlock):
                block.silence()


def _write(layer: _ConvNd, weight: Tensor, bias: Tensor, used: Tensor) -> None:
    """Puts a tile's weights where they read or write the tile, and zero around them.

    The outputs that no component uses keep what they were drawn with.
    """
    whole = torch.zeros(layer.weight.shape)
    starts = tuple(map(int, layer.padding))
    inside = tuple(
        slice(start, start + stride) for start, stride in zip(starts, layer.stride, strict=True)
    )
    whole[(slice(None), slice(None), *inside)] = weight
    outputs = 1 if layer.transposed else 0
    used = used.to(layer.weight.device)
    mask = used.view([-1 if i == outputs else 1 for i in range(whole.ndim)])
    layer.weight.copy_(torch.where(mask, whole.to(layer.weight), layer.weight))
    if layer.bias is not None:
        layer.bias.copy_(torch.where(used, bias.to(layer.bias), layer.bias))


class _Head:
    """The dense layers between the codes of the last level and the latents."""

    def __init__(self, model: VAE, level: _Level, mean: Tensor, components: Tensor) -> None:
        """Takes the mean code, (K,), and the components, (K, D)."""
        self.model = model
        self.level = level
        self.mean = mean.view(-1, math.prod(level.grid))  # (Q, positions)
        self.components = components.view(*self.mean.shape, -1)  # (Q, positions, D)

    def write(self, reading: Tensor, writing: Tensor, log_var: Tensor) -> None:
        """Sets, for each component, what it is multiplied by on the way in and on the way out."""
        pairs, gain = self.level.pairs, self.level.gain
        encoder, expand = self.model.encoder, self.model.decoder.expand
        count = len(reading)
        read = torch.einsum("qpd,cq->dcp", self.components * reading, pairs / gain)
        start = -torch.einsum("qpd,qp->d", self.components * reading, self.mean)
        for layer, weight, bias in (
            (encoder.mean, read.flatten(1), start),
            (encoder.log_var, 0 * read.flatten(1), log_var),
        ):
            layer.weight[:count] = weight.to(layer.weight)
            layer.bias[:count] = bias.to(layer.bias)
        used = pairs.any(1).repeat_interleave(self.mean.shape[1]).to(expand.weight.device)
        write = torch.einsum("cq,qpd->cpd", pairs, self.components * writing).flatten(0, 1)
        whole = torch.zeros(expand.weight.shape)
        whole[:, :count] = write
        expand.weight.copy_(torch.where(used[:, None], whole.to(expand.weight), expand.weight))
        bias = (pairs @ self.mean).flatten().to(expand.bias)
        expand.bias.copy_(torch.where(used, bias, expand.bias))


def _principal(centred: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Finds the leading components of the rows, (K, D) orthonormal, and their variances, (D,).

    By three rounds of subspace iteration from a random start: exact to far below the noise.

    Reference:
        N. Halko et al., "Finding structure with randomness", 2009,
        https://arxiv.org/abs/0909.4061
    """
    width = min(count + 40, *centred.shape)
    basis = torch.randn(centred.shape[1], width, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        basis = torch.linalg.qr(centred.T @ (centred @ basis)).Q  # (K, width)
    inside = centred @ basis
    values, vectors = torch.linalg.eigh(inside.T @ inside)
    values, vectors = values.flip(0)[:count], vectors.flip(1)[:, :count]
    real = values > 1e-6 * values[0]
    return basis @ vectors[:, real], values[real] / len(centred)


def _set_slope(model: VAE, images: Tensor) -> None:
    """Turns what the linear decoder says of a pixel into its logit: a logistic regression."""
    layer = _convolution(model.decoder.stages[-1])
    x = _as_floats(images).clamp(0, 1)
    guess = model.decoder(model.encode(images).mean).float().cpu()
    colours = list(range(guess.shape[1]))
    rest = [0, *range(2, guess.ndim)]
    mean = x.mean(rest)
    shape = (-1, *[1] * (guess.ndim - 2))
    away = guess - mean.view(shape)
    solution = torch.cat([torch.full((1,), 4.0), torch.logit(mean, eps=0.01)])
    for _ in range(20):  # Newton's method, its step bounded
        p = (solution[0] * away + solution[1:].view(shape)).sigmoid()
        error, weight = p - x, p * (1 - p)
        gradient = torch.cat([(error * away).mean()[None], error.mean(rest) / len(colours)])
        hessian = torch.diag(
            torch.cat([(weight * away**2).mean()[None], weight.mean(rest) / len(colours)])
        )
        hessian[0, 1:] = hessian[1:, 0] = (weight * away).mean(rest) / len(colours)
        hessian += 1e-6 * torch.eye(len(solution))
        step = torch.linalg.solve(hessian, gradient).clamp(-2, 2)
        solution -= step
        if float(step.abs().max()) < 1e-3:
            break
    slope, level = solution[0], solution[1:]
    layer.weight.mul_(float(slope))
    if layer.bias is not None:
        layer.bias.copy_((slope * (layer.bias.cpu().float() - mean) + level).to(layer.bias))


def _measure(model: VAE, loss: BetaLoss, images: Tensor, count: int) -> tuple[float, float]:
    """Measures what a latent of 1 does to the logits, squared, and the loss's curvature there."""
    posterior = model.encode(images)
    logits = model.decoder(posterior.mean)
    rest = model.decoder(torch.zeros_like(posterior.mean[:1]))
    moved = posterior.mean[:, :count].square().sum()
    gain = float((logits - rest).square().sum() / moved.clamp(min=1e-12))
    noise = torch.randn(logits.shape, generator=torch.Generator().manual_seed(0)).to(logits) / 10
    ahead, behind, here = (
        _terms(model, loss, images, posterior, logits + change).reconstruction.mean().double()
        for change in (noise, -noise, 0)
    )
    bend = float(ahead + behind - 2 * here)
    return gain, max(bend / float(noise.square().flatten(1).sum(1).mean()), 1e-6)


def _mean_loss(model: VAE, loss: BetaLoss, images: Tensor) -> float:
    """Computes the loss at the means' reconstructions: without noise, so without its chance."""
    posterior = model.encode(images)
    logits = model.decoder(posterior.mean)
    return float(_terms(model, loss, images, posterior, logits).total.mean())


def _terms(
    model: VAE, loss: BetaLoss, images: Tensor, posterior: Posterior, logits: Tensor
) -> LossTerms:
    shown = logits.sigmoid() if model.output == "sigmoid" else logits
    output = VAEOutput(shown, *posterior, posterior.mean, logits)
    return loss.per_image(output, images)


def _top_codes(model: VAE, levels: Sequence[_Level], images: Images) -> Tensor:
    """Computes the codes of the last level, one row per image, (N, K)."""
    size = levels[-1].pairs.shape[1] * math.prod(levels[-1].grid)
    count = min(len(images), SAMPLE, max(_FLOATS // size, 2 * model.latent))
    return torch.cat(
        [
            _codes(levels, _as_floats(images[i : min(i + _PIECE, count)])).flatten(1)
            for i in range(0, count, _PIECE)
        ]
    )


def _codes(levels: Sequence[_Level], images: Tensor) -> Tensor:
    for level in levels:
        images = level.codes(images)
    return images


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


def _linear_gain(activation: nn.Module) -> tuple[float, float]:
    """Returns `c` in `f(u) - f(-u) = c u`, and how large `u` may be on average for that."""
    u = torch.linspace(-3, 3, 601)
    density = torch.exp(-(u**2) / 2)
    gain = 0.0
    for size in (1.0, 0.1):
        odd = (activation(size * u) - activation(-size * u)).float().cpu() / size
        gain = float((density * u * odd).sum() / (density * u**2).sum())
        wrong = (density * (odd - gain * u) ** 2).sum() / (density * u**2).sum()
        if float(wrong) < 1e-4 * gain**2:
            break
    return gain, size


def _is_plain(model: VAE) -> bool:
    """Tells whether codes can pass: no norms, and activations that let an odd part through."""
    for stage in model.encoder.stages:
        if sum(not isinstance(layer, ResidualBlock) for layer in stage.children()) != 2:
            return False
    gain, _ = _linear_gain(model.decoder.activation)
    return math.isfinite(gain) and gain > 0.01


def _convolution(stage: nn.Module) -> _ConvNd:
    """Finds the strided convolution of a stage, beside which there are only residual blocks."""
    return next(layer for layer in stage.children() if isinstance(layer, _ConvNd))


def _as_floats(images: Tensor) -> Tensor:
    images = images.cpu()
    return images.float() / 255 if images.dtype == torch.uint8 else images.float()
