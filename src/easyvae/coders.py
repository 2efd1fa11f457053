"""The two halves of a variational autoencoder."""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from easyvae.blocks import (
    ModuleFactory,
    NormFactory,
    activation_gain,
    down_stage,
    init_weight,
    up_stage,
)
from easyvae.geometry import Stage
from easyvae.latents import Posterior


class Choices(NamedTuple):
    """What the layers of both halves share.

    Attributes:
        activation: Makes a new activation module.
        norm: Makes a norm for a channel count, or `None`.
        residual_blocks: How many residual blocks each stage has.
        hidden: Widths of the dense layers between convolutions and latents, from the image on.
    """

    activation: ModuleFactory
    norm: NormFactory | None
    residual_blocks: Sequence[int]
    hidden: Sequence[int]


class Encoder(nn.Module):
    """Maps images (N, C, *spatial) to the means and log-variances of their posteriors.

    The head of the log-variance starts a tenth as large as that of the mean: every posterior
    begins with a variance near 1, and the first KL divergence is no wall.
    """

    def __init__(
        self, stages: Sequence[Stage], channels: Sequence[int], latent: int, choices: Choices
    ) -> None:
        """Builds one stage per item of `stages`; `channels` starts with the image's."""
        super().__init__()
        self.stages = nn.Sequential(
            *(
                down_stage(
                    stage,
                    channels[i],
                    channels[i + 1],
                    activation=choices.activation,
                    norm=choices.norm,
                    residual_blocks=choices.residual_blocks[i],
                    first=i == 0,
                )
                for i, stage in enumerate(stages)
            )
        )
        gain = activation_gain(choices.activation())
        widths = (channels[-1] * math.prod(stages[-1].inner), *choices.hidden)
        self.hidden = _dense_layers(widths, choices.activation, first_gain=gain)
        self.mean = nn.Linear(widths[-1], latent)
        self.log_var = nn.Linear(widths[-1], latent)
        init_weight(self.mean, gain=gain)
        init_weight(self.log_var, gain=gain / 10)

    def forward(self, x: Tensor) -> Posterior:
        """Returns means and log-variances, each (N, D), in float32 or wider."""
        features = self.stages(x).flatten(1)  # (N, C * prod(spatial))
        # Half precision is coarser than the noise of a sharp posterior: not for these.
        with torch.autocast(features.device.type, enabled=False):
            features = self.hidden(features.to(self.mean.weight.dtype))
            return Posterior(
                *map(_at_least_float32, (self.mean(features), self.log_var(features)))
            )


class Decoder(nn.Module):
    """Maps latents (N, D) to logits (N, C, *spatial): the encoder's mirror."""

    def __init__(
        self, stages: Sequence[Stage], channels: Sequence[int], latent: int, choices: Choices
    ) -> None:
        """Takes the encoder's arguments, in the encoder's order."""
        super().__init__()
        self.grid = (channels[-1], *stages[-1].inner)
        widths = (latent, *reversed(choices.hidden))
        self.hidden = _dense_layers(widths, choices.activation, first_gain=1.0)
        self.expand = nn.Linear(widths[-1], math.prod(self.grid))
        gain = activation_gain(choices.activation()) if choices.hidden else 1.0
        init_weight(self.expand, gain=gain)
        self.activation = choices.activation()
        self.stages = nn.Sequential(
            *(
                up_stage(
                    stages[i],
                    channels[i + 1],
                    channels[i],
                    activation=choices.activation,
                    norm=choices.norm,
                    residual_blocks=choices.residual_blocks[i],
                    last=i == 0,
                )
                for i in reversed(range(len(stages)))
            )
        )

    def forward(self, z: Tensor) -> Tensor:
        """Returns what comes before the output function."""
        with torch.autocast(z.device.type, enabled=False):
            grid = self.expand(self.hidden(z.to(self.expand.weight.dtype)))
        grid = self.activation(grid).unflatten(1, self.grid)  # (N, C, *inner)
        logits: Tensor = self.stages(grid)
        return logits


def _dense_layers(
    widths: Sequence[int], activation: ModuleFactory, *, first_gain: float
) -> nn.Sequential:
    """Builds a dense layer and an activation from each width to the next."""
    layers: list[nn.Module] = []
    gain = first_gain
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs)
        init_weight(layer, gain=gain)
        layers += [layer, activation()]
        gain = activation_gain(layers[-1])
    return nn.Sequential(*layers)


def _at_least_float32(x: Tensor) -> Tensor:
    return x if x.dtype == torch.float64 else x.float()
