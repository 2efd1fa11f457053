"""Measures models on pictures that they have not seen."""

from typing import Any, Literal

import torch

from easyvae import metrics
from easyvae.core.checks import as_int
from easyvae.core.seeds import mixed_seed
from easyvae.data import Images, Sample, as_pictures
from easyvae.evaluation import measures
from easyvae.evaluation.figures import FIGURES, Evaluation
from easyvae.latents import eval_mode
from easyvae.metrics import Features
from easyvae.model import VAE


def evaluate(
    model: VAE,
    images: Any,
    training: Any = None,
    *,
    features: Features = metrics.random_features,
    importance_samples: int = 0,
    components: int = 10,
    seed: int = 0,
) -> Evaluation:
    """Measures a model on images that it has not seen.

    The likelihoods are those of Bernoulli variables for a model with a sigmoid, and otherwise of
    normal ones whose single variance is the best for the set, whatever loss the model was trained
    with: so models can be compared. For greys between 0 and 1 the first is no normalised
    likelihood, see `easyvae.losses.bernoulli_nll`.

    Args:
        model: The model.
        images: The images held out: any data that `fit` takes, but for a `DataLoader`; or a
            `Sample` of such data.
        training: Those that the model was trained on, likewise. With them, samples of a Gaussian
            mixture and distances to the nearest training image are measured, on at most 8,192.
        features: Maps pictures (n, C, H, W) in [0, 1], on the CPU, to features (n, F).
        importance_samples: Samples per image of the importance-weighted log-likelihood, of a
            model with a sigmoid; 0 leaves it out.
        components: Of the Gaussian mixture.
        seed: Of all noise.

    Returns:
        An `Evaluation`.

    Raises:
        ValueError: If there are no images, or they do not fit the model.

    Example:
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> figures = evaluate(model, torch.rand(20, 3, 16, 16)).figures
        >>> 0 < figures["mse"] < 1
        True
    """
    evaluator = Evaluator(
        _shuffled(images, model, seed),
        None if training is None else _shuffled(training, model, seed),
        features=features,
        importance_samples=importance_samples,
        components=components,
        seed=seed,
    )
    return evaluator(model)


class Evaluator:
    """Measures any number of models on the same held-out images.

    Everything is deterministic, and one model's figures do not depend on the others.

    Args:
        images: The images held out, (N, C, *spatial): float in the data's range, or uint8.
        training: Those that the models were trained on, in a random order: the first 8,192 count.
        likelihood: "bernoulli" or "normal", to measure all models by one; by default a model's
            output decides.
        features: See `evaluate`, as all arguments that follow.
        importance_samples: Samples per image, or 0.
        components: Of the Gaussian mixture.
        seed: Of all noise.

    Raises:
        ValueError: If there are no images, an argument is out of its range, or `features` gives
            other than (n, F).

    Example:
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> figures = Evaluator(torch.rand(20, 3, 16, 16))(model).figures
        >>> 0 < figures["mse"] < 1
        True
    """

    def __init__(
        self,
        images: Images,
        training: Images | None = None,
        *,
        likelihood: Literal["bernoulli", "normal"] | None = None,
        features: Features = metrics.random_features,
        importance_samples: int = 0,
        components: int = 10,
        seed: int = 0,
    ) -> None:
        self.likelihood = likelihood
        self.importance_samples = as_int("importance_samples", importance_samples, least=0)
        self.components = as_int("components", components)
        self.reference = measures.Baseline(images, training, features, seed)

    def __call__(self, model: VAE) -> Evaluation:
        """Measures a model."""
        usual = "bernoulli" if model.output == "sigmoid" else "normal"
        with eval_mode(model), torch.no_grad():
            mixture = measures.fit_mixture(model, self.reference, self.components)
            means, kl, figures = measures.measure_reconstructions(
                model,
                self.reference,
                bernoulli=(self.likelihood or usual) == "bernoulli",
                importance_samples=self.importance_samples,
            )
            figures |= measures.measure_interpolations(model, self.reference, means)
            figures |= measures.measure_halfway(model, self.reference.known)
            figures |= measures.measure_samples(model, self.reference, mixture)
        return Evaluation({**dict.fromkeys(FIGURES), **figures}, kl, mixture)


def _shuffled(data: Any, model: VAE, seed: int) -> Sample:
    """Opens data that a model takes, in a random order."""
    if isinstance(data, Sample):
        return data
    pictures = as_pictures(data, model.input_shape)
    generator = torch.Generator().manual_seed(mixed_seed(seed, "order"))
    return Sample(pictures, torch.randperm(len(pictures), generator=generator))
