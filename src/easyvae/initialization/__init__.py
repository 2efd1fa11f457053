"""Where training starts: the principal components of the data, as weights of the network."""

from easyvae.initialization.start import principal_start
from easyvae.initialization.tiles import SAMPLE

__all__ = ["SAMPLE", "principal_start"]
