"""The variational autoencoder that is built from a list of channel counts, and its files."""

from easyvae.core.files import ModelFileError
from easyvae.model.vae import VAE, VAEOutput

__all__ = ["VAE", "ModelFileError", "VAEOutput"]
