"""Tools for latent vectors, for models that encode and decode as `Autoencoder` has it."""

from easyvae.latents.autoencoder import (
    Autoencoder,
    Posterior,
    embed,
    eval_mode,
    is_single,
    reparameterize,
)
from easyvae.latents.directions import attribute_direction, principal_directions
from easyvae.latents.manipulation import edit, interpolate, mix, traverse
from easyvae.latents.mixture import GaussianMixture
from easyvae.latents.paths import blend, lerp, slerp

__all__ = [
    "Autoencoder",
    "GaussianMixture",
    "Posterior",
    "attribute_direction",
    "blend",
    "edit",
    "embed",
    "eval_mode",
    "interpolate",
    "is_single",
    "lerp",
    "mix",
    "principal_directions",
    "reparameterize",
    "slerp",
    "traverse",
]
