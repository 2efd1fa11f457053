"""Where pictures are in a model's latent space, and which are near one another."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easyvae.app.library import AT_ONCE, PER_SHEET
from easyvae.app.queries import (
    CORNERS,
    get_integer,
    get_method,
    get_references,
    get_weights,
    get_word,
)
from easyvae.app.routes.base import FOR_EVER, Handler, Routes
from easyvae.app.tracing import Trace, trace


class MapRoutes(Routes):
    """Serves the map."""

    def table(self) -> dict[str, Handler]:
        """Returns what answers which path."""
        return {"/api/map.bin": self.map, "/api/path": self.path, "/api/near": self.near}

    async def map(self, request: Request) -> Response:
        """Where every picture is on the map: pairs of float32, little-endian."""
        served = self.served(request)
        atlas = served.blender.atlas.get()
        kind = get_word(request.query_params, "kind", ("pca", "tsne"))
        places = atlas.plane if kind == "pca" else self.mixer.layout(served)
        data = places.contiguous().numpy().astype("<f4").tobytes()
        return Response(data, media_type="application/octet-stream", headers=FOR_EVER)

    async def path(self, request: Request) -> Response:
        """Where a mix, or single pictures, are on the map."""
        query = request.query_params
        served = self.served(request)
        references = get_references(query, 1, CORNERS)
        kind = get_word(query, "kind", ("pca", "tsne"))
        method = get_method(query)
        weights = get_weights(query, len(references)) if "weights" in query else None
        steps = get_integer(query, "steps", 2, AT_ONCE, 31)
        layout = self.mixer.layout(served) if kind == "tsne" else None

        def work() -> Trace:
            return trace(
                served.blender,
                references,
                steps=steps,
                method=method,
                weights=weights,
                layout=layout,
            )

        return await self._json(request, work)

    async def near(self, request: Request) -> Response:
        """The pictures whose latents are nearest to one picture's."""
        query = request.query_params
        blender = self.served(request).blender
        (reference,) = get_references(query, 1, 1)
        count = get_integer(query, "count", 1, PER_SHEET, 60)

        def work() -> list[int]:
            (nearest,) = blender.atlas.get().nearest(blender.latent(reference), count).tolist()
            return list(nearest)

        return await self._json(request, work)

    async def _json(self, request: Request, work: Callable[[], Any]) -> Response:
        found = await self.mixer.work.run(request, work)
        return JSONResponse(found, headers=FOR_EVER)
