"""The variational autoencoder."""

import copy
import math
import os
from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

from easyvae.core.checks import (
    as_batch,
    as_int,
    check_latents,
    check_temperature,
    check_tensor,
    widest,
)
from easyvae.latents import Posterior, eval_mode, is_single, reparameterize
from easyvae.model.file import read_model, write_model
from easyvae.model.geometry import as_spatial, per_layer, plan_stages
from easyvae.model.network import (
    Choices,
    Decoder,
    Encoder,
    ModuleFactory,
    NormFactory,
    as_activation,
    as_norm,
)
from easyvae.model.summary import summarize

PIECE = 256
"""In eval mode and without gradients, so many images are encoded or decoded at a time."""


class VAEOutput(NamedTuple):
    """What `model(x)` returns.

    Attributes:
        reconstruction: Images in the data's range, (N, C, *spatial).
        mean: Posterior means, (N, D).
        log_var: Logarithms of the posterior variances, (N, D).
        z: The sample that was decoded, (N, D).
        logits: The decoder's output before the output function, (N, C, *spatial).
    """

    reconstruction: Tensor
    mean: Tensor
    log_var: Tensor
    z: Tensor
    logits: Tensor


class VAE(nn.Module):
    """Creates a variational autoencoder from a list of channel counts.

    Each item of `channels` is one strided convolution of the encoder, and one transposed
    convolution of the decoder, which mirrors it. `VAE(channels=[32, 64, 128, 256], latent=128)`
    takes 3x64x64 images down over 32x32x32, 64x16x16 and 128x8x8 to 256x4x4 and from there to
    128 latents, and back. Every size that the layers can halve is reproduced exactly.

    Args:
        channels: Output channels of each encoder convolution, in order; at least one.
        latent: Latent size D, at least 1.
        image_size: An integer is a square image; a sequence of one, two or three sizes builds
            1-D, 2-D or 3-D convolutions.
        in_channels: Colour channels C of the images.
        kernel_size: One for all layers or one per layer, each at least the layer's stride.
        stride: One for all layers or one per layer.
        activation: A name ("silu", "relu", "leaky_relu", "gelu", "elu", "mish", "softplus",
            "tanh") or a factory of a module, such as `torch.nn.Hardswish`.
        norm: `None`, "batch", "group", or a factory that takes the channel count.
        residual_blocks: How many residual blocks follow each encoder stage and precede its
            mirror, at that stage's size; one number for all or one per layer.
        output: "sigmoid" for data in [0, 1], "identity" for unbounded data.
        hidden: Widths of dense layers between the last convolution and the latents, each with
            an activation and without a norm; the decoder mirrors them. An integer is one layer,
            `()` is none.

    Attributes:
        latent: The latent size D.
        input_shape: (C, *spatial).
        output: "sigmoid" or "identity".
        plan: Where each convolution starts and ends, see `easyvae.model.geometry.Stage`.

    Raises:
        ValueError: If a value is out of its range, or there are more layers than the size can
            be halved.
        TypeError: If a value is of the wrong type.

    Example:
        >>> VAE(channels=[32, 64], latent=16, image_size=28, in_channels=1)
        VAE: 1x28x28 <-> 16 latents, 220,385 parameters
          encoder  conv 4/2       32x14x14      544
                   conv 4/2         64x7x7   32,832
                   mean, log_var      2x16  100,384
          decoder  linear           64x7x7   53,312
                   conv 4/2       32x14x14   32,800
                   conv 4/2        1x28x28      513
          silu, no norm, sigmoid output

    Reference:
        D. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2013,
        https://arxiv.org/abs/1312.6114
    """

    def __init__(
        self,
        channels: Sequence[int],
        latent: int,
        *,
        image_size: int | Sequence[int] = 64,
        in_channels: int = 3,
        kernel_size: int | Sequence[int] = 4,
        stride: int | Sequence[int] = 2,
        activation: str | ModuleFactory = "silu",
        norm: str | NormFactory | None = None,
        residual_blocks: int | Sequence[int] = 0,
        output: Literal["sigmoid", "identity"] = "sigmoid",
        hidden: int | Sequence[int] = (),
    ) -> None:
        super().__init__()
        if isinstance(channels, str) or not isinstance(channels, Sequence):
            raise TypeError(f"`channels` (={channels!r}) must be a sequence of integers")
        if not channels:
            raise ValueError("`channels` (=[]) must have at least one layer, such as [32, 64]")
        counts = per_layer("channels", channels, len(channels))
        self.latent = as_int("latent", latent)
        spatial = as_spatial(image_size)
        if output not in ("sigmoid", "identity"):
            raise ValueError(f"`output` (={output!r}) must be 'sigmoid' or 'identity'")
        self.input_shape: tuple[int, ...] = (as_int("in_channels", in_channels), *spatial)
        kernels = per_layer("kernel_size", kernel_size, len(counts))
        strides = per_layer("stride", stride, len(counts))
        blocks = per_layer("residual_blocks", residual_blocks, len(counts), least=0)
        dense = per_layer("hidden", hidden, len(hidden) if isinstance(hidden, Sequence) else 1)
        self.output = output
        self.plan = plan_stages(spatial, kernels, strides)
        self._arguments: dict[str, Any] = {
            "channels": list(counts),
            "latent": self.latent,
            "image_size": _as_listed(image_size, spatial),
            "in_channels": self.input_shape[0],
            "kernel_size": _as_listed(kernel_size, kernels),
            "stride": _as_listed(stride, strides),
            "activation": activation,
            "norm": norm,
            "residual_blocks": _as_listed(residual_blocks, blocks),
            "output": output,
            "hidden": _as_listed(hidden, dense),
        }
        widths = (self.input_shape[0], *counts)
        choices = Choices(as_activation(activation), as_norm(norm, len(spatial)), blocks, dense)
        self.encoder = Encoder(self.plan, widths, self.latent, choices)
        self.decoder = Decoder(self.plan, widths, self.latent, choices)
        self._lay_out()
        self._drawn = self._sums()

    @property
    def config(self) -> dict[str, Any]:
        """The constructor's arguments as a JSON-able dict: `VAE(**model.config)` is its twin.

        Raises:
            TypeError: If `activation` or `norm` was given as a factory, which has no name that
                a file could hold.
        """
        for name in ("activation", "norm"):
            value = self._arguments[name]
            if not (value is None or isinstance(value, str)):
                raise TypeError(
                    f"`{name}` (={value!r}) is a factory, which a config or a file cannot hold; "
                    "use a name, or save `model.state_dict()` and build the model in your code"
                )
        return copy.deepcopy(self._arguments)

    def encode(self, x: Tensor) -> Posterior:
        """Maps images to their posteriors.

        Args:
            x: (N, C, *spatial): float in the data's range, or uint8, which is divided by 255.

        Returns:
            `Posterior(mean, log_var)`, each (N, D).

        Raises:
            ValueError: If the shape does not fit; the message states the fix.
            TypeError: If `x` is not a float or uint8 tensor.
        """
        if not self._in_pieces(x):
            return Posterior(*self.encoder(self._prepare(x)))
        parts = [self.encoder(self._prepare(piece)) for piece in x.split(PIECE)]
        return Posterior(*(torch.cat(tensors) for tensors in zip(*parts, strict=True)))

    def decode(self, z: Tensor) -> Tensor:
        """Maps latents (N, D) to images in the data's range, (N, C, *spatial).

        Raises:
            ValueError: If the shape does not fit.
            TypeError: If `z` is not a tensor.
        """
        check_tensor("z", z)
        check_latents("z", z, self.latent)
        if not self._in_pieces(z):
            return self._output(self.decoder(z.to(_weight_of(self.decoder))))
        images = _weight_of(self.decoder).new_empty(len(z), *self.input_shape)
        for piece, place in zip(z.split(PIECE), images.split(PIECE), strict=True):
            place.copy_(self._output(self.decoder(piece.to(images))))
        return images

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> VAEOutput:
        """Encodes, samples and decodes, in train and in eval mode alike.

        Args:
            x: Images as for `encode`.
            generator: Source of the sample's noise, on the model's device; the global one by
                default.
        """
        mean, log_var = self.encode(x)
        return self._decoded(mean, log_var, reparameterize(mean, log_var, generator=generator))

    def _decoded(self, mean: Tensor, log_var: Tensor, z: Tensor) -> VAEOutput:
        """Decodes latents `z`, (N, D), that come of these posteriors, for a loss."""
        logits = self.decoder(z.to(_weight_of(self.decoder)))
        return VAEOutput(self._output(logits), mean, log_var, z, logits)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns `decode(encode(x).mean)`: deterministic, without gradient, in eval mode.

        Args:
            x: Images as for `encode`, or a single one (C, *spatial).

        Returns:
            The shape of `x`.
        """
        single = is_single(self, x)
        with eval_mode(self), torch.no_grad():
            images = self.decode(self.encode(x[None] if single else x).mean)
        return images[0] if single else images

    def sample(
        self,
        n: int = 1,
        *,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draws new images from the prior: without gradient, in eval mode.

        Args:
            n: How many, at least 1.
            temperature: Standard deviation of the latents, at least 0; below 1 the images are
                more alike and closer to the average one.
            generator: Source of the latents, on the model's device; the global one by default.

        Returns:
            (n, C, *spatial).

        Raises:
            ValueError: If `n` or `temperature` is out of its range.
            TypeError: If one of them is not a number.
        """
        n = as_int("n", n)
        check_temperature(temperature)
        z = _weight_of(self.decoder).new_empty(n, self.latent).normal_(generator=generator)
        with eval_mode(self), torch.no_grad():
            return self.decode(temperature * z)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes weights, config and format version to one `.safetensors` file, all or nothing.

        Raises:
            TypeError: If the model has a factory for an argument, see `config`, or weights of
                several float types, or of one that no model computes in.
            ValueError: If its images are so large for so few weights that `load` would refuse.
            OSError: If the file cannot be written; what was there before is still there.
        """
        write_model(path, self.state_dict(), self.config)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        device: str | torch.device = "cpu",
        allow_nonfinite: bool = False,
    ) -> Self:
        """Reads a model that `save` wrote, or the best one of a run folder.

        Nothing is unpickled, and nothing is allocated for the model before the file is known to
        fit it.

        Args:
            path: The file, or a run folder with a `model.safetensors`.
            device: Where the model shall be.
            allow_nonfinite: Load weights that are NaN or infinite too, to look at what went wrong.

        Returns:
            The model, in eval mode.

        Raises:
            FileNotFoundError: If there is no such file.
            ModelFileError: If it is not a model file of this version, or damaged, or has weights
                that are not finite, or images that are very large for so few weights.
        """
        model = read_model(path, cls, allow_nonfinite=allow_nonfinite)
        model._lay_out()
        return model.to(device).eval()

    @property
    def _memory_format(self) -> torch.memory_format:
        # Channels-last is the faster layout of 2-D convolutions on every device. A property, since
        # `pickle` takes a model to pieces and does not know what to do with a memory format.
        return torch.channels_last if len(self.input_shape) == 3 else torch.contiguous_format

    def _lay_out(self) -> None:
        self.to(memory_format=self._memory_format)  # type: ignore[call-overload]  # torch's annotations leave it out

    def _sums(self) -> dict[str, float]:
        """Adds up each parameter: what training, loading or setting a weight would change."""
        return {
            name: float(p.detach().sum(dtype=widest(p.device)))
            for name, p in self.named_parameters()
            if not p.is_meta
        }

    @property
    def _untouched(self) -> bool:
        """Whether the weights are those that this constructor drew, and there are no others."""
        now = self._sums()
        return now.keys() == self._drawn.keys() and all(
            math.isclose(total, self._drawn[name], rel_tol=1e-9, abs_tol=1e-9)
            for name, total in now.items()
        )

    def _in_pieces(self, x: Tensor) -> bool:
        """Whether to take a large set in pieces: without gradients, what one needs is bounded."""
        if torch.is_grad_enabled() or self.training or torch.compiler.is_compiling():
            return False  # a program of its own takes a batch of any size as one
        return isinstance(x, Tensor) and x.ndim > 0 and len(x) > PIECE

    def _prepare(self, x: Tensor) -> Tensor:
        x = as_batch(x, self.input_shape, _weight_of(self.encoder))
        return x.contiguous(memory_format=self._memory_format)

    def _output(self, logits: Tensor) -> Tensor:
        return logits.sigmoid() if self.output == "sigmoid" else logits

    def __repr__(self) -> str:
        summary = summarize(self, self._arguments)
        return super().__repr__() if summary is None else summary.text()

    def _repr_html_(self) -> str:
        """Shows the same as a table, in a notebook."""
        from html import escape  # only a notebook needs it

        summary = summarize(self, self._arguments)
        return f"<pre>{escape(repr(self))}</pre>" if summary is None else summary.html()


def _as_listed(given: int | Sequence[int], values: tuple[int, ...]) -> int | list[int]:
    """Keeps one number for all layers as one number, for a config as short as the call."""
    return list(values) if isinstance(given, Sequence) else values[0]


def _weight_of(half: nn.Module) -> Tensor:
    """Returns a tensor of a half's device and dtype, whatever it is made of."""
    tensors = chain(half.parameters(), half.buffers())
    return next((t for t in tensors if t.is_floating_point()), torch.empty(0))
