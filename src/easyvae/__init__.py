"""Variational autoencoders from a list of channel counts.

from easyvae import VAE, BetaLoss, fit, interpolate

model = VAE(channels=[32, 64, 128, 256], latent=128)      # 3x64x64 pictures, 128 latents
history = fit(model, "cats/", loss=BetaLoss(beta=0.005))  # a folder, a zip, a tensor, ...
frames = interpolate(model, a, b, steps=10)               # (10, 3, 64, 64): from a to b
model.save("cats.safetensors")
"""

import typing

from easyvae.history import History
from easyvae.latents import Posterior, interpolate, lerp, reparameterize, slerp
from easyvae.losses import BetaLoss, LossTerms
from easyvae.model import VAE, VAEOutput
from easyvae.version import __version__

if typing.TYPE_CHECKING:
    from easyvae.training import fit

__all__ = [  # noqa: RUF022  # sorted as `sorted` does, which is the documented order
    "BetaLoss",
    "History",
    "LossTerms",
    "Posterior",
    "VAE",
    "VAEOutput",
    "__version__",
    "fit",
    "interpolate",
    "lerp",
    "reparameterize",
    "slerp",
]


def __getattr__(name: str) -> object:
    """Loads `fit` when it is first asked for: who only uses a model need not wait for it."""
    if name == "fit":
        from easyvae.training import fit

        globals()["fit"] = fit
        return fit
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
