"""What is measured of a model."""

from typing import NamedTuple, TypeAlias

from torch import Tensor

from easyvae.latents import GaussianMixture

Figures: TypeAlias = dict[str, float | None]

FIGURES = {
    "mse": "mean squared error of the mean's reconstruction",
    "psnr": "peak signal-to-noise ratio of the mean's reconstruction, in dB",
    "ssim": "structural similarity of the mean's reconstruction",
    "sharpness": "Laplacian energy of the reconstructions, as a share of the originals'",
    "reconstruction": "negative log-likelihood given a sample of the posterior, in nats",
    "kl": "KL divergence of the posterior from the prior, in nats",
    "elbo": "evidence lower bound, -(reconstruction + kl), in nats",
    "bits_per_dimension": "-elbo in bits per value of an image",
    "log_likelihood": "importance-weighted bound on the log-likelihood, in nats",
    "active_units": "latents whose posterior mean varies over the images",
    "lerp_evenness": "largest step of a lerp over its average step; 1 is even",
    "lerp_sharpness": "Laplacian energy half-way along a lerp, as a share of the originals'",
    "lerp_contrast": "standard deviation half-way along a lerp, as a share of the originals'",
    "lerp_distance": "distance from half-way to the nearest training image, over its ends'",
    "lerp_halfway": "half-way score of a lerp between two kittens, against the true half-way "
    "kitten: 0 is a cross-fade, 1 the truth, below 0 worse than a cross-fade",
    "lerp_halfway_error": "mean squared error of its middle against the true half-way kitten",
    "lerp_warped": "the same score between two bent copies of an image, which is half-way",
    "lerp_warped_error": "mean squared error of its middle against that image",
    "slerp_evenness": "the same along a slerp",
    "slerp_sharpness": "the same along a slerp",
    "slerp_contrast": "the same along a slerp",
    "slerp_distance": "the same along a slerp",
    "slerp_halfway": "the same along a slerp",
    "slerp_halfway_error": "the same along a slerp",
    "slerp_warped": "the same along a slerp",
    "slerp_warped_error": "the same along a slerp",
    "prior_frechet": "Frechet distance of samples of the prior from the images",
    "mixture_frechet": "the same of samples of a Gaussian mixture fitted to the training latents",
    "reconstruction_frechet": "the same of as many of the images' reconstructions",
}
"""What is measured, averaged over images. The distances are taken in the features' space."""


class Evaluation(NamedTuple):
    """What a model measures.

    Attributes:
        figures: By name, see `FIGURES`; `None` where one does not apply.
        kl_per_dimension: Average KL divergence of each latent, (D,), in nats.
        mixture: A Gaussian mixture fitted to the training images' latents, if there were any.
    """

    figures: Figures
    kl_per_dimension: Tensor
    mixture: GaussianMixture | None
