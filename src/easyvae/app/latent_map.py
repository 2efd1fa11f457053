"""Maps of the latent space: planes, neighbours, directions, and where a mix runs on them."""

from functools import cached_property

import torch
from torch import Tensor

from easyvae.core.checks import unit_for
from easyvae.latents import principal_directions

DIRECTIONS = 6
_ENOUGH = 20_000  # latents for directions, whatever the size of the set


class LatentMap:
    """What is known of a set's latents.

    Attributes:
        means: The posterior means of all pictures, (N, D).
        centre: Their mean, (D,).
        directions: The principal directions, each one standard deviation long, (K, D) with K at
            most 6.
    """

    def __init__(self, means: Tensor) -> None:
        self.means = means
        some = means[:: max(1, len(means) // _ENOUGH)]
        self.centre = some.mean(0)
        count = min(DIRECTIONS, means.shape[1], len(some) - 1)
        self.directions = (
            principal_directions(some, count) if count > 0 else means.new_zeros(0, means.shape[1])
        )

    def place(self, z: Tensor) -> Tensor:
        """Projects latents (n, D) to the first two directions: standard deviations, (n, 2)."""
        axes = self.directions[:2]
        unit = unit_for(axes)  # the squares of tiny or huge numbers would leave the range
        away, axes = (z.to(axes) - self.centre) / unit, axes / unit
        places = away @ axes.T / axes.square().sum(1).clamp(min=1e-12)  # (n, at most 2)
        return torch.nn.functional.pad(places, (0, 2 - len(axes)))

    @cached_property
    def plane(self) -> Tensor:
        """Where each picture is on the plane, (N, 2)."""
        return self.place(self.means)

    def nearest(self, z: Tensor, count: int) -> Tensor:
        """Returns the numbers of the pictures nearest to each of some latents (n, D).

        Nearest first, (n, count), or (n, N) if there are fewer.
        """
        # By a matrix product a picture itself need not come out as the nearest.
        mode = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(z.to(self.means), self.means, compute_mode=mode)
        return distances.topk(min(count, len(self.means)), largest=False).indices
