"""Tools for latent vectors, for any model that has `encode` and `decode`."""

from easyvae.latents.paths import blend, lerp, slerp
from easyvae.latents.pictures import (
    Autoencoder,
    attribute_direction,
    edit,
    embed,
    eval_mode,
    interpolate,
    is_single,
    mix,
    principal_directions,
    traverse,
)
from easyvae.latents.posterior import Posterior, reparameterize

__all__ = [
    "Autoencoder",
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
