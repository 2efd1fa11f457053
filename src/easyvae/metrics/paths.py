"""What a path of frames is like: even, near the data, and half-way where it should be."""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from easyvae.core.checks import (
    as_int,
    check_images,
    check_rows,
    check_same_shape,
    check_tensor,
    unit_for,
    widest,
)
from easyvae.metrics.images import mse


def step_lengths(frames: Tensor) -> Tensor:
    """Computes how far each step of a path goes: the root mean square of the values' change.

    Args:
        frames: S frames of N paths, (S, N, C, *spatial), float in [0, 1] or uint8, such as
            `interpolate` returns for two batches. One path is `frames[:, None]`.

    Returns:
        (S - 1, N), at least 0, in float64.

    Raises:
        ValueError: If the shape is not that of frames, or there are fewer than two.
        TypeError: If `frames` is not a float or uint8 tensor.

    Example:
        >>> step_lengths(torch.tensor([0.0, 0.1, 0.4]).reshape(3, 1, 1, 1, 1))
        tensor([[0.1000],
                [0.3000]], dtype=torch.float64)
    """
    check_tensor("frames", frames)
    if frames.ndim not in (4, 5, 6) or len(frames) < 2:
        raise ValueError(
            f"`frames` {tuple(frames.shape)} must have the shape (S, N, C, *spatial) with at "
            "least 2 frames; one path is frames[:, None]"
        )
    check_images("frames", frames[0])
    errors = mse(frames[1:].flatten(0, 1), frames[:-1].flatten(0, 1))
    return errors.sqrt().reshape(len(frames) - 1, frames.shape[1])


def evenness(frames: Tensor) -> Tensor:
    """Computes how evenly paths move: the largest step over the mean step.

    1 is a path of equal steps, the best; `S - 1` is one that jumps once and stands still
    otherwise. A path that does not move at all has 1.

    Args:
        frames: S frames of N paths, (S, N, C, *spatial), float in [0, 1] or uint8.

    Returns:
        (N,), from 1 to S - 1, in float64.

    Raises:
        ValueError: If the shape is not that of frames, or there are fewer than two.
        TypeError: If `frames` is not a float or uint8 tensor.

    Example:
        >>> evenness(torch.tensor([0.0, 0.1, 0.4]).reshape(3, 1, 1, 1, 1))
        tensor([1.5000], dtype=torch.float64)
    """
    steps = step_lengths(frames)
    mean, largest = steps.mean(0), steps.amax(0)
    return torch.where(largest == 0, 1.0, largest / mean)


def nearest_distance(features: Tensor, reference: Tensor, *, chunk: int = 1024) -> Tensor:
    """Computes the Euclidean distance of each row to the nearest row of a reference.

    For the features of samples or of a path's frames against those of the data, it tells how
    far these leave it; 0 is a copy.

    Args:
        features: (N, F), such as `random_features` returns.
        reference: (M, F).
        chunk: Rows of either side to compare at a time: at most `chunk^2` distances are held.

    Returns:
        (N,), at least 0, in float64.

    Raises:
        ValueError: If the shapes do not fit, or `chunk` is below 1 or has a fraction.
        TypeError: If an argument is not a float tensor, or `chunk` not a number.

    Example:
        >>> reference = torch.tensor([[0.0, 0.0], [3.0, 4.0]])
        >>> nearest_distance(torch.tensor([[3.0, 3.0], [0.0, 0.0]]), reference)
        tensor([1., 0.], dtype=torch.float64)
    """
    check_rows("features", features, least=0)
    check_rows("reference", reference)
    if features.shape[1] != reference.shape[1]:
        raise ValueError(
            f"`features` {tuple(features.shape)} and `reference` {tuple(reference.shape)} must "
            "have rows of one length"
        )
    chunk = as_int("chunk", chunk)
    device, dtype = features.device, widest(features.device)
    unit = unit_for(features, reference)
    nearest = []
    for part in features.split(chunk):
        a = part.to(dtype) / unit
        best = torch.full((len(a),), torch.inf, dtype=dtype, device=device)
        for piece in reference.split(chunk):
            b = piece.to(device, dtype) / unit
            # By matrix products, which are fast but leave a copy at 1e-8; so the distance to the
            # row that they find is taken again.
            row = b[torch.cdist(a, b).argmin(1)]
            best = torch.minimum(best, torch.linalg.vector_norm(a - row, dim=1))
        nearest.append(best)
    return torch.cat(nearest) * unit


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
        >>> truth, fade = torch.zeros(2, 1, 4, 4), torch.full((2, 1, 4, 4), 0.2)
        >>> round(halfway_score(fade / 2, fade, truth, truth).score, 4)
        0.75
    """
    check_images("truth", truth)
    errors = {}
    for name, images in (("mix", mix), ("fade", fade), ("rebuilt", rebuilt)):
        check_same_shape((name, "truth"), images, truth)
        errors[name] = float(mse(images, truth).mean())
    room = errors["fade"] - errors["rebuilt"]
    score = (errors["fade"] - errors["mix"]) / room if room > 0 else math.nan
    return HalfWay(score, **errors)
