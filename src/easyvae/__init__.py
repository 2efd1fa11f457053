"""Variational autoencoders from a list of channel counts.

from easyvae import VAE, BetaLoss, fit, interpolate

model = VAE(channels=[32, 64, 128, 256], latent=128)    # 3x64x64 pictures, 128 latents
history = fit(model, "cats/", loss=BetaLoss(beta=0.1))  # a folder, a zip, a tensor, ...
frames = interpolate(model, a, b, steps=10)             # (10, 3, 64, 64): from a to b
model.save("cats.safetensors")
"""

import importlib
import importlib.util
import typing

from easyvae.core.version import __version__

if typing.TYPE_CHECKING:
    from easyvae.latents import Posterior, interpolate, lerp, reparameterize, slerp
    from easyvae.losses import BetaLoss, LossTerms
    from easyvae.model import VAE, VAEOutput
    from easyvae.training import History, fit

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

_HOMES = {
    "BetaLoss": "losses",
    "History": "training",
    "LossTerms": "losses",
    "Posterior": "latents",
    "VAE": "model",
    "VAEOutput": "model",
    "fit": "training",
    "interpolate": "latents",
    "lerp": "latents",
    "reparameterize": "latents",
    "slerp": "latents",
}
"""The module of each name."""

if not typing.TYPE_CHECKING:  # or a type checker would believe in any name

    def __getattr__(name: str) -> object:
        """Loads a name, or a module such as `easyvae.plots`, when it is first asked for.

        The command's help needs no torch, and who only uses a model need not wait for `fit`.
        """
        home = _HOMES.get(name, name)
        if name.startswith("_") or importlib.util.find_spec(f"{__name__}.{home}") is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = importlib.import_module(f"{__name__}.{home}")
        globals()[name] = found = getattr(module, name) if name in _HOMES else module
        return found


def __dir__() -> list[str]:
    return __all__
