"""How well a model reconstructs images that it has not seen, and how likely it finds them."""

import math

import torch
from torch import Tensor

from easyvae import metrics
from easyvae.evaluation.figures import FIGURES, Figures
from easyvae.evaluation.reference import Reference, pieces
from easyvae.latents import reparameterize
from easyvae.losses import kl_divergence
from easyvae.model import VAE


def measure_reconstructions(
    model: VAE, reference: Reference, *, bernoulli: bool, importance_samples: int
) -> tuple[Tensor, Tensor, Figures]:
    """Measures reconstructions and likelihoods.

    Args:
        model: The model, in eval mode.
        reference: The images.
        bernoulli: Whether the likelihood is that of Bernoulli variables, or else of normal ones.
        importance_samples: Samples per image, or 0.

    Returns:
        The posterior means, (N, D), the average KL divergence of each latent, (D,), and the
        figures.
    """
    parts: dict[str, list[Tensor]] = {}
    means = []
    held = torch.zeros(model.latent, dtype=torch.float64)
    for number, x in enumerate(pieces(reference.images)):
        x = x.to(next(model.parameters()).device)
        mean, log_var = model.encode(x)
        shown = model.decode(mean)
        z = reparameterize(mean, log_var, generator=reference.generator(model, "elbo", number))
        logits = model.decoder(z)
        kl = kl_divergence(mean, log_var).cpu().double()
        held += kl.sum(0)
        values = {
            "mse": metrics.mse(shown, x),
            "kl": kl.sum(1),
        }
        if reference.energy:
            values["energy"] = metrics.laplacian_energy(shown)
        if reference.bounded:
            values["psnr"] = metrics.psnr(shown, x)
        if reference.pictures:
            values["ssim"] = metrics.ssim(shown, x)
        if bernoulli:
            values["reconstruction"] = -metrics.bernoulli_log_likelihood(logits, x)
        else:
            values["error"] = metrics.mse(model.decode(z), x)
        if importance_samples and bernoulli:
            values["log_likelihood"] = metrics.importance_weighted_log_likelihood(
                x,
                mean,
                log_var,
                lambda z, x: metrics.bernoulli_log_likelihood(model.decoder(z), x),
                samples=importance_samples,
                generator=reference.generator(model, "importance", number),
            )
        for name, value in values.items():
            parts.setdefault(name, []).append(value.cpu().double())
        means.append(mean.float().cpu())
    average = {name: float(torch.cat(values).mean()) for name, values in parts.items()}
    size = math.prod(model.input_shape)
    if not bernoulli:  # a normal with the one variance that makes the set most likely
        variance = max(average["error"], 1e-7)
        average["reconstruction"] = size / 2 * (math.log(2 * math.pi * variance) + 1)
    elbo = -(average["reconstruction"] + average["kl"])
    latents = torch.cat(means)
    figures: Figures = {name: average[name] for name in FIGURES if name in average}
    if reference.energy:
        figures["sharpness"] = average["energy"] / reference.energy
    if len(latents) > 1:
        figures["active_units"] = float(metrics.active_units(latents))
    figures["elbo"] = elbo
    figures["bits_per_dimension"] = float(metrics.bits_per_dimension(-elbo, size))
    return latents, held / len(latents), figures
