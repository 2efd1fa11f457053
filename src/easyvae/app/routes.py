"""The routes: each checks what is asked for, has the work done, and packs the answer."""

import math
from collections.abc import Callable, Coroutine
from typing import Any

import torch
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from torch import Tensor

from easyvae.app.assets import Asset
from easyvae.app.errors import RequestError
from easyvae.app.library import COLUMNS, PER_SHEET
from easyvae.app.mixer import Mixer, Served, safe_name
from easyvae.app.mixing import Method
from easyvae.app.queries import (
    CORNERS,
    get_integer,
    get_method,
    get_references,
    get_weights,
    get_word,
)
from easyvae.app.references import Reference
from easyvae.app.uploads import MAX_BYTES, MAX_PIXELS
from easyvae.plots.sheets import encode_animation, encode_images, to_bytes
from easyvae.version import __version__

MAX_FRAMES = 64
_FOR_EVER = "private, max-age=31536000, immutable"
_LONGEST = 768  # pixels along a side of an enlarged download

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Routes:
    """Answers requests about one mixer.

    Args:
        mixer: The mixer.
        assets: The files of the page.
    """

    def __init__(self, mixer: Mixer, assets: dict[str, Asset]) -> None:
        """Keeps both."""
        self._mixer = mixer
        self._assets = assets

    def all(self) -> list[Route]:
        """Returns every route."""
        table: dict[str, Handler] = {
            "/": self.page,
            "/static/{name}": self.static,
            "/api/info": self.info,
            "/api/sheets/{sheet:int}.jpg": self.sheet,
            "/api/sheets/{sheet:int}.json": self.captions,
            "/api/thumbnails.jpg": self.thumbnails,
            "/api/colours.bin": self.colours,
            "/api/originals.png": self.originals,
            "/api/pictures.png": self.pictures,
            "/api/mix.png": self.mix,
            "/api/blend.png": self.blend,
            "/api/map.bin": self.map,
            "/api/path": self.path,
            "/api/near": self.near,
            "/api/step.png": self.step,
            "/api/strip.png": self.strip,
            "/api/animation.gif": self.animation,
        }
        routes = [Route(path, handler, methods=["GET"]) for path, handler in table.items()]
        return [*routes, Route("/api/uploads", self.upload, methods=["POST"])]

    async def page(self, request: Request) -> Response:
        """The page."""
        return self._asset(request, "index.html")

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        return self._asset(request, request.path_params["name"])

    def _asset(self, request: Request, name: str) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            raise RequestError(404, "not_found", "there is no such file")
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.data, media_type=asset.kind, headers=headers)

    async def info(self, request: Request) -> Response:
        """What there is: the set, the models and how far they are, the limits."""
        self._mixer.start()
        library = self._mixer.library
        channels, height, width = library.shape
        return JSONResponse(
            {
                "easyvae": __version__,
                "pictures": {
                    "title": library.title,
                    "count": len(library),
                    "id": library.pictures.fingerprint[:12],
                    "channels": channels,
                    "height": height,
                    "width": width,
                    "named": library.pictures.names is not None,
                    "kittens": (library.pictures.origin or "").split(":")[0] == "kittens",
                },
                "sheets": {
                    "count": library.sheets,
                    "pictures": PER_SHEET,
                    "columns": COLUMNS,
                    "height": library.thumb[0],
                    "width": library.thumb[1],
                },
                "models": [_describe(served) for served in self._mixer.models],
                "tsne": self._mixer.tsne,
                "limits": {"bytes": MAX_BYTES, "pixels": MAX_PIXELS, "frames": MAX_FRAMES},
            }
        )

    async def sheet(self, request: Request) -> Response:
        """A sheet of thumbnails."""
        number = request.path_params["sheet"]
        library = self._mixer.library
        etag = f'"{library.pictures.fingerprint[:12]}-{number}"'
        headers = {"ETag": etag, "Cache-Control": _FOR_EVER}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        data = await self._mixer.sheets.run(request, library.sheet, number)
        return Response(data, media_type="image/jpeg", headers=headers)

    async def captions(self, request: Request) -> Response:
        """The captions of a sheet's pictures."""
        captions = self._mixer.library.captions(request.path_params["sheet"])
        return JSONResponse(captions, headers={"Cache-Control": _FOR_EVER})

    async def thumbnails(self, request: Request) -> Response:
        """Chosen thumbnails."""
        references = get_references(request.query_params, 1, PER_SHEET)
        numbers = [reference.number for reference in references if reference.kind == "picture"]
        if len(numbers) < len(references):
            raise RequestError(400, "bad_reference", "only the set's pictures have thumbnails")
        library = self._mixer.library
        data = await self._mixer.sheets.run(request, library.thumbnails, numbers)
        return Response(data, media_type="image/jpeg", headers={"Cache-Control": _FOR_EVER})

    async def colours(self, request: Request) -> Response:
        """The average colour of every picture: three bytes each."""
        data = await self._mixer.sheets.run(request, self._mixer.library.colours)
        headers = {"Cache-Control": _FOR_EVER}
        return Response(data, media_type="application/octet-stream", headers=headers)

    async def originals(self, request: Request) -> Response:
        """Pictures as they were before any model saw them."""
        references = get_references(request.query_params)
        blender = self._mixer.models[0].blender

        def work() -> bytes:
            return _sprite(to_bytes(torch.stack([blender.original(r) for r in references])))

        data = await self._mixer.sheets.run(request, work)  # no model: it need not wait for one
        return Response(data, media_type="image/png", headers=self._kept(None))

    async def pictures(self, request: Request) -> Response:
        """What a model makes of pictures: reconstructions, edits, samples."""
        served = self._served(request)
        references = get_references(request.query_params)
        return await self._png(request, lambda: _sprite(served.blender.draw(references)))

    async def mix(self, request: Request) -> Response:
        """The frames from one picture to another."""
        frames = self._frames(request, "frames", 31)
        return await self._png(request, lambda: _sprite(frames()))

    async def blend(self, request: Request) -> Response:
        """Up to four pictures mixed by weights."""
        query = request.query_params
        served = self._served(request)
        references = get_references(query, 2, CORNERS)
        weights = get_weights(query, len(references))
        method = get_method(query)
        scale = self._scale(request, 1)

        def work() -> bytes:
            z = served.blender.blended(references, weights, method)
            return encode_images(served.blender.decode(z), scale=scale)

        return await self._png(request, work, "blend.png")

    async def map(self, request: Request) -> Response:
        """Where every picture is on the map: pairs of float32, little-endian."""
        served = self._served(request)
        atlas = served.blender.known()
        kind = get_word(request.query_params, "kind", ("pca", "tsne"))
        places = atlas.plane if kind == "pca" else self._mixer.layout(served)
        data = places.contiguous().numpy().astype("<f4").tobytes()
        headers = {"Cache-Control": _FOR_EVER}
        return Response(data, media_type="application/octet-stream", headers=headers)

    async def path(self, request: Request) -> Response:
        """Where a mix, or single pictures, are on the map."""
        query = request.query_params
        served = self._served(request)
        references = get_references(query, 1, CORNERS)
        kind = get_word(query, "kind", ("pca", "tsne"))
        method = get_method(query)
        weights = get_weights(query, len(references)) if "weights" in query else None
        steps = get_integer(query, "steps", 2, MAX_FRAMES, 31)
        layout = self._mixer.layout(served) if kind == "tsne" else None

        def work() -> dict[str, Any]:
            blender = served.blender
            atlas = blender.known()
            ends = torch.cat([blender.latent(reference) for reference in references])
            if weights is not None:
                line = blender.blended(references, weights, method)
            elif len(references) == 2:
                line = blender.path(references[0], references[1], steps, method)
            else:
                line = ends[:0]

            def place(z: Tensor) -> list[list[float]]:
                if layout is None:
                    return _rounded(atlas.place(z))
                # t-SNE has no place for a latent that it was not made with: the nearest picture's.
                nearest = [atlas.nearest(row[None], 1)[0] for row in z]
                return _rounded(layout[nearest])

            drawn = "projected" if layout is None else "nearest"
            return {"drawn": drawn, "ends": place(ends), "path": place(line)}

        return await self._json(request, work)

    async def near(self, request: Request) -> Response:
        """The pictures whose latents are nearest to one picture's."""
        query = request.query_params
        served = self._served(request)
        (reference,) = get_references(query, 1, 1)
        count = get_integer(query, "count", 1, PER_SHEET, 60)

        def work() -> list[int]:
            return served.blender.known().nearest(served.blender.latent(reference), count)

        return await self._json(request, work)

    async def step(self, request: Request) -> Response:
        """One step of a mix, to keep."""
        frames = self._frames(request, "steps", 11)
        steps = get_integer(request.query_params, "steps", 2, MAX_FRAMES, 11)
        step = get_integer(request.query_params, "step", 1, steps, 1)
        scale = self._scale(request, 4)
        name = f"step-{step}-of-{steps}.png"
        return await self._png(
            request, lambda: encode_images(frames()[step - 1 : step], scale=scale), name
        )

    async def strip(self, request: Request) -> Response:
        """All steps of a mix side by side, to keep."""
        frames = self._frames(request, "steps", 11)
        scale = self._scale(request, 2)
        return await self._png(
            request, lambda: encode_images(frames(), scale=scale, gap=2 * scale), "strip.png"
        )

    async def animation(self, request: Request) -> Response:
        """A mix there and back, to keep."""
        frames = self._frames(request, "steps", 31)
        scale = self._scale(request, 4)

        def work() -> bytes:
            return encode_animation(frames(), scale=scale)

        data = await self._mixer.films.run(request, work)
        return Response(data, media_type="image/gif", headers=self._kept("mix.gif"))

    async def upload(self, request: Request) -> Response:
        """Takes a picture and tells its name."""
        key = await self._mixer.reception.take(request)
        return JSONResponse({"ref": f"u{key}"}, 201)

    def _served(self, request: Request) -> Served:
        self._mixer.start()
        return self._mixer.find(request.query_params.get("model", ""))

    def _frames(self, request: Request, count: str, default: int) -> Callable[[], Tensor]:
        query = request.query_params
        served = self._served(request)
        pair: list[Reference] = get_references(query, 2, 2)
        steps = get_integer(query, count, 2, MAX_FRAMES, default)
        method: Method = get_method(query)
        return lambda: served.blender.frames(pair[0], pair[1], steps, method)

    def _scale(self, request: Request, default: int) -> int:
        """Returns how many times larger than life a download is to be, within bounds."""
        scale = get_integer(request.query_params, "scale", 1, 8, default)
        return max(1, min(scale, _LONGEST // max(self._mixer.library.shape[1:])))

    async def _png(
        self, request: Request, work: Callable[[], bytes], name: str | None = None
    ) -> Response:
        data = await self._mixer.work.run(request, work)
        return Response(data, media_type="image/png", headers=self._kept(name))

    async def _json(self, request: Request, work: Callable[[], Any]) -> Response:
        found = await self._mixer.work.run(request, work)
        return JSONResponse(found, headers={"Cache-Control": _FOR_EVER})

    def _kept(self, name: str | None) -> dict[str, str]:
        headers = {"Cache-Control": _FOR_EVER}
        if name is not None:
            name = f"{safe_name(self._mixer.library.title)}-{name}"
            headers["Content-Disposition"] = f'inline; filename="{name}"'
        return headers


def _describe(served: Served) -> dict[str, Any]:
    model = served.blender.model
    atlas = served.blender.atlas
    return {
        "id": served.id,
        "name": served.name,
        "latent": model.latent,
        "parameters": sum(p.numel() for p in model.parameters()),
        "ready": atlas is not None,
        "done": served.done,
        "directions": 0 if atlas is None else len(atlas.directions),
    }


def _sprite(images: Tensor) -> bytes:
    """Packs pictures on one PNG, eight in a row."""
    return encode_images(images, columns=8, gap=0, compress_level=1)


def _rounded(places: Tensor) -> list[list[float]]:
    finite = torch.nan_to_num(places.float())
    return [[round(x, 4) if math.isfinite(x) else 0.0 for x in row] for row in finite.tolist()]
