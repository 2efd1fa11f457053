"""A model that is served: its latents, and from references to pictures."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from easyvae.app.errors import RequestError
from easyvae.app.gallery import Gallery
from easyvae.app.jobs import Pending, Recent
from easyvae.app.latent_map import LatentMap
from easyvae.app.latents_cache import identify
from easyvae.app.parameters import Method, Reference
from easyvae.app.uploads import Uploads
from easyvae.core.files import printable
from easyvae.latents import GaussianMixture, blend, eval_mode, lerp, slerp
from easyvae.model import VAE
from easyvae.plots.images import to_bytes

_KEPT = 256  # latents


class Blender:
    """Mixes pictures, of the set or uploaded, with one model.

    Attributes:
        model: The model, in eval mode.
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
        self._latents: Recent[Reference, Tensor] = Recent(_KEPT)

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
            self._uploads.get(reference.key)  # or its latent would outlive the picture
        z = self._latents.get(reference)
        if z is None:
            z = self._compute_latent(reference)
            self._latents.put(reference, z)
        return z

    def _compute_latent(self, reference: Reference) -> Tensor:
        if reference.amounts:
            z = self.latent(replace(reference, amounts=()))
            directions = self.latent_map.get().directions.to(z)
            amounts = torch.tensor(reference.amounts[: len(directions)]).to(z)
            return z + amounts @ directions[: len(amounts)]
        if reference.kind in ("picture", "upload"):
            pixels = self.original(reference)
            with eval_mode(self.model), torch.no_grad():
                return self.model.encode(pixels[None]).mean
        # Seeds next to one another would begin alike in some generators; torch's does not.
        generator = torch.Generator().manual_seed(reference.number)
        if reference.kind == "prior":
            z = reference.temperature * torch.randn(1, self.model.latent, generator=generator)
        else:
            self.latent_map.get()  # without which there will be no mixture
            mixture = self.mixture.get()
            z = mixture.sample(temperature=reference.temperature, generator=generator)
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
        return torch.cat([self.decode(part) for part in z.split([1, steps - 2, 1]) if len(part)])

    def blended(
        self, references: Sequence[Reference], weights: Sequence[float], method: Method
    ) -> Tensor:
        """Returns the latent of several pictures mixed by weights, (1, D)."""
        weighty = [r for r, weight in zip(references, weights, strict=True) if weight > 0]
        if len(weighty) == 1:  # the picture itself, bit for bit
            return self.latent(weighty[0])
        points = torch.cat([self.latent(reference) for reference in references])
        return blend(points, list(weights), method=method)[None]


class Served:
    """A model with its name and all that is computed once for it.

    Attributes:
        name: What the page calls it, printable.
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


def trace(
    blender: Blender,
    references: Sequence[Reference],
    *,
    steps: int = 31,
    method: Method = "lerp",
    weights: Sequence[float] | None = None,
) -> dict[str, list[list[float]]]:
    """Finds where pictures, and what lies between them, are on a map.

    Args:
        blender: What mixes them.
        references: The pictures.
        steps: Places along the way from one picture to another.
        method: How two are mixed.
        weights: Of the pictures, for the one place of their blend; without them two pictures
            have a way between them, and more have nothing.

    Returns:
        The places (x, y) of the pictures, `ends`, and those of the mix, `path`.

    Raises:
        RequestError: If there is no such picture, or the set's latents are not there.
    """
    latent_map = blender.latent_map.get()
    ends = torch.cat([blender.latent(reference) for reference in references])
    if weights is not None:
        between = blender.blended(references, weights, method)
    elif len(references) == 2:
        between = blender.path(references[0], references[1], steps, method)
    else:
        between = ends[:0]
    places = latent_map.place(torch.cat([ends, between])).float().nan_to_num()
    rounded = [[round(x, 4) for x in place] for place in places.tolist()]
    return {"ends": rounded[: len(ends)], "path": rounded[len(ends) :]}
