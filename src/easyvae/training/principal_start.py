"""The start as a whole: from a new model and its data to weights worth training."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from easyvae.core.checks import as_floats, as_int
from easyvae.data import Images
from easyvae.latents import Posterior, eval_mode
from easyvae.losses import BetaLoss, LossTerms
from easyvae.model import VAE, VAEOutput
from easyvae.model.network import ResidualBlock
from easyvae.training.principal_layers import (
    FLOATS,
    SAMPLE,
    Heads,
    Level,
    codes_of,
    convolution_of,
    linear_gain,
    principal,
    room,
    set_decoder,
    set_encoder,
)

_MOST_CODES = 2**25  # that are held at once
_PROBE = 64  # images that go through the whole model, to measure a few numbers


def principal_start(
    model: VAE,
    images: Images,
    loss: BetaLoss | None = None,
    *,
    components: int | None = None,
) -> int:
    """Sets a new model's weights so that it starts as the best linear autoencoder of its data.

    A random network spends most of a short training on learning what linear algebra knows at
    once. Here every convolution gets the principal components of the tiles that it sees, one
    `stride`-wide tile per output, and the heads get those of the whole image, which any hidden
    layers pass on; the decoder gets the transposes. So that this passes through the activations,
    each component has two channels or units of opposite sign: `f(u) - f(-u)` is linear in `u`
    for ReLU, leaky ReLU, SiLU, GELU and softplus, and nearly so for others. With the precision
    `k` of the loss (its curvature by the logits), the variance `v` of a component in the logits,
    and `t = k v / beta`, a latent has

        mean = sqrt(t - 1) / t * y,    log_var = -log(t)

    where `y` is the component divided by the noise `sqrt(beta / k)`: the optimum of a linear
    VAE, in which components below the noise are left to the prior. Channels, units and latents
    without a component keep the weights they were drawn with.

    The global random state is left alone. A model that is no better on the images for it is put
    back as it was.

    Args:
        model: A model of which nothing is trained; its weights are overwritten.
        images: (N, C, *spatial), float in the data's range or uint8; the first 8,192 count.
        loss: The loss that training will use; `BetaLoss()` by default.
        components: At most how many, at least 1; as many as have room by default. What is linear
            lays one picture over another half-way: with few components most latents are free to
            learn what is not.

    Returns:
        How many latents hold a component, at most half as many as the narrowest hidden layer is
        wide; 0 where the model was left as it was. That is so for images that are all alike, and
        for models with norms: they undo the scale of what passes.

    Raises:
        ValueError: If the images do not fit the model or the loss, or `components` is below 1.

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
    most = room(model) if components is None else as_int("components", components)
    with eval_mode(model), torch.no_grad():
        if len(images) < 2 or not _is_plain(model) or not room(model):
            return 0
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        was = mean_loss(model, loss, images[:_PROBE])
        try:
            count = _start(model, images, loss, most)
        except torch.linalg.LinAlgError:  # type: ignore[attr-defined]  # not among torch's stubs
            count = 0  # values that are not finite: for training to report
        except BaseException:  # Ctrl-C, or an error in the user's loss
            model.load_state_dict(before)
            raise
        if count and mean_loss(model, loss, images[:_PROBE]) < was:
            return count
    model.load_state_dict(before)
    return 0


def _start(model: VAE, images: Images, loss: BetaLoss, most: int) -> int:
    """Sets the weights, and returns how many latents hold a component."""
    levels = set_encoder(model, images)
    if not levels:
        return 0
    codes = _top_codes(model, levels, images)
    mean, components, variance = principal(codes, min(most, room(model)))
    if not len(variance):
        return 0
    set_decoder(model, levels)
    heads = Heads(model, levels[-1].pairs, mean, components, variance)
    # Without noise or shrinking at first, to measure what the latents do to the loss.
    heads.write(torch.ones_like(variance), torch.ones_like(variance), torch.zeros_like(variance))
    probe = images[:_PROBE]
    if model.output == "sigmoid":
        set_slope(model, probe)
    gain, curvature = measure(model, loss, probe, len(variance))
    if not gain > 0:  # the latents do not reach the images
        return 0
    unit = math.sqrt(gain * curvature / max(loss.beta_at(1.0), 1e-4))
    # Components below the noise keep a little weight: at zero they would have no gradient.
    weight = (unit**2 * variance - 1).clamp(min=0.01).sqrt()
    total = weight.square() + 1
    heads.write(weight / total * unit, weight / unit, -total.log())
    return len(variance)


def _top_codes(model: VAE, levels: Sequence[Level], images: Images) -> Tensor:
    """Computes the codes of the last convolution, one row per image, (N, K)."""
    size = levels[-1].pairs.signs.shape[1] * math.prod(levels[-1].grid)
    count = min(len(images), SAMPLE, max(_MOST_CODES // size, 2 * model.latent))
    return torch.cat([codes.flatten(1) for codes in codes_of(levels, images, count)])


def _is_plain(model: VAE) -> bool:
    """Returns whether codes can pass: no norms, and activations that let an odd part through."""
    for stage in model.encoder.stages:
        if sum(not isinstance(layer, ResidualBlock) for layer in stage.children()) != 2:
            return False
    gain, _ = linear_gain(model.decoder.activation)
    return math.isfinite(gain) and gain > 0.01


def set_slope(model: VAE, images: Tensor) -> None:
    """Turns what the linear decoder says of a pixel into its logit: a logistic regression."""
    layer = convolution_of(model.decoder.stages[-1])
    x = as_floats(images, *FLOATS).clamp(0, 1)
    guess = model.decoder(model.encode(images).mean).float().cpu()
    colours = list(range(guess.shape[1]))
    rest = [0, *range(2, guess.ndim)]
    mean = x.mean(rest)
    shape = (-1, *[1] * (guess.ndim - 2))
    away = guess - mean.view(shape)
    solution = torch.cat([torch.full((1,), 4.0, dtype=mean.dtype), torch.logit(mean, eps=0.01)])
    for _ in range(20):  # Newton's method, its step bounded
        p = (solution[0] * away + solution[1:].view(shape)).sigmoid()
        error, weight = p - x, p * (1 - p)
        gradient = torch.cat([(error * away).mean()[None], error.mean(rest) / len(colours)])
        hessian = torch.diag(
            torch.cat([(weight * away**2).mean()[None], weight.mean(rest) / len(colours)])
        )
        hessian[0, 1:] = hessian[1:, 0] = (weight * away).mean(rest) / len(colours)
        hessian += 1e-6 * torch.eye(len(solution), dtype=solution.dtype)
        step = torch.linalg.solve(hessian, gradient).clamp(-2, 2)
        solution -= step
        if float(step.abs().max()) < 1e-3:
            break
    slope, level = solution[0], solution[1:]
    layer.weight.mul_(float(slope))
    if layer.bias is not None:
        layer.bias.copy_((slope * (layer.bias.cpu().float() - mean) + level).to(layer.bias))


def measure(model: VAE, loss: BetaLoss, images: Tensor, count: int) -> tuple[float, float]:
    """Measures what a latent of 1 does to the logits, squared, and the loss's curvature there.

    Both are 0 where latents do nothing to the logits.
    """
    posterior = model.encode(images)
    logits = model.decoder(posterior.mean)
    rest = model.decoder(torch.zeros_like(posterior.mean[:1]))
    moved = posterior.mean[:, :count].square().sum()
    gain = float((logits - rest).square().sum() / moved.clamp(min=1e-12))
    # Changes that latents make: of finer ones, some losses think otherwise.
    generator = torch.Generator().manual_seed(0)
    step = torch.randn(posterior.mean.shape, generator=generator, dtype=torch.float32)
    noise = model.decoder(posterior.mean + step.to(posterior.mean)) - logits
    if not bool(noise.any()):
        return 0.0, 0.0
    noise = noise / (10 * noise.square().mean().sqrt().clamp(min=1e-6))
    changed = (
        _terms(model, loss, images, posterior, logits + change) for change in (noise, -noise, 0)
    )
    ahead, behind, here = (terms.reconstruction.mean().cpu().double() for terms in changed)
    bend = float(ahead + behind - 2 * here)
    return gain, max(bend / float(noise.square().flatten(1).sum(1).mean()), 1e-6)


def mean_loss(model: VAE, loss: BetaLoss, images: Tensor) -> float:
    """Computes the loss at the means' reconstructions: without noise, so without its chance."""
    posterior = model.encode(images)
    logits = model.decoder(posterior.mean)
    return float(_terms(model, loss, images, posterior, logits).total.mean())


def _terms(
    model: VAE, loss: BetaLoss, images: Tensor, posterior: Posterior, logits: Tensor
) -> LossTerms:
    reconstruction = logits.sigmoid() if model.output == "sigmoid" else logits
    output = VAEOutput(reconstruction, *posterior, posterior.mean, logits)
    return loss.per_image(output, images)
