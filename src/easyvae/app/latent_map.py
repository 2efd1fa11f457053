"""Maps of the latent space: planes, neighbours, directions, and where a mix runs on them."""

from functools import cached_property
from importlib.util import find_spec

import torch
from torch import Tensor

from easyvae.core.checks import missing, unit_for
from easyvae.latents import principal_directions

MOST = 20_000
"""For larger sets it would take hours."""
_DIMENSIONS = 50


def available(count: int) -> bool:
    """Tells whether there can be such a map of so many pictures."""
    return 10 <= count <= MOST and find_spec("sklearn") is not None


def embed_neighbours(means: Tensor) -> Tensor:
    """Lays latents (N, D) out on a plane by t-SNE, (N, 2), each axis with a deviation of about 1.

    Raises:
        ImportError: If scikit-learn is not installed.

    Reference:
        L. van der Maaten and G. Hinton, "Visualizing Data using t-SNE", 2008.
    """
    try:
        from sklearn.manifold import TSNE
    except ImportError as error:
        raise missing("t-SNE", "scikit-learn") from error
    centred = means - means.mean(0)
    centred = centred / unit_for(centred)  # or t-SNE would not see that tiny numbers differ
    count = min(_DIMENSIONS, means.shape[1], len(means) - 1)
    axes = torch.nn.functional.normalize(principal_directions(centred, count))
    reduced = centred @ axes.T
    if bool((reduced == reduced[0]).all()):  # one point many times, of which it crashes
        return means.new_zeros(len(means), 2)
    perplexity = min(30.0, (len(means) - 1) / 3)
    layout = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(reduced.numpy())
    found = torch.from_numpy(layout).float()
    return (found - found.mean(0)) / found.std(0).mean().clamp(min=1e-6)


DIRECTIONS = 6
_SOME = 20_000  # latents are enough for directions, whatever the size of the set


class Atlas:
    """What is known of a set's latents.

    Args:
        means: The posterior means of all pictures, (N, D).

    Attributes:
        means: Likewise.
        centre: Their mean, (D,).
        directions: The principal directions, each one standard deviation long, (K, D) with K at
            most 6.
    """

    def __init__(self, means: Tensor) -> None:
        """Finds the directions."""
        self.means = means
        step = max(1, len(means) // _SOME)
        some = means[::step]
        self.centre = some.mean(0)
        count = min(DIRECTIONS, means.shape[1], len(some) - 1)
        self.directions = (
            principal_directions(some, count) if count > 0 else means.new_zeros(0, means.shape[1])
        )

    def place(self, z: Tensor) -> Tensor:
        """Projects latents (n, D) to the plane of the first two directions.

        Returns:
            Standard deviations along each of them, (n, 2).
        """
        axes = self.directions[:2]
        scale = axes.square().sum(1).clamp(min=1e-12)
        found = (z.to(axes) - self.centre) @ axes.T / scale  # (n, at most 2)
        return torch.nn.functional.pad(found, (0, 2 - len(axes)))

    @cached_property
    def plane(self) -> Tensor:
        """Where each picture is on the plane, (N, 2)."""
        return self.place(self.means)

    def nearest(self, z: Tensor, count: int) -> Tensor:
        """Finds the pictures whose latents are nearest to each of some latents (n, D).

        Returns:
            Their numbers, nearest first, (n, count), or (n, N) if there are fewer.
        """
        # By a matrix product a picture itself need not come out as the nearest.
        mode = "donot_use_mm_for_euclid_dist"
        distances = torch.cdist(z.to(self.means), self.means, compute_mode=mode)
        return distances.topk(min(count, len(self.means)), largest=False).indices
