"""What the start measures on a few images: the scale of the pixels and the price of noise."""

import torch
from torch import Tensor

from easyvae.initialization.tiles import as_floats, convolution_of
from easyvae.latents import Posterior
from easyvae.losses import BetaLoss, LossTerms
from easyvae.model import VAE, VAEOutput


def set_slope(model: VAE, images: Tensor) -> None:
    """Turns what the linear decoder says of a pixel into its logit: a logistic regression."""
    layer = convolution_of(model.decoder.stages[-1])
    x = as_floats(images).clamp(0, 1)
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
    step = torch.randn(
        posterior.mean.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float32
    )
    noise = model.decoder(posterior.mean + step.to(posterior.mean)) - logits
    if not bool(noise.any()):
        return 0.0, 0.0
    noise = noise / (10 * noise.square().mean().sqrt().clamp(min=1e-6))
    ahead, behind, here = (
        _terms(model, loss, images, posterior, logits + change)
        .reconstruction.mean()
        .cpu()
        .double()
        for change in (noise, -noise, 0)
    )
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
    shown = logits.sigmoid() if model.output == "sigmoid" else logits
    output = VAEOutput(shown, *posterior, posterior.mean, logits)
    return loss.per_image(output, images)
