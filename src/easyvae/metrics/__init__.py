"""Measures of a model's images, likelihoods, latents and paths: pure functions of tensors."""

from easyvae.metrics.features import Features, random_features
from easyvae.metrics.frechet import frechet_distance
from easyvae.metrics.halfway import HalfWay, halfway_score
from easyvae.metrics.importance import LogLikelihood, importance_weighted_log_likelihood
from easyvae.metrics.latents import active_units, kl_per_dimension
from easyvae.metrics.likelihood import (
    bernoulli_log_likelihood,
    bits_per_dimension,
    normal_log_density,
)
from easyvae.metrics.paths import evenness, nearest_distance, step_lengths
from easyvae.metrics.pictures import laplacian_energy, mse, psnr, sharpness
from easyvae.metrics.similarity import ssim

__all__ = [
    "Features",
    "HalfWay",
    "LogLikelihood",
    "active_units",
    "bernoulli_log_likelihood",
    "bits_per_dimension",
    "evenness",
    "frechet_distance",
    "halfway_score",
    "importance_weighted_log_likelihood",
    "kl_per_dimension",
    "laplacian_energy",
    "mse",
    "nearest_distance",
    "normal_log_density",
    "psnr",
    "random_features",
    "sharpness",
    "ssim",
    "step_lengths",
]
