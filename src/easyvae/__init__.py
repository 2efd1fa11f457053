"""Variational autoencoders from a list of channel counts."""

__version__ = "0.1.0"
