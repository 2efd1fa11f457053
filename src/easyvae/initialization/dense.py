"""The dense layers: from the codes of the last convolution to the latents, and back."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from easyvae.initialization.pairs import Pairs, linear_gain
from easyvae.initialization.tiles import ROUNDING
from easyvae.model import VAE


class Heads:
    """The heads of the latents and their mirror, above the hidden layers if there are any.

    Each hidden layer holds the components in pairs of its units, brought to the variance at which
    a pair is linear; its mirror in the decoder gives them back.

    Args:
        model: The model. Its hidden layers are set at once, its heads by `write`.
        pairs: The channels that hold the codes of the last convolution.
        mean: The average code, (K,).
        components: Orthonormal columns, (K, D).
        variance: That of each component, (D,).
    """

    def __init__(
        self, model: VAE, pairs: Pairs, mean: Tensor, components: Tensor, variance: Tensor
    ) -> None:
        """Sets the hidden layers and their mirrors."""
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
        for layer, weights, bias in (
            (self.layers[0], weight, start),
            (self.layers[1], 0 * weight, log_var),
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
