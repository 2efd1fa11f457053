"""A map on which neighbours stay together, t-SNE, where scikit-learn is installed."""

from importlib.util import find_spec

import torch
from torch import Tensor

from easyvae.checks import missing, unit_for
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
