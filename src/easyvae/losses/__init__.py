"""The loss of a variational autoencoder, in nats: one small function per term.

Every term is summed over an image and never averaged over pixels, so that beta means the same
for images of any size, and beta = 1 is the negative evidence lower bound (ELBO).
"""

from easyvae.losses.beta import BetaLoss, BetaSchedule, LossTerms, kl_divergence
from easyvae.losses.pyramid import LaplacianPyramid, laplacian_levels
from easyvae.losses.reconstruction import (
    RECONSTRUCTION_TERMS,
    Output,
    ReconstructionTerm,
    absolute_error,
    bernoulli_nll,
    gaussian_nll,
    squared_error,
)
from easyvae.losses.schedules import Cyclical, LinearWarmup

__all__ = [
    "RECONSTRUCTION_TERMS",
    "BetaLoss",
    "BetaSchedule",
    "Cyclical",
    "LaplacianPyramid",
    "LinearWarmup",
    "LossTerms",
    "Output",
    "ReconstructionTerm",
    "absolute_error",
    "bernoulli_nll",
    "gaussian_nll",
    "kl_divergence",
    "laplacian_levels",
    "squared_error",
]
