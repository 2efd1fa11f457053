"""How near the middle of a mix comes to a picture that is known to be half-way."""

import math
from typing import NamedTuple

from torch import Tensor

from easyvae.metrics.checks import check_images, check_same_shape
from easyvae.metrics.pictures import mse


class HalfWay(NamedTuple):
    """How near mixes come to the true half-way pictures: errors are mean squared ones, in [0, 1].

    Attributes:
        score: 0 is a cross-fade of the two ends, 1 is as good as knowing the answer; negative is
            worse than a cross-fade. NaN where the model rebuilds the answer no better than that.
        mix: Error of the mixes. To be read beside the score, which a model that rebuilds badly
            has too easily.
        fade: Error of the averages of both ends' reconstructions.
        rebuilt: Error of the reconstructions of the true half-way pictures.
    """

    score: float
    mix: float
    fade: float
    rebuilt: float


def halfway_score(mix: Tensor, fade: Tensor, rebuilt: Tensor, truth: Tensor) -> HalfWay:
    """Compares the middles of mixes with pictures that are known to be half-way.

    A mix of two pictures can be sharp, rich in contrast, and two pictures laid over each other.
    So it is held against the truth, with `e` the mean squared error against it:

        score = (e(fade) - e(mix)) / (e(fade) - e(rebuilt))

    Args:
        mix: What a model makes of each pair half-way, (N, C, *spatial), float or uint8.
        fade: The average of the reconstructions of the pair, likewise.
        rebuilt: The reconstruction of the true half-way picture, likewise.
        truth: That picture, likewise; `easyvae.kittens.draw_kitten_pairs` has such pictures.

    Returns:
        A `HalfWay`, over all N pairs at once.

    Raises:
        ValueError: If the shapes differ.
        TypeError: If a tensor is neither float nor uint8.

    Example:
        >>> import torch
        >>> truth, fade = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.2)
        >>> round(halfway_score(fade / 2, fade, truth, truth).score, 4)
        0.75
    """
    check_images("truth", truth)
    errors = []
    for name, images in (("mix", mix), ("fade", fade), ("rebuilt", rebuilt)):
        check_same_shape((name, "truth"), images, truth)
        errors.append(float(mse(images, truth).mean()))
    e_mix, e_fade, e_rebuilt = errors
    room = e_fade - e_rebuilt
    return HalfWay((e_fade - e_mix) / room if room > 0 else math.nan, *errors)
