"""Where training starts: the principal components of the data, as weights of the network."""

from easyvae.initialization.start import SAMPLE, principal_start

__all__ = ["SAMPLE", "principal_start"]
