"""Pictures read at other places than their values': how they are bent, turned and shifted."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sample(x: Tensor, points: Tensor) -> Tensor:
    """Reads pictures at other places than their values', linearly between them.

    Args:
        x: Floats, (n, C, *spatial), one to three sizes d.
        points: Where to read, (n, *spatial, d), -1 to 1 from edge to edge, the last axis first.
            Beyond the edges a picture is reflected.

    Returns:
        The shape of `x`.
    """
    if x.ndim == 3:  # there is no sampling of lines: each is a picture of one row
        rows = torch.cat([points, torch.zeros_like(points)], -1)[:, None]
        return sample(x[:, :, None], rows)[:, :, 0]
    return F.grid_sample(
        x, points.to(x.dtype), mode="bilinear", padding_mode="reflection", align_corners=False
    )


def axes(spatial: tuple[int, ...], device: torch.device) -> list[Tensor]:
    """Returns where the values of a picture lie along each axis, -1 to 1, the last axis first.

    Each in a shape that goes with a picture's: (n,), (n, 1), ...
    """
    lines = [(torch.arange(n, device=device) * 2 + 1) / n - 1 for n in spatial[::-1]]
    return [line.view(-1, *(1,) * number) for number, line in enumerate(lines)]


def places(spatial: tuple[int, ...], device: torch.device) -> Tensor:
    """Returns where the values of a picture lie, -1 to 1, the last axis first: (*spatial, d)."""
    return torch.stack(torch.broadcast_tensors(*axes(spatial, device)), -1)
