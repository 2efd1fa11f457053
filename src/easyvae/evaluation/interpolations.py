"""What a model shows on the way from one image to another."""

import torch
from torch import Tensor

from easyvae import metrics
from easyvae.evaluation.figures import Figures
from easyvae.evaluation.reference import Reference, contrast
from easyvae.latents import lerp, slerp
from easyvae.model import VAE

PAIRS, STEPS = 64, 11
"""How many interpolations are measured, and how many frames each has."""


def measure_interpolations(model: VAE, reference: Reference, means: Tensor) -> Figures:
    """Measures interpolations between images held out, by each method.

    Args:
        model: The model, in eval mode.
        reference: The images.
        means: Their posterior means, (N, D).
    """
    count = min(PAIRS, len(means) // 2)
    if not count:
        return {}
    order = torch.randperm(len(means), generator=reference.generator(None, "pairs"))
    a, b = means[order[:count]], means[order[count : 2 * count]]
    figures: Figures = {}
    for name, path in (("slerp", slerp), ("lerp", lerp)):
        z = path(a, b, torch.linspace(0, 1, STEPS))  # (S, P, D)
        frames = model.decode(z.flatten(0, 1)).cpu().unflatten(0, z.shape[:2])
        middle, ends = frames[STEPS // 2], frames[[0, -1]].flatten(0, 1)
        figures[f"{name}_evenness"] = float(metrics.evenness(frames).mean())
        if reference.energy:
            energy = float(metrics.laplacian_energy(middle).mean())
            figures[f"{name}_sharpness"] = energy / reference.energy
        if reference.contrast:
            figures[f"{name}_contrast"] = float(contrast(middle).mean()) / reference.contrast
        figures[f"{name}_distance"] = _distance(reference, middle, ends)
    return figures


def _distance(reference: Reference, middle: Tensor, ends: Tensor) -> float | None:
    """Compares how far pictures are from the nearest training picture."""
    if not len(reference.trained):
        return None
    far, near = (
        float(metrics.nearest_distance(reference.collect([x]), reference.trained).mean())
        for x in (middle, ends)
    )
    return far / near if near > 0 else None
