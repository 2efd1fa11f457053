"""ACAI, a peer whose mixes a critic judges: an autoencoder, its critic, and their training.

The network, the losses and their weights are those of the paper: pairs of 3x3 convolutions at each
size, average pooling down and nearest neighbours up, codes that keep two to four places to a side.
Nothing of easyvae is used.

D. Berthelot, C. Raffel, A. Roy and I. Goodfellow, "Understanding and Improving Interpolation in
Autoencoders via an Adversarial Regularizer", 2018, https://arxiv.org/abs/1807.07543
"""

import itertools
import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_SIZE = 64
FOOLED = 0.5  # weight of the critic in the autoencoder's loss
REAL = 0.2  # how much of the picture itself is in the pictures that the critic must not find mixed


def _convolution(inputs: int, outputs: int, size: int = 3) -> nn.Conv2d:
    layer = nn.Conv2d(inputs, outputs, size, padding=size // 2)
    nn.init.normal_(layer.weight, std=1 / math.sqrt(1.04 * layer.weight[0].numel()))
    nn.init.zeros_(layer.bias)
    return layer


def _coder(in_channels: int, scales: int, depth: int, codes: int) -> nn.Sequential:
    layers: list[nn.Module] = [_convolution(in_channels, depth, 1)]
    below = depth
    for scale in range(scales):
        above = depth << scale
        layers += [_convolution(below, above), nn.LeakyReLU(0.2)]
        layers += [_convolution(above, above), nn.LeakyReLU(0.2), nn.AvgPool2d(2)]
        below = above
    layers += [_convolution(below, depth << scales), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers, _convolution(depth << scales, codes))


class ACAI(nn.Module):
    """The autoencoder and its critic, for square pictures in [0, 1].

    Args:
        image_size: Height and width.
        in_channels: Colours.
        depth: Channels of the first convolution; each size has twice as many as the one before.
        codes: Channels of the codes.
        width: Places of the codes, to a side.
    """

    def __init__(
        self, image_size: int, in_channels: int, *, depth: int = 16, codes: int = 16, width: int
    ) -> None:
        super().__init__()
        scales = round(math.log2(image_size / width))
        self.codes = (codes, width, width)
        self.encoder = _coder(in_channels, scales, depth, codes)
        self.critic = _coder(in_channels, scales, depth, codes)
        layers: list[nn.Module] = []
        widths = [codes, *(depth << scale for scale in reversed(range(scales)))]
        for below, above in itertools.pairwise(widths):
            layers += [_convolution(below, above), nn.LeakyReLU(0.2)]
            layers += [_convolution(above, above), nn.LeakyReLU(0.2), nn.Upsample(scale_factor=2)]
        layers += [_convolution(depth, depth), nn.LeakyReLU(0.2), _convolution(depth, in_channels)]
        self.decoder = nn.Sequential(*layers)

    def encode(self, x: Tensor) -> Tensor:
        return self.encoder(2 * x - 1).flatten(1)

    def decode(self, z: Tensor) -> Tensor:
        return ((self.decoder(z.unflatten(1, self.codes)) + 1) / 2).clamp(0, 1)


def train_acai(
    model: ACAI, images: Tensor, *, seed: int, lr: float, keep_on: Callable[[float], bool]
) -> None:
    """Trains on uint8 images until `keep_on(seconds)` is false."""
    torch.manual_seed(seed)
    coder = [*model.encoder.parameters(), *model.decoder.parameters()]
    critic = [*model.critic.parameters()]
    optimizers = [torch.optim.Adam(group, lr=lr) for group in (coder, critic)]
    began = time.perf_counter()
    while True:
        for indices in torch.randperm(len(images)).split(BATCH_SIZE):
            if not keep_on(time.perf_counter() - began):
                return
            x = 2 * (images[indices].float() / 255) - 1
            z = model.encoder(x)
            rebuilt = model.decoder(z)
            share = 0.5 - (torch.rand(len(x)) - 0.5).abs()  # of the picture itself, up to a half
            mixed = model.decoder(torch.lerp(z.flip(0), z, share.view(-1, 1, 1, 1)))
            fooled = model.critic(mixed).mean((1, 2, 3)).square().mean()
            loss = F.mse_loss(rebuilt, x) + FOOLED * fooled
            coder_gradients = torch.autograd.grad(loss, coder)
            judged = model.critic(mixed.detach()).mean((1, 2, 3))
            real = model.critic(torch.lerp(rebuilt, x, REAL).detach()).mean((1, 2, 3))
            loss = F.mse_loss(judged, share) + real.square().mean()
            critic_gradients = torch.autograd.grad(loss, critic)
            for group, gradients, optimizer in zip(
                (coder, critic), (coder_gradients, critic_gradients), optimizers, strict=True
            ):
                for parameter, gradient in zip(group, gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()
