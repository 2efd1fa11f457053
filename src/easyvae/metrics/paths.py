"""How evenly a path of frames moves, and how near it stays to the data."""

import torch
from torch import Tensor

from easyvae.checks import check_tensor, unit_for, widest
from easyvae.geometry import as_int
from easyvae.metrics.checks import check_images, check_rows, per_image


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
    _check_frames(frames)
    rows = frames.flatten(0, 1)  # (S N, C, *spatial): a frame and the next are N rows apart
    n = frames.shape[1]
    squares = per_image(lambda x, y: (x - y).square().flatten(1).mean(1), rows[n:], rows[:-n])
    return squares.sqrt().reshape(len(frames) - 1, n)


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


def _check_frames(frames: Tensor) -> None:
    check_tensor("frames", frames)
    if frames.ndim not in (4, 5, 6) or len(frames) < 2:
        raise ValueError(
            f"`frames` {tuple(frames.shape)} must have the shape (S, N, C, *spatial) with at "
            "least 2 frames; one path is frames[:, None]"
        )
    check_images("frames", frames[0])
