"""How close a model's new images come to those held out."""

import torch

from easyvae import metrics
from easyvae.evaluation.figures import Figures
from easyvae.evaluation.reference import FITTED, PIECE, Reference, pieces
from easyvae.latents import GaussianMixture, embed
from easyvae.model import VAE

SAMPLES = 1000
"""How many new images are drawn at most: as many as there are images held out."""


def fit_mixture(model: VAE, reference: Reference, components: int) -> GaussianMixture | None:
    """Fits a Gaussian mixture to samples of the training images' posteriors, if there are any."""
    if reference.training is None:
        return None
    z = torch.cat(
        [
            embed(
                model, x, sample=True, generator=reference.generator(model, "posterior", i)
            ).cpu()
            for i, x in enumerate(pieces(reference.training, FITTED))
        ]
    )
    return GaussianMixture.fit(z, min(components, len(z)), seed=reference.seed)


def measure_samples(model: VAE, reference: Reference, mixture: GaussianMixture | None) -> Figures:
    """Measures how close new images, and reconstructions, are to the ones held out.

    Args:
        model: The model, in eval mode.
        reference: The images.
        mixture: To draw latents from, beside the prior.
    """
    if len(reference.held_out) < 2:
        return {}
    # As many as there are images: the distance falls with the number of samples.
    count = min(SAMPLES, len(reference.held_out))
    noise = torch.randn(count, model.latent, generator=reference.generator(None, "samples"))
    sets = {"prior_frechet": noise}
    if mixture is not None:
        generator = reference.generator(None, "mixture")
        sets["mixture_frechet"] = mixture.sample(count, generator=generator)
    drawn = {
        **{name: map(model.decode, z.split(PIECE)) for name, z in sets.items()},
        "reconstruction_frechet": map(model.reconstruct, pieces(reference.images, count)),
    }
    return {
        name: metrics.frechet_distance(reference.collect(parts), reference.held_out)
        for name, parts in drawn.items()
    }
