"""A model that is served: its latents, and from references to pictures."""

from collections import OrderedDict
from collections.abc import Sequence
from threading import Lock
from typing import Literal, TypedDict

import torch
from torch import Tensor

from easyvae.app.errors import RequestError
from easyvae.app.gallery import Gallery
from easyvae.app.jobs import Pending
from easyvae.app.latent_map import LatentMap
from easyvae.app.latents_cache import identify
from easyvae.app.parameters import Reference
from easyvae.app.uploads import Uploads
from easyvae.core.files import printable
from easyvae.latents import GaussianMixture, blend, eval_mode, lerp, slerp
from easyvae.model import VAE
from easyvae.plots.images import to_bytes

Method = Literal["slerp", "lerp"]
_KEPT = 256


class Blender:
    """Mixes pictures with one model.

    Args:
        model: The model, in eval mode.
        gallery: The set.
        uploads: The pictures that people have brought.

    Attributes:
        model: The model.
        latent_map: What is known of the set's latents.
        mixture: A mixture fitted to them.
    """

    def __init__(self, model: VAE, gallery: Gallery, uploads: Uploads) -> None:
        self.model = model
        self.latent_map: Pending[LatentMap] = Pending(
            "no_latents", "the set's latents are being computed"
        )
        self.mixture: Pending[GaussianMixture] = Pending(
            "no_mixture", "a mixture is being fitted to the set's latents"
        )
        self._gallery = gallery
        self._uploads = uploads
        self._ends: OrderedDict[Reference, Tensor] = OrderedDict()
        self._lock = Lock()

    def original(self, reference: Reference) -> Tensor:
        """Returns the pixels that a reference names, (C, H, W), before any model saw them.

        Raises:
            RequestError: If there are none.
        """
        if reference.kind == "picture":
            return self._gallery.original(reference.number)
        if reference.kind == "upload":
            return self._uploads.get(reference.key)
        raise RequestError(404, "no_original", "a new picture has no original")

    def latent(self, reference: Reference) -> Tensor:
        """Returns the latent of a picture, (1, D): the posterior mean, as `reconstruct` takes it.

        Raises:
            RequestError: If there is no such picture, or the set's latents are needed and are
                not there yet.
        """
        if reference.kind == "upload":
            self._uploads.get(reference.key)  # or it would outlive the picture
        with self._lock:
            if reference in self._ends:
                self._ends.move_to_end(reference)
                return self._ends[reference]
        z = self._find(reference)
        with self._lock:
            self._ends[reference] = z
            while len(self._ends) > _KEPT:
                self._ends.popitem(last=False)
        return z

    def _find(self, reference: Reference) -> Tensor:
        if reference.amounts:
            z = self.latent(reference.unmoved)
            directions = self.latent_map.get().directions.to(z)
            amounts = torch.tensor(reference.amounts[: len(directions)]).to(z)
            return z + amounts @ directions[: len(amounts)]
        generator = torch.Generator()
        if reference.kind == "prior":
            noise = torch.randn(1, self.model.latent, generator=_seeded(generator, reference))
            return self._on_device(reference.temperature * noise)
        if reference.kind == "mixture":
            self.latent_map.get()  # without which there will be no mixture
            z = self.mixture.get().sample(
                temperature=reference.temperature, generator=_seeded(generator, reference)
            )
            return self._on_device(z)
        pixels = self.original(reference)
        with eval_mode(self.model), torch.no_grad():
            return self.model.encode(pixels[None]).mean

    def _on_device(self, z: Tensor) -> Tensor:
        return z.to(next(self.model.parameters()))

    def decode(self, z: Tensor) -> Tensor:
        """Decodes latents (n, D) to pictures (n, C, H, W) in uint8."""
        with eval_mode(self.model), torch.no_grad():
            return to_bytes(self.model.decode(z))

    def draw(self, references: Sequence[Reference]) -> Tensor:
        """Returns what the model makes of each picture, (n, C, H, W) in uint8."""
        return self.decode(torch.cat([self.latent(reference) for reference in references]))

    def path(self, a: Reference, b: Reference, steps: int, method: Method) -> Tensor:
        """Returns the latents of a mix, (steps, D)."""
        z_a, z_b = self.latent(a), self.latent(b)
        t = torch.linspace(0, 1, steps, dtype=torch.float64, device=z_a.device)
        return (slerp if method == "slerp" else lerp)(z_a, z_b, t)[:, 0]

    def frames(self, a: Reference, b: Reference, steps: int, method: Method) -> Tensor:
        """Turns one picture into another, (steps, C, H, W) in uint8.

        The ends are decoded in calls of their own, as `interpolate` and `reconstruct` do it: in
        another batch the kernels may round otherwise.
        """
        z = self.path(a, b, steps, method)
        if steps < 3:
            return torch.cat([self.decode(row[None]) for row in z])
        return torch.cat([self.decode(z[:1]), self.decode(z[1:-1]), self.decode(z[-1:])])

    def blended(
        self, references: Sequence[Reference], weights: Sequence[float], method: Method
    ) -> Tensor:
        """Returns the latent of several pictures mixed by weights, (1, D)."""
        heavy = [i for i, weight in enumerate(weights) if weight > 0]
        if len(heavy) == 1:  # the picture itself, bit for bit
            return self.latent(references[heavy[0]])
        points = torch.cat([self.latent(reference) for reference in references])
        return blend(points, list(weights), method=method)[None]


def _seeded(generator: torch.Generator, reference: Reference) -> torch.Generator:
    # Seeds next to one another would begin alike in some generators; torch's does not.
    return generator.manual_seed(reference.number)


class Served:
    """A model with its name and all that is computed once for it.

    Args:
        name: What the page calls it.
        model: The model.
        gallery: The set.
        uploads: The pictures that people have brought.

    Attributes:
        name: Likewise, printable.
        key: A hash of the weights and the set: what is computed is kept under it.
        id: The key's beginning: what is drawn under it never changes.
        blender: What mixes with it.
        done: How many pictures have been encoded.
        samples: Of their posteriors, (n, D), from when they are encoded until a mixture is fitted.
    """

    def __init__(self, name: str, model: VAE, gallery: Gallery, uploads: Uploads) -> None:
        self.name = printable(name)
        self.key = identify(model, gallery.pictures)
        self.id = self.key[:12]
        self.blender = Blender(model, gallery, uploads)
        self.done = 0
        self.samples = torch.empty(0, model.latent)


class Trace(TypedDict):
    """Places on a map, x and y each."""

    ends: list[list[float]]
    path: list[list[float]]


def trace(
    blender: Blender,
    references: Sequence[Reference],
    *,
    steps: int = 31,
    method: Method = "lerp",
    weights: Sequence[float] | None = None,
) -> Trace:
    """Finds where pictures, and what lies between them, are on a map.

    Args:
        blender: What mixes them.
        references: The pictures.
        steps: Places along the way from one picture to another.
        method: How two are mixed.
        weights: Of the pictures, for the one place of their blend; without them two pictures
            have a way between them, and more have nothing.

    Returns:
        The places of the pictures, and those of the mix.

    Raises:
        RequestError: If there is no such picture, or the set's latents are not there.
    """
    latent_map = blender.latent_map.get()
    ends = torch.cat([blender.latent(reference) for reference in references])
    if weights is not None:
        line = blender.blended(references, weights, method)
    elif len(references) == 2:
        line = blender.path(references[0], references[1], steps, method)
    else:
        line = ends[:0]
    z = torch.cat([ends, line])
    places = latent_map.place(z).float().nan_to_num()
    rounded = [[round(x, 4) for x in row] for row in places.tolist()]
    return {"ends": rounded[: len(ends)], "path": rounded[len(ends) :]}
