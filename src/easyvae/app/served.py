"""A model that is served, with all that is computed once for it."""

import torch
from torch import Tensor

from easyvae.app.latents_cache import identify
from easyvae.app.library import Library
from easyvae.app.mixing import Blender
from easyvae.app.pending import Pending
from easyvae.app.shelf import Shelf
from easyvae.model import VAE
from easyvae.text import printable


class Served:
    """A model with its name and all that is computed once for it.

    Args:
        name: What the page calls it.
        model: The model.
        library: The set.
        shelf: The pictures that people have brought.

    Attributes:
        name: Likewise, printable.
        key: A hash of the weights and the set: what is computed is kept under it.
        id: The key's beginning: what is drawn under it never changes.
        blender: What mixes with it.
        done: How many pictures have been encoded.
        samples: Of their posteriors, (n, D), from when they are encoded until a mixture is fitted.
        layout: The t-SNE map, (N, 2).
    """

    def __init__(self, name: str, model: VAE, library: Library, shelf: Shelf) -> None:
        """Works out the key."""
        self.name = printable(name)
        self.key = identify(model, library.pictures)
        self.id = self.key[:12]
        self.blender = Blender(model, library, shelf)
        self.done = 0
        self.samples = torch.empty(0, model.latent)
        self.layout: Pending[Tensor] = Pending("no_tsne", "the map is being drawn", seconds=2)
