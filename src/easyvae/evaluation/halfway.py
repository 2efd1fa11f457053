"""How near the middle of a mix comes to a picture that is known to be half-way."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from easyvae import metrics
from easyvae.data import Images
from easyvae.data.bending import places, sample
from easyvae.evaluation.figures import Figures
from easyvae.kittens import draw_kitten_pairs
from easyvae.latents import lerp, slerp
from easyvae.model import VAE

PAIRS = 256
"""How many mixes are held against the truth."""

_ROW = 2**31
"""A row of kittens that nobody trains on: their seed."""
_WAVES, _AMPLITUDE = 3, 0.06


class KnownPairs(NamedTuple):
    """Pairs of images whose half-way one is known, each (N, C, *spatial), float.

    Attributes:
        first: One of each pair.
        second: The other one.
        middle: What is truly half-way.
    """

    first: Tensor
    second: Tensor
    middle: Tensor


def known_pairs(images: Images, generator: torch.Generator) -> dict[str, KnownPairs]:
    """Makes pairs of which the half-way image is known, by what they are.

    Args:
        images: The images held out.
        generator: Source of the changes, on the CPU.

    Returns:
        "warped": images held out, each bent to and fro by the same waves, between which it is
        half-way. And "halfway", if the images are the built-in kittens: two kittens, and the
        kitten of their averaged factors.
    """
    x = images[:PAIRS]
    x = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    bend = _waves(len(x), tuple(x.shape[2:]), generator)
    here = places(tuple(x.shape[2:]), torch.device("cpu"))
    known = {"warped": KnownPairs(sample(x, here + bend), sample(x, here - bend), x)}
    origin = getattr(images, "origin", None)
    if origin is not None and origin.partition(":")[0] == "kittens":
        drawn = draw_kitten_pairs(PAIRS, size=x.shape[-1], seed=_ROW)
        known["halfway"] = KnownPairs(*(torch.from_numpy(each).float() / 255 for each in drawn))
    return known


def measure_halfway(model: VAE, known: dict[str, KnownPairs]) -> Figures:
    """Holds the middles of a model's mixes against the truth, by each method.

    Args:
        model: The model, in eval mode.
        known: See `known_pairs`.
    """
    figures: Figures = {}
    for name, pairs in known.items():
        first, second = (model.encode(images).mean for images in pairs[:2])
        fade = (model.decode(first) + model.decode(second)).cpu() / 2
        rebuilt = model.decode(model.encode(pairs.middle).mean).cpu()
        for method, path in (("slerp", slerp), ("lerp", lerp)):
            middle = model.decode(path(first, second, 0.5)).cpu()
            found = metrics.halfway_score(middle, fade, rebuilt, pairs.middle)
            figures[f"{method}_{name}"] = None if math.isnan(found.score) else found.score
            figures[f"{method}_{name}_error"] = found.mix
    return figures


def _waves(n: int, spatial: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Draws smooth displacements that are sums of waves, (n, *spatial, d), in halves of a side.

    A family of its own: what a model was trained to undo is not what it is asked.
    """
    dims = len(spatial)
    here = places(spatial, torch.device("cpu")).reshape(1, -1, dims)
    total = torch.zeros(n, here.shape[1], dims)
    for _ in range(_WAVES):
        number = torch.randn(n, dims, 1, generator=generator) * 0.7
        start = 2 * math.pi * torch.rand(n, 1, 1, generator=generator)
        push = _AMPLITUDE * torch.randn(n, 1, dims, generator=generator)
        total += push * torch.sin(math.pi * here @ number + start)
    return total.view(n, *spatial, dims)
