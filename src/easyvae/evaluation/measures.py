"""The measures of a model: of its reconstructions, its samples and its mixes."""

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from easyvae import metrics
from easyvae.core.checks import as_floats
from easyvae.core.seeds import mixed_seed
from easyvae.data import Images
from easyvae.data.warp import places, sample
from easyvae.evaluation.figures import Figures
from easyvae.kittens import draw_kitten_pairs
from easyvae.latents import GaussianMixture, embed, lerp, reparameterize, slerp
from easyvae.losses import kl_divergence
from easyvae.metrics import Features
from easyvae.model import VAE

PIECE = 256  # images are read so many at a time
FITTED = 8192  # training images, for the mixture and the nearest one
WINDOW = 11  # the least side of a picture for a structural similarity, and for features
SAMPLES = 1000  # new images: at most as many as there are images held out
PAIRS, STEPS = 64, 11  # interpolations, and the frames of each
KNOWN_PAIRS = 256  # mixes that are held against the truth
WAVES, AMPLITUDE = 3, 0.06  # what images are bent by
ROW = 2**31  # the seed of a row of kittens that nobody trains on
METHODS = {"slerp": slerp, "lerp": lerp}


class Baseline:
    """What is known of the images before any model; see `Evaluator` for the arguments.

    Attributes:
        energy: Average Laplacian energy of the images held out; 0 where they have none.
        contrast: Average standard deviation over each one's values.
        bounded: Whether all values are in [0, 1].
        pictures: Whether they are pictures large enough for all figures.
        known: See `known_pairs`.
        held_out: Their features, (N, F), if they are such pictures, else (0, 0).
        trained: Those of the training images, if there are any.
    """

    def __init__(
        self, images: Images, training: Images | None, features: Features, seed: int
    ) -> None:
        if not len(images):
            raise ValueError("`images` must hold at least one image")
        self.images = images
        self.training = training
        self._features = features
        self.seed = seed
        energy, deviation, low, high = 0.0, 0.0, math.inf, -math.inf
        for x in pieces(images):
            if min(x.shape[2:]) >= 3:
                energy += float(metrics.laplacian_energy(x).sum())
            deviation += float(contrast(x).sum())
            low, high = min(low, float(x.min())), max(high, float(x.max()))
        self.energy, self.contrast = energy / len(images), deviation / len(images)
        # What asks for a range of 0 to 1, or for pictures, leaves other data out.
        self.bounded = low >= 0 and high <= 1
        shape = images[:1].shape
        self.pictures = self.bounded and len(shape) == 4 and min(shape[2:]) >= WINDOW
        self.known = known_pairs(images, self.generator(None, "half-way"))
        self.held_out = self.trained = torch.empty(0, 0)
        if self.pictures:
            self.held_out = self.collect(pieces(images))
            if training is not None:
                self.trained = self.collect(pieces(training, FITTED))

    @torch.no_grad()
    def collect(self, parts: Iterable[Tensor]) -> Tensor:
        """Computes the features of pictures that come in parts, (N, F)."""
        rows = []
        for x in parts:
            features = self._features(x.clamp(0, 1).cpu())
            if not isinstance(features, Tensor) or features.shape[:-1] != x.shape[:1]:
                got = tuple(features.shape) if isinstance(features, Tensor) else type(features)
                raise ValueError(f"`features` returned {got}; it must return ({len(x)}, F)")
            rows.append(features.cpu().float())
        return torch.cat(rows)

    def generator(self, model: VAE | None, use: str, number: int = 0) -> torch.Generator:
        """Makes a source of noise for one use, on the model's device or else on the CPU."""
        device = "cpu" if model is None else next(model.parameters()).device
        return torch.Generator(device).manual_seed(mixed_seed(self.seed, use, number))


def pieces(images: Images, most: int | None = None) -> Iterator[Tensor]:
    """Reads images piece by piece, as floats; at most so many of them."""
    count = len(images) if most is None else min(most, len(images))
    for start in range(0, count, PIECE):
        yield as_floats(images[start : min(start + PIECE, count)], torch.float32)


def contrast(images: Tensor) -> Tensor:
    """Returns the standard deviation over each image's values, (N,)."""
    return images.flatten(1).std(1, correction=0)  # images of a single value have one too: 0


def measure_reconstructions(
    model: VAE, reference: Baseline, *, bernoulli: bool, importance_samples: int
) -> tuple[Tensor, Tensor, Figures]:
    """Measures reconstructions, and likelihoods of Bernoulli or else normal variables.

    Returns the posterior means (N, D), each latent's average KL divergence (D,), and the figures.
    """
    parts: dict[str, list[Tensor]] = {}
    means = []
    kl_sum = torch.zeros(model.latent, dtype=torch.float64)
    for number, x in enumerate(pieces(reference.images)):
        x = x.to(next(model.parameters()).device)
        mean, log_var = model.encode(x)
        rebuilt = model.decode(mean)
        z = reparameterize(mean, log_var, generator=reference.generator(model, "elbo", number))
        logits = model.decoder(z)
        kl = kl_divergence(mean, log_var).cpu().double()
        kl_sum += kl.sum(0)
        values = {"mse": metrics.mse(rebuilt, x), "kl": kl.sum(1)}
        if reference.energy:
            values["energy"] = metrics.laplacian_energy(rebuilt)
        if reference.bounded:
            values["psnr"] = metrics.psnr(rebuilt, x)
        if reference.pictures:
            values["ssim"] = metrics.ssim(rebuilt, x)
        if bernoulli:
            values["reconstruction"] = -metrics.bernoulli_log_likelihood(logits, x)
        else:
            values["error"] = metrics.mse(model.decode(z), x)
        if importance_samples and bernoulli:
            values["log_likelihood"] = metrics.importance_weighted_log_likelihood(
                x,
                mean,
                log_var,
                lambda z, x: metrics.bernoulli_log_likelihood(model.decoder(z), x),
                samples=importance_samples,
                generator=reference.generator(model, "importance", number),
            )
        for name, value in values.items():
            parts.setdefault(name, []).append(value.cpu().double())
        means.append(mean.float().cpu())
    figures: Figures = {}
    average = {name: float(torch.cat(values).mean()) for name, values in parts.items()}
    size = math.prod(model.input_shape)
    if not bernoulli:  # a normal with the one variance that makes the set most likely
        variance = max(average.pop("error"), 1e-7)
        average["reconstruction"] = size / 2 * (math.log(2 * math.pi * variance) + 1)
    if reference.energy:
        figures["sharpness"] = average.pop("energy") / reference.energy
    latents = torch.cat(means)
    if len(latents) > 1:
        figures["active_units"] = float(metrics.active_units(latents))
    cost = average["reconstruction"] + average["kl"]
    figures |= {"elbo": -cost, "bits_per_dimension": metrics.bits_per_dimension(cost, size)}
    return latents, kl_sum / len(latents), figures | average


def fit_mixture(model: VAE, reference: Baseline, components: int) -> GaussianMixture | None:
    """Fits a Gaussian mixture to samples of the training images' posteriors, if there are any."""
    if reference.training is None:
        return None
    parts = []
    for number, x in enumerate(pieces(reference.training, FITTED)):
        generator = reference.generator(model, "posterior", number)
        parts.append(embed(model, x, sample=True, generator=generator).cpu())
    z = torch.cat(parts)
    return GaussianMixture.fit(z, min(components, len(z)), seed=reference.seed)


def measure_samples(model: VAE, reference: Baseline, mixture: GaussianMixture | None) -> Figures:
    """Measures how close new images, and reconstructions, are to the ones held out."""
    if len(reference.held_out) < 2:
        return {}
    # As many as there are images: the distance falls with the number of samples.
    count = min(SAMPLES, len(reference.held_out))
    noise = torch.randn(count, model.latent, generator=reference.generator(None, "samples"))
    sets = {"prior_frechet": noise}
    if mixture is not None:
        generator = reference.generator(None, "mixture")
        sets["mixture_frechet"] = mixture.sample(count, generator=generator)
    drawn = {
        **{name: map(model.decode, z.split(PIECE)) for name, z in sets.items()},
        "reconstruction_frechet": map(model.reconstruct, pieces(reference.images, count)),
    }
    return {
        name: metrics.frechet_distance(reference.collect(parts), reference.held_out)
        for name, parts in drawn.items()
    }


def measure_interpolations(model: VAE, reference: Baseline, means: Tensor) -> Figures:
    """Measures interpolations, by each method, between held-out images of these means, (N, D)."""
    count = min(PAIRS, len(means) // 2)
    if not count:
        return {}
    order = torch.randperm(len(means), generator=reference.generator(None, "pairs"))
    a, b = means[order[:count]], means[order[count : 2 * count]]
    figures: Figures = {}
    for name, path in METHODS.items():
        z = path(a, b, torch.linspace(0, 1, STEPS))  # (S, P, D)
        frames = model.decode(z.flatten(0, 1)).cpu().unflatten(0, z.shape[:2])
        middle, ends = frames[STEPS // 2], frames[[0, -1]].flatten(0, 1)
        figures[f"{name}_evenness"] = float(metrics.evenness(frames).mean())
        if reference.energy:
            energy = float(metrics.laplacian_energy(middle).mean())
            figures[f"{name}_sharpness"] = energy / reference.energy
        if reference.contrast:
            figures[f"{name}_contrast"] = float(contrast(middle).mean()) / reference.contrast
        if len(reference.trained):
            far, near = (
                float(metrics.nearest_distance(reference.collect([x]), reference.trained).mean())
                for x in (middle, ends)
            )
            figures[f"{name}_distance"] = far / near if near > 0 else None
    return figures


class KnownPairs(NamedTuple):
    """Pairs of images and what is truly half-way between them, each (N, C, *spatial), float."""

    first: Tensor
    second: Tensor
    middle: Tensor


def known_pairs(images: Images, generator: torch.Generator) -> dict[str, KnownPairs]:
    """Makes pairs of which the half-way image is known, by what they are.

    "warped" are images, each bent to and fro by the same waves, between which it is half-way;
    "halfway", if the images are the built-in kittens, two kittens and that of their averaged
    factors.
    """
    x = as_floats(images[:KNOWN_PAIRS], torch.float32)
    here = places(tuple(x.shape[2:]), torch.device("cpu"))
    bend = _waves(len(x), here, generator)
    known = {"warped": KnownPairs(sample(x, here + bend), sample(x, here - bend), x)}
    if (getattr(images, "origin", None) or "").partition(":")[0] == "kittens":
        drawn = draw_kitten_pairs(KNOWN_PAIRS, size=x.shape[-1], seed=ROW)
        known["halfway"] = KnownPairs(*(as_floats(torch.from_numpy(each)) for each in drawn))
    return known


def measure_halfway(model: VAE, known: dict[str, KnownPairs]) -> Figures:
    """Holds the middles of a model's mixes, by each method, against the truth of known pairs."""
    figures: Figures = {}
    for name, pairs in known.items():
        first, second = (model.encode(images).mean for images in pairs[:2])
        fade = (model.decode(first) + model.decode(second)).cpu() / 2
        rebuilt = model.decode(model.encode(pairs.middle).mean).cpu()
        for method, path in METHODS.items():
            middle = model.decode(path(first, second, 0.5)).cpu()
            score, error, *_ = metrics.halfway_score(middle, fade, rebuilt, pairs.middle)
            figures[f"{method}_{name}"] = None if math.isnan(score) else score
            figures[f"{method}_{name}_error"] = error
    return figures


def _waves(n: int, here: Tensor, generator: torch.Generator) -> Tensor:
    """Draws smooth displacements, sums of waves, of places (*spatial, d): (n, *spatial, d).

    A family of its own: what a model was trained to undo is not what it is asked.
    """
    points, dims = here.flatten(0, -2), here.shape[-1]
    total = torch.zeros(n, *points.shape)
    for _ in range(WAVES):
        number = torch.randn(n, dims, 1, generator=generator) * 0.7
        start = 2 * math.pi * torch.rand(n, 1, 1, generator=generator)
        push = AMPLITUDE * torch.randn(n, 1, dims, generator=generator)
        total += push * torch.sin(math.pi * points @ number + start)
    return total.view(n, *here.shape)
