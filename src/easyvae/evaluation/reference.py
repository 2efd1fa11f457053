"""What models are measured against: images held out, and what they and the training are like."""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from easyvae import metrics
from easyvae.data import Images
from easyvae.data.random_state import mixed_seed
from easyvae.evaluation.halfway import known_pairs
from easyvae.metrics import Features
from easyvae.model import VAE

PIECE = 256
"""So many images are looked at at a time."""

FITTED = 8192
"""As many training images are looked at, to fit the mixture and to find the nearest one."""

WINDOW = 11
"""The side that a picture must have for a structural similarity, and for features."""


class Reference:
    """Images held out and for training, looked at once for all models.

    Args:
        images: The images held out, see `Evaluator`, as for all arguments.
        training: Those that the models were trained on, or `None`.
        features: Maps pictures to features.
        seed: Of all noise.

    Attributes:
        images: The images held out.
        training: Those for training, or `None`.
        seed: Of all noise.
        energy: Average Laplacian energy of the images held out; 0 where they have none.
        contrast: Average standard deviation over each one's values.
        bounded: Whether all values are in [0, 1].
        pictures: Whether they are pictures large enough for all figures.
        known: Pairs of images whose half-way one is known, see `known_pairs`.
        held_out: Their features, (N, F), if they are such pictures, else (0, 0).
        trained: Those of the training images, if there are any.

    Raises:
        ValueError: If there are no images, or `features` gives other than (n, F).
    """

    def __init__(
        self, images: Images, training: Images | None, features: Features, seed: int
    ) -> None:
        """Looks at all images held out, and at the first of those for training."""
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
        """Computes the features of pictures that come in parts, (N, F).

        Raises:
            ValueError: If the features are not (n, F).
        """
        found = []
        for x in parts:
            features = self._features(x.clamp(0, 1).cpu())
            if not isinstance(features, Tensor) or features.shape[:-1] != x.shape[:1]:
                got = tuple(features.shape) if isinstance(features, Tensor) else type(features)
                raise ValueError(f"`features` returned {got}; it must return ({len(x)}, F)")
            found.append(features.cpu().float())
        return torch.cat(found)

    def generator(self, model: VAE | None, use: str, number: int = 0) -> torch.Generator:
        """Makes a source of noise for one use, on the model's device or else on the CPU."""
        device = "cpu" if model is None else next(model.parameters()).device
        return torch.Generator(device).manual_seed(mixed_seed(self.seed, use, number))


def pieces(images: Images, most: int | None = None) -> Iterator[Tensor]:
    """Reads images piece by piece, as floats; at most so many of them."""
    count = len(images) if most is None else min(most, len(images))
    for start in range(0, count, PIECE):
        x = images[start : min(start + PIECE, count)]
        yield x.float() / 255 if x.dtype == torch.uint8 else x.float()


def contrast(images: Tensor) -> Tensor:
    """Returns the standard deviation over each image's values, (N,)."""
    return images.flatten(1).std(1, correction=0)  # images of a single value have one too: 0
