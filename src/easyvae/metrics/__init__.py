"""Measures of a model's images, likelihoods, latents and paths: pure functions of tensors."""

from easyvae.metrics.features import Features, frechet_distance, random_features
from easyvae.metrics.images import laplacian_energy, mse, psnr, sharpness, ssim
from easyvae.metrics.latents import active_units, kl_per_dimension
from easyvae.metrics.likelihood import (
    LogLikelihood,
    bernoulli_log_likelihood,
    bits_per_dimension,
    importance_weighted_log_likelihood,
    normal_log_density,
)
from easyvae.metrics.paths import HalfWay, evenness, halfway_score, nearest_distance, step_lengths

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
