"""The network: stages in one, two and three dimensions, and the two halves made of them."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from easyvae.core.checks import at_least_float32
from easyvae.latents import Posterior
from easyvae.model.geometry import Stage

ModuleFactory: TypeAlias = Callable[[], nn.Module]
NormFactory: TypeAlias = Callable[[int], nn.Module]

ACTIVATIONS: dict[str, ModuleFactory] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky_relu": nn.LeakyReLU,
    "mish": nn.Mish,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
NORMS = ("batch", "group")

_CONVOLUTIONS: dict[int, Callable[..., _ConvNd]] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, Callable[..., _ConvTransposeNd]] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
_BATCH_NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def as_activation(activation: str | ModuleFactory) -> ModuleFactory:
    """Returns the factory that a name stands for, or the factory itself."""
    if isinstance(activation, str):
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"`activation` (={activation!r}) must be one of {', '.join(ACTIVATIONS)}, "
                "or a factory such as torch.nn.Hardswish"
            )
        return ACTIVATIONS[activation]
    if isinstance(activation, nn.Module) or not callable(activation):
        raise TypeError(
            f"`activation` (={activation!r}) must be a name or a factory that makes a new module "
            "at each call, such as torch.nn.SiLU (without parentheses)"
        )
    try:
        made = activation()
    except TypeError as error:  # such as torch.tanh, which wants the tensor itself
        raise TypeError(
            f"`activation` (={activation!r}) must take no argument and make a module, as "
            f"torch.nn.SiLU does: {error}"
        ) from error
    if not isinstance(made, nn.Module):
        raise TypeError(
            f"`activation` must make a torch.nn.Module when called, and made {made!r}; "
            "pass the class, such as torch.nn.SiLU"
        )
    return activation


def _group_norm(channels: int) -> nn.GroupNorm:
    """Makes groups of 16 channels, or of the largest number below that divides the count.

    Reference:
        Y. Wu and K. He, "Group Normalization", 2018, https://arxiv.org/abs/1803.08494
    """
    size = max(size for size in range(1, 17) if channels % size == 0)
    return nn.GroupNorm(channels // size, channels)


def as_norm(norm: str | NormFactory | None, dims: int) -> NormFactory | None:
    """Returns the factory that a name stands for, the factory itself, or `None`."""
    if norm is None:
        return None
    if isinstance(norm, str):
        if norm == "batch":
            return _BATCH_NORMS[dims]
        if norm == "group":
            return _group_norm
        raise ValueError(
            f"`norm` (={norm!r}) must be None, {' or '.join(map(repr, NORMS))}, "
            "or a factory that takes the channel count"
        )
    if isinstance(norm, nn.Module) or not callable(norm):
        raise TypeError(
            f"`norm` (={norm!r}) must be None, a name, or a factory that takes the channel count"
        )
    return norm


class Choices(NamedTuple):
    """What both halves share; stages and dense layers are counted from the image on."""

    activation: ModuleFactory
    norm: NormFactory | None
    residual_blocks: Sequence[int]
    """How many of them each stage has."""
    hidden: Sequence[int]
    """Widths of the dense layers between convolutions and latents."""


def activation_gain(activation: nn.Module) -> float:
    """Returns the factor that keeps the second moment of a layer's outputs at one.

    The weights of a layer that reads `activation(u)`, with `u` standard normal, keep their
    outputs at unit second moment when their variance is `gain ** 2 / fan_in`:

        gain = 1 / sqrt(E[activation(u) ** 2])

    The expectation is computed on a grid, so any activation has its own gain.

    Reference:
        K. He et al., "Delving Deep into Rectifiers", 2015, https://arxiv.org/abs/1502.01852
    """
    u = torch.linspace(-8, 8, 4001, device="cpu")
    density = torch.exp(-(u**2) / 2)
    with torch.no_grad():
        moment = (activation(u) ** 2 * density).sum() / density.sum()
    # An activation that is zero nearly everywhere has no gain to speak of.
    return 1 / math.sqrt(max(float(moment), 1e-4))


def init_weight(layer: nn.Linear | _ConvNd, *, gain: float = 1.0) -> None:
    """Draws a layer's weight from a normal of standard deviation `gain / sqrt(fan_in)`.

    The fan-in of a dense layer is its number of inputs, and of a convolution
    `in_channels * kernel^d`. Each output of a strided transposed convolution is reached by only
    one in `stride^d` of the kernel's taps, so its fan-in is `in_channels * kernel^d / stride^d`.
    Biases start at zero.
    """
    weight, bias = layer.weight, layer.bias
    if isinstance(layer, _ConvTransposeNd):
        fan_in = weight.shape[0] * weight[0, 0].numel() / math.prod(layer.stride)
    else:
        fan_in = weight[0].numel()
    nn.init.normal_(weight, std=gain / math.sqrt(fan_in))
    if bias is not None:
        nn.init.zeros_(bias)


def _norm_and_activation(
    channels: int, activation: ModuleFactory, norm: NormFactory | None
) -> list[nn.Module]:
    return [*([norm(channels)] if norm else []), activation()]


class ResidualBlock(nn.Module):
    """Two 3-wide convolutions whose result is added to what they read: `x + f(x)`.

    Activation and norm come before each convolution, so that the sum itself stays linear. The
    second convolution starts a tenth as large as its fan asks for: the block begins near the
    identity, and any number of blocks may follow one another.

    Reference:
        K. He et al., "Identity Mappings in Deep Residual Networks", 2016,
        https://arxiv.org/abs/1603.05027
    """

    def __init__(
        self, dims: int, channels: int, activation: ModuleFactory, norm: NormFactory | None
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for gain in (1.0, 0.1):
            convolution = _CONVOLUTIONS[dims](channels, channels, 3, padding=1)
            init_weight(convolution, gain=gain * activation_gain(activation()))
            layers += [*_norm_and_activation(channels, activation, norm), convolution]
        for layer in layers:
            if hasattr(layer, "inplace"):
                # Or it would write into the sum's other half.
                layer.inplace = False  # type: ignore[assignment]  # torch has any attribute a Module
        self.layers = nn.Sequential(*layers)

    def silence(self) -> None:
        """Makes the block the identity, until it is trained."""
        for parameter in self.layers[-1].parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, *spatial) to the same shape."""
        change: Tensor = self.layers(x)
        return x + change


def down_stage(
    stage: Stage, in_channels: int, out_channels: int, choices: Choices, place: int
) -> nn.Sequential:
    """Builds an encoder stage: convolution, norm, activation, residual blocks.

    Its `place` is counted from the image, which the stage at place 0 reads.
    """
    dims, activation, norm = len(stage.outer), choices.activation, choices.norm
    convolution = _CONVOLUTIONS[dims](
        in_channels, out_channels, stage.kernel, stage.stride, stage.padding
    )
    init_weight(convolution, gain=activation_gain(activation()) if place else 1.0)
    layers: list[nn.Module] = [convolution, *_norm_and_activation(out_channels, activation, norm)]
    for _ in range(choices.residual_blocks[place]):
        layers.append(ResidualBlock(dims, out_channels, activation, norm))
    return nn.Sequential(*layers)


def up_stage(
    stage: Stage, in_channels: int, out_channels: int, choices: Choices, place: int
) -> nn.Sequential:
    """Builds the mirror of `down_stage`, in the opposite order.

    The last stage, at place 0, ends with its convolution. An activation there would bar the output
    from one half of its range: dark pixels, after a ReLU and a sigmoid, could not be reached.
    """
    dims, activation, norm = len(stage.outer), choices.activation, choices.norm
    convolution = _TRANSPOSED[dims](
        in_channels, out_channels, stage.kernel, stage.stride, stage.padding, stage.output_padding
    )
    init_weight(convolution, gain=activation_gain(activation()))
    layers: list[nn.Module] = []
    for _ in range(choices.residual_blocks[place]):
        layers.append(ResidualBlock(dims, in_channels, activation, norm))
    layers.append(convolution)
    if place:
        layers += _norm_and_activation(out_channels, activation, norm)
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """Maps images (N, C, *spatial) to the means and log-variances of their posteriors.

    The head of the log-variance starts a tenth as large as that of the mean: every posterior
    begins with a variance near 1, and the first KL divergence is no wall.
    """

    def __init__(
        self, stages: Sequence[Stage], channels: Sequence[int], latent: int, choices: Choices
    ) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            *(
                down_stage(stage, channels[i], channels[i + 1], choices, i)
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
                at_least_float32(self.mean(features)), at_least_float32(self.log_var(features))
            )


class Decoder(nn.Module):
    """Maps latents (N, D) to logits (N, C, *spatial): the encoder's mirror."""

    def __init__(
        self, stages: Sequence[Stage], channels: Sequence[int], latent: int, choices: Choices
    ) -> None:
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
                up_stage(stages[i], channels[i + 1], channels[i], choices, i)
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
    for inputs, outputs in pairwise(widths):
        layer = nn.Linear(inputs, outputs)
        init_weight(layer, gain=activation_gain(layers[-1]) if layers else first_gain)
        layers += [layer, activation()]
    return nn.Sequential(*layers)
