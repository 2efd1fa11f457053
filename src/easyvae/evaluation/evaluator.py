"""Measures models on pictures that they have not seen."""

import math
from collections.abc import Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor

from easyvae import metrics
from easyvae.data import Images, Sample, as_pictures
from easyvae.data.random_state import mixed_seed
from easyvae.evaluation.figures import FIGURES, Evaluation, Figures
from easyvae.geometry import as_int
from easyvae.latents import GaussianMixture, eval_mode, lerp, reparameterize, slerp
from easyvae.losses import kl_divergence
from easyvae.metrics import Features
from easyvae.model import VAE

PIECE = 256
"""So many images are looked at at a time."""

PAIRS, STEPS = 64, 11
"""How many interpolations are measured, and how many frames each has."""

SAMPLES = 1000
"""How many new images are drawn at most: as many as there are images held out."""

FITTED = 8192
"""As many training images are looked at, to fit the mixture and to find the nearest one."""

WINDOW = 11
"""The side that a picture must have for a structural similarity, and for features."""


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
        images: The images held out: any data that `fit` takes, but for a `DataLoader`.
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
        """Looks at the images: at their range, and at what all models are held against."""
        if not len(images):
            raise ValueError("`images` must hold at least one image")
        self.images = images
        self.training = training
        self.likelihood = likelihood
        self.features = features
        self.importance_samples = as_int("importance_samples", importance_samples, least=0)
        self.components = as_int("components", components)
        self.seed = seed
        energy, contrast, low, high = 0.0, 0.0, math.inf, -math.inf
        for x in _pieces(images):
            if min(x.shape[2:]) >= 3:
                energy += float(metrics.laplacian_energy(x).sum())
            contrast += float(_contrast(x).sum())
            low, high = min(low, float(x.min())), max(high, float(x.max()))
        self._energy, self._contrast = energy / len(images), contrast / len(images)
        # What asks for a range of 0 to 1, or for pictures, leaves other data out.
        self._bounded = low >= 0 and high <= 1
        shape = images[:1].shape
        self._pictures = self._bounded and len(shape) == 4 and min(shape[2:]) >= WINDOW
        self._held_out = self._trained = torch.empty(0, 0)
        if self._pictures:
            self._held_out = self._collect(_pieces(images))
            if training is not None:
                self._trained = self._collect(_pieces(training, FITTED))

    def __call__(self, model: VAE) -> Evaluation:
        """Measures a model."""
        figures: Figures = dict.fromkeys(FIGURES)
        with eval_mode(model), torch.no_grad():
            mixture = self._fit_mixture(model)
            means, kl, found = self._reconstruct(model)
            figures |= found
            figures |= self._paths(model, means)
            figures |= self._samples(model, mixture)
        return Evaluation(figures, kl, mixture)

    def _reconstruct(self, model: VAE) -> tuple[Tensor, Tensor, Figures]:
        """Measures reconstructions and likelihoods.

        Returns:
            The posterior means, (N, D), the average KL divergence of each latent, (D,), and the
            figures.
        """
        usual = "bernoulli" if model.output == "sigmoid" else "normal"
        bernoulli = (self.likelihood or usual) == "bernoulli"
        parts: dict[str, list[Tensor]] = {}
        means = []
        held = torch.zeros(model.latent, dtype=torch.float64)
        for number, x in enumerate(_pieces(self.images)):
            x = x.to(next(model.parameters()).device)
            mean, log_var = model.encode(x)
            shown = model.decode(mean)
            z = reparameterize(mean, log_var, generator=self._generator(model, "elbo", number))
            logits = model.decoder(z)
            kl = kl_divergence(mean, log_var).cpu().double()
            held += kl.sum(0)
            values = {
                "mse": metrics.mse(shown, x),
                "kl": kl.sum(1),
            }
            if self._energy:
                values["energy"] = metrics.laplacian_energy(shown)
            if self._bounded:
                values["psnr"] = metrics.psnr(shown, x)
            if self._pictures:
                values["ssim"] = metrics.ssim(shown, x)
            if bernoulli:
                values["reconstruction"] = -metrics.bernoulli_log_likelihood(logits, x)
            else:
                values["error"] = metrics.mse(model.decode(z), x)
            if self.importance_samples and bernoulli:
                values["log_likelihood"] = metrics.importance_weighted_log_likelihood(
                    x,
                    mean,
                    log_var,
                    lambda z, x: metrics.bernoulli_log_likelihood(model.decoder(z), x),
                    samples=self.importance_samples,
                    generator=self._generator(model, "importance", number),
                )
            for name, value in values.items():
                parts.setdefault(name, []).append(value.cpu().double())
            means.append(mean.float().cpu())
        average = {name: float(torch.cat(values).mean()) for name, values in parts.items()}
        size = math.prod(model.input_shape)
        if not bernoulli:  # a normal with the one variance that makes the set most likely
            variance = max(average["error"], 1e-7)
            average["reconstruction"] = size / 2 * (math.log(2 * math.pi * variance) + 1)
        elbo = -(average["reconstruction"] + average["kl"])
        latents = torch.cat(means)
        return (
            latents,
            held / len(latents),
            {
                **{name: average[name] for name in FIGURES if name in average},
                "sharpness": average["energy"] / self._energy if self._energy else None,
                "elbo": elbo,
                "bits_per_dimension": float(metrics.bits_per_dimension(-elbo, size)),
                "active_units": float(metrics.active_units(latents)) if len(latents) > 1 else None,
            },
        )

    def _paths(self, model: VAE, means: Tensor) -> Figures:
        """Measures interpolations between held-out images, by each method."""
        count = min(PAIRS, len(means) // 2)
        if not count:
            return {}
        order = torch.randperm(len(means), generator=self._generator(None, "pairs"))
        a, b = means[order[:count]], means[order[count : 2 * count]]
        figures: Figures = {}
        for name, path in (("slerp", slerp), ("lerp", lerp)):
            z = path(a, b, torch.linspace(0, 1, STEPS))  # (S, P, D)
            frames = model.decode(z.flatten(0, 1)).cpu().unflatten(0, z.shape[:2])
            middle, ends = frames[STEPS // 2], frames[[0, -1]].flatten(0, 1)
            figures[f"{name}_evenness"] = float(metrics.evenness(frames).mean())
            if self._energy:
                energy = float(metrics.laplacian_energy(middle).mean())
                figures[f"{name}_sharpness"] = energy / self._energy
            if self._contrast:
                figures[f"{name}_contrast"] = float(_contrast(middle).mean()) / self._contrast
            figures[f"{name}_distance"] = self._distance(middle, ends)
        return figures

    def _distance(self, middle: Tensor, ends: Tensor) -> float | None:
        """Compares how far pictures are from the nearest training picture."""
        if not len(self._trained):
            return None
        far, near = (
            float(metrics.nearest_distance(self._collect([x]), self._trained).mean())
            for x in (middle, ends)
        )
        return far / near if near > 0 else None

    def _samples(self, model: VAE, mixture: GaussianMixture | None) -> Figures:
        """Measures how close new images, and reconstructions, are to the held-out ones."""
        if len(self._held_out) < 2:
            return {}
        # As many as there are images: the distance falls with the number of samples.
        count = min(SAMPLES, len(self._held_out))
        noise = torch.randn(count, model.latent, generator=self._generator(None, "samples"))
        sets = {"prior_frechet": noise}
        if mixture is not None:
            sets["mixture_frechet"] = mixture.sample(
                count, generator=self._generator(None, "mixture")
            )
        drawn = {
            **{name: map(model.decode, z.split(PIECE)) for name, z in sets.items()},
            "reconstruction_frechet": map(model.reconstruct, _pieces(self.images, count)),
        }
        return {
            name: metrics.frechet_distance(self._collect(parts), self._held_out)
            for name, parts in drawn.items()
        }

    def _fit_mixture(self, model: VAE) -> GaussianMixture | None:
        """Fits a Gaussian mixture to samples of the training images' posteriors."""
        if self.training is None:
            return None
        latents = [
            reparameterize(
                *model.encode(x), generator=self._generator(model, "posterior", number)
            ).cpu()
            for number, x in enumerate(_pieces(self.training, FITTED))
        ]
        z = torch.cat(latents)
        return GaussianMixture.fit(z, min(self.components, len(z)), seed=self.seed)

    @torch.no_grad()
    def _collect(self, parts: Iterable[Tensor]) -> Tensor:
        """Computes the features of pictures that come in parts, (N, F)."""
        found = []
        for x in parts:
            features = self.features(x.clamp(0, 1).cpu())
            if not isinstance(features, Tensor) or features.shape[:-1] != x.shape[:1]:
                got = tuple(features.shape) if isinstance(features, Tensor) else type(features)
                raise ValueError(f"`features` returned {got}; it must return ({len(x)}, F)")
            found.append(features.cpu().float())
        return torch.cat(found)

    def _generator(self, model: VAE | None, use: str, number: int = 0) -> torch.Generator:
        device = "cpu" if model is None else next(model.parameters()).device
        return torch.Generator(device).manual_seed(mixed_seed(self.seed, use, number))


def _shuffled(data: Any, model: VAE, seed: int) -> Sample:
    """Opens data that a model takes, in a random order."""
    pictures = as_pictures(data, model.input_shape)
    generator = torch.Generator().manual_seed(mixed_seed(seed, "order"))
    return Sample(pictures, torch.randperm(len(pictures), generator=generator))


def _pieces(images: Images, most: int | None = None) -> Iterator[Tensor]:
    """Reads images piece by piece, as floats; at most so many of them."""
    count = len(images) if most is None else min(most, len(images))
    for start in range(0, count, PIECE):
        x = images[start : min(start + PIECE, count)]
        yield x.float() / 255 if x.dtype == torch.uint8 else x.float()


def _contrast(images: Tensor) -> Tensor:
    """Returns the standard deviation over each image's values, (N,)."""
    return images.flatten(1).std(1)
