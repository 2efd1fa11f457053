"""What a type checker sees of the public names: checked by mypy, never run."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, assert_type

import torch
from torch import Tensor, nn

from easyvae import (
    VAE,
    BetaLoss,
    History,
    LossTerms,
    Posterior,
    VAEOutput,
    __version__,
    fit,
    interpolate,
    lerp,
    reparameterize,
    slerp,
)
from easyvae.latents import (
    attribute_direction,
    blend,
    edit,
    embed,
    mix,
    principal_directions,
    traverse,
)
from easyvae.losses import Cyclical, LinearWarmup


def models(x: Tensor, sizes: Sequence[int]) -> None:
    """Builds with names, factories, and numbers for all layers or per layer."""
    model = VAE([32, 64], 16)
    VAE(channels=(32, 64), latent=16, image_size=sizes, in_channels=1, output="identity")
    VAE([32], 16, kernel_size=[4], stride=[2], residual_blocks=[1], norm="batch")
    VAE([32], 16, activation=nn.Hardswish, norm=lambda channels: nn.GroupNorm(1, channels))
    VAE([32], 16, output="tanh")  # type: ignore[arg-type]  # there is no such output
    VAE([32], 16, 64)  # type: ignore[call-arg]  # the rest has to be named

    assert_type(model.latent, int)
    assert_type(model.input_shape, tuple[int, ...])
    assert_type(model.config, dict[str, Any])
    posterior = model.encode(x)
    assert_type(posterior, Posterior)
    assert_type(posterior.mean, Tensor)
    assert_type(posterior.log_var, Tensor)
    mean, log_var = posterior
    assert_type(reparameterize(mean, log_var, generator=torch.Generator()), Tensor)
    assert_type(model.decode(mean), Tensor)
    assert_type(model.reconstruct(x), Tensor)
    assert_type(model.sample(), Tensor)
    assert_type(model.sample(4, temperature=0.5, generator=None), Tensor)
    assert_type(model.forward(x), VAEOutput)
    model.save("model.safetensors")
    assert_type(VAE.load(Path("model.safetensors"), device=torch.device("cpu")), VAE)
    assert_type(__version__, str)


def outputs(output: VAEOutput) -> None:
    """Reads the fields of an output, in their order."""
    reconstruction, mean, log_var, z, logits = output
    for field in (reconstruction, mean, log_var, z, logits):
        assert_type(field, Tensor)
    assert_type(output.reconstruction, Tensor)
    assert_type(output.logits, Tensor)
    assert_type(output.z, Tensor)


def losses(output: VAEOutput, x: Tensor) -> None:
    """Weighs and reduces."""
    loss = BetaLoss(0.005, reconstruction="mse", free_bits=0.1, reduction="none")
    BetaLoss(LinearWarmup(0.5))
    BetaLoss(Cyclical(0.5, cycles=2))
    BetaLoss(lambda progress: progress)
    BetaLoss(reconstruction=lambda output, x: (output.reconstruction - x).flatten(1).sum(1))
    BetaLoss(reconstruction="bcee")  # type: ignore[arg-type]  # there is no such term
    BetaLoss("1")  # type: ignore[arg-type]  # a text is no number
    assert_type(loss.forward(output, x), Tensor)
    terms = loss.terms(output, x)
    assert_type(terms, LossTerms)
    total, reconstruction, kl = terms
    for term in (total, reconstruction, kl, terms.total, terms.reconstruction, terms.kl):
        assert_type(term, Tensor)


def latents(model: VAE, a: Tensor, b: Tensor) -> None:
    """Goes along paths, mixes and edits."""
    assert_type(lerp(a, b, 0.5), Tensor)
    assert_type(slerp(a, b, torch.linspace(0, 1, 5)), Tensor)
    assert_type(slerp(a, b, [0.0, 1.0]), Tensor)
    assert_type(interpolate(model, a, b), Tensor)
    assert_type(interpolate(model, a, b, 5, method="lerp"), Tensor)
    assert_type(interpolate(model, a, b, 5, method=slerp), Tensor)
    assert_type(interpolate(model, a, b, 5, method=lambda a, b, t: a + t[:, None] * b), Tensor)
    interpolate(model, a, b, method="nlerp")  # type: ignore[arg-type]  # there is no such path
    interpolate(nn.Linear(3, 3), a, b)  # type: ignore[arg-type]  # it neither encodes nor decodes
    assert_type(blend(a, [0.5, 0.5]), Tensor)
    assert_type(mix(model, a, b, method="lerp"), Tensor)
    assert_type(traverse(model, a, 0, steps=5, span=2.0), Tensor)
    assert_type(edit(model, a, b, 1.0), Tensor)
    assert_type(embed(model, a, batch_size=8), Tensor)
    assert_type(embed(model, a, sample=True, generator=torch.Generator()), Tensor)
    assert_type(principal_directions(a, 3), Tensor)
    assert_type(attribute_direction(a, b), Tensor)


class Foreign:
    """A model that knows nothing of this package."""

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Names its argument as it likes."""
        return images, images

    def decode(self, latent: Tensor) -> Tensor:
        """Names its argument as it likes."""
        return latent


def foreign(a: Tensor, b: Tensor) -> None:
    """Anything that encodes and decodes is a model for the latent tools."""
    assert_type(interpolate(Foreign(), a, b), Tensor)


def training(model: VAE, images: Tensor, dataset: "torch.utils.data.Dataset[Tensor]") -> None:
    """Trains on what a user calls data."""
    assert_type(fit(model, images, loss=BetaLoss(0.005), epochs=2), History)
    assert_type(fit(model, "cats/", out=Path("runs"), validation=None), History)
    assert_type(fit(model, dataset, validation=images), History)
