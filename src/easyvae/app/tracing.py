"""Where a mix runs on a map."""

from collections.abc import Sequence
from typing import Literal, TypedDict

import torch
from torch import Tensor

from easyvae.app.mixing import Blender, Method
from easyvae.app.references import Reference


class Trace(TypedDict):
    """Places on a map, x and y each."""

    drawn: Literal["projected", "nearest"]
    ends: list[list[float]]
    path: list[list[float]]


def trace(
    blender: Blender,
    references: Sequence[Reference],
    *,
    steps: int = 31,
    method: Method = "lerp",
    weights: Sequence[float] | None = None,
    layout: Tensor | None = None,
) -> Trace:
    """Finds where pictures, and what lies between them, are on a map.

    Args:
        blender: What mixes them.
        references: The pictures.
        steps: Places along the way from one picture to another.
        method: How two are mixed.
        weights: Of the pictures, for the one place of their blend; without them two pictures
            have a way between them, and more have nothing.
        layout: The places of the set's pictures, (N, 2), on a map that has none for other
            latents: it is that of the nearest picture then. `None` is the plane of the atlas.

    Returns:
        How the places were found, those of the pictures, and those of the mix.

    Raises:
        RequestError: If there is no such picture, or the set's latents are not there.
    """
    atlas = blender.atlas.get()
    ends = torch.cat([blender.latent(reference) for reference in references])
    if weights is not None:
        line = blender.blended(references, weights, method)
    elif len(references) == 2:
        line = blender.path(references[0], references[1], steps, method)
    else:
        line = ends[:0]
    z = torch.cat([ends, line])
    places = atlas.place(z) if layout is None else layout[atlas.nearest(z, 1)[:, 0]]
    rounded = [[round(x, 4) for x in row] for row in places.float().nan_to_num().tolist()]
    return {
        "drawn": "projected" if layout is None else "nearest",
        "ends": rounded[: len(ends)],
        "path": rounded[len(ends) :],
    }
