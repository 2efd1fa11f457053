"""What each route does: checks what is asked for, has the work done, and packs the answer."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from importlib.resources import files
from typing import Any, NamedTuple

import torch
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from torch import Tensor

from easyvae.app.errors import RequestError
from easyvae.app.gallery import AT_ONCE, COLUMNS, PER_SHEET
from easyvae.app.parameters import (
    CORNERS,
    Reference,
    get_integer,
    get_method,
    get_references,
    get_weights,
    get_word,
    is_integer,
)
from easyvae.app.served_model import Blender, Method, Served, Trace, trace
from easyvae.app.state import Mixer, safe_name
from easyvae.app.uploads import MAX_BYTES, MAX_PIXELS
from easyvae.core.version import __version__
from easyvae.plots.images import encode_animation, encode_images, to_bytes

FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of what never changes under its address, since that names the model or the set."""

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class Routes(ABC):
    """Answers requests about one mixer.

    Args:
        mixer: The mixer.
    """

    def __init__(self, mixer: Mixer) -> None:
        """Keeps it."""
        self.mixer = mixer

    @abstractmethod
    def table(self) -> dict[str, Handler]:
        """Returns what answers which path."""

    def served(self, request: Request) -> Served:
        """Returns the model that a request names."""
        self.mixer.start()
        return self.mixer.find(request.query_params.get("model", ""))


def sprite(images: Tensor) -> bytes:
    """Packs pictures on one PNG, eight in a row."""
    return encode_images(images, columns=8, gap=0, compress_level=1)


_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """A file of the page.

    Attributes:
        data: Its content.
        kind: Its media type.
        etag: Of this content.
    """

    data: bytes
    kind: str
    etag: str


def read_assets() -> dict[str, Asset]:
    """Reads the files of the page.

    Returns:
        Them, by their names.
    """
    found = {}
    for entry in files("easyvae.app").joinpath("static").iterdir():
        kind = _TYPES.get("." + entry.name.rpartition(".")[2])
        if kind is not None and entry.is_file():
            data = entry.read_bytes()
            found[entry.name] = Asset(data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"')
    return found


class PageRoutes(Routes):
    """Serves the page.

    Args:
        mixer: The mixer.
        assets: The files of the page.
    """

    def __init__(self, mixer: Mixer, assets: dict[str, Asset]) -> None:
        """Keeps both."""
        super().__init__(mixer)
        self._assets = assets

    def table(self) -> dict[str, Handler]:
        """Returns what answers which path."""
        return {"/": self.page, "/static/{name}": self.static, "/api/info": self.info}

    async def page(self, request: Request) -> Response:
        """The page."""
        return self._asset(request, "index.html")

    async def static(self, request: Request) -> Response:
        """A file of the page."""
        return self._asset(request, request.path_params["name"])

    async def info(self, request: Request) -> Response:
        """What there is: the set, the models and how far they are, the limits."""
        self.mixer.start()
        library = self.mixer.library
        channels, height, width = library.shape
        return JSONResponse(
            {
                "easyvae": __version__,
                "pictures": {
                    "title": library.title,
                    "count": len(library),
                    "id": library.id,
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
                "models": [_describe(served) for served in self.mixer.models],
                "tsne": self.mixer.tsne,
                "limits": {"bytes": MAX_BYTES, "pixels": MAX_PIXELS, "frames": library.at_once},
            }
        )

    def _asset(self, request: Request, name: str) -> Response:
        asset = self._assets.get(name)
        if asset is None:
            raise RequestError(404, "not_found", "there is no such file")
        headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == asset.etag:
            return Response(status_code=304, headers=headers)
        return Response(asset.data, media_type=asset.kind, headers=headers)


def _describe(served: Served) -> dict[str, Any]:
    model = served.blender.model
    pending = served.blender.atlas
    atlas = pending.value
    return {
        "id": served.id,
        "name": served.name,
        "latent": model.latent,
        "parameters": sum(p.numel() for p in model.parameters()),
        "ready": atlas is not None,
        "failed": pending.failed,
        "done": served.done,
        "directions": 0 if atlas is None else len(atlas.directions),
    }


class PictureRoutes(Routes):
    """Serves the set, and takes pictures in."""

    def table(self) -> dict[str, Handler]:
        """Returns what answers which path."""
        return {
            "/api/sheets/{sheet}.jpg": self.sheet,
            "/api/sheets/{sheet}.json": self.captions,
            "/api/thumbnails.jpg": self.thumbnails,
            "/api/colours.bin": self.colours,
            "/api/originals.png": self.originals,
        }

    async def sheet(self, request: Request) -> Response:
        """A sheet of thumbnails."""
        number = self._sheet(request)
        return await self._send(request, "image/jpeg", lambda: self.mixer.library.sheet(number))

    async def captions(self, request: Request) -> Response:
        """The captions of a sheet's pictures."""
        captions = self.mixer.library.captions(self._sheet(request))
        return await self._send(request, "application/json", json.dumps(captions).encode)

    async def thumbnails(self, request: Request) -> Response:
        """Chosen thumbnails."""
        references = get_references(request.query_params, 1, PER_SHEET)
        numbers = [reference.number for reference in references if reference.kind == "picture"]
        if len(numbers) < len(references):
            raise RequestError(400, "bad_reference", "only the set's pictures have thumbnails")
        library = self.mixer.library
        return await self._send(request, "image/jpeg", lambda: library.thumbnails(numbers))

    async def colours(self, request: Request) -> Response:
        """The average colour of every picture: three bytes each."""
        return await self._send(request, "application/octet-stream", self.mixer.library.colours)

    async def originals(self, request: Request) -> Response:
        """Pictures as they were before any model saw them."""
        references = get_references(request.query_params, 1, self.mixer.library.at_once)
        blender = self.mixer.models[0].blender

        def work() -> bytes:
            # Each for itself: the set may be of floats, and uploads are of bytes.
            return sprite(torch.cat([to_bytes(blender.original(r)[None]) for r in references]))

        return await self._send(request, "image/png", work)

    async def upload(self, request: Request) -> Response:
        """Takes a picture and tells its name."""
        key = await self.mixer.reception.take(request)
        return JSONResponse({"ref": f"u{key}"}, 201)

    def _sheet(self, request: Request) -> int:
        sheet = request.path_params["sheet"]
        if not is_integer(sheet):
            raise RequestError(404, "no_such_sheet", "a sheet's name is its number")
        return int(sheet)

    async def _send(self, request: Request, kind: str, work: Callable[[], bytes]) -> Response:
        """Answers with what the set alone decides, unless another set is meant.

        No model is needed, and so it need not wait for one.
        """
        library = self.mixer.library
        wanted = request.query_params.get("set")
        if wanted not in (None, library.id):
            raise RequestError(404, "no_such_set", "the set is another one; see /api/info")
        parts = library.id, request.scope["path"], request.scope["query_string"].decode("latin-1")
        etag = f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"'
        # Without the set's name the address may come to mean pictures of another one.
        headers = {**(FOR_EVER if wanted else {"Cache-Control": "no-cache"}), "ETag": etag}
        if request.headers.get("if-none-match") == etag:
            return Response(status_code=304, headers=headers)
        data = await self.mixer.sheets.run(request, work)
        return Response(data, media_type=kind, headers=headers)


_LONGEST = 768  # pixels along a side of an enlarged download


class MixRoutes(Routes):
    """Serves what the models draw."""

    def table(self) -> dict[str, Handler]:
        """Returns what answers which path."""
        return {
            "/api/pictures.png": self.pictures,
            "/api/mix.png": self.mix,
            "/api/blend.png": self.blend,
            "/api/step.png": self.step,
            "/api/strip.png": self.strip,
            "/api/animation.gif": self.animation,
        }

    async def pictures(self, request: Request) -> Response:
        """What a model makes of pictures: reconstructions, edits, samples."""
        blender = self.served(request).blender
        references = get_references(request.query_params, 1, self.mixer.library.at_once)
        return await self._png(request, lambda: sprite(blender.draw(references)))

    async def mix(self, request: Request) -> Response:
        """The frames from one picture to another."""
        film = self._film(request, "frames", 31)
        return await self._png(request, lambda: sprite(film.frames()))

    async def blend(self, request: Request) -> Response:
        """Up to four pictures mixed by weights."""
        query = request.query_params
        blender = self.served(request).blender
        references = get_references(query, 2, CORNERS)
        weights = get_weights(query, len(references))
        method = get_method(query)
        scale = self._scale(request, 1)

        def work() -> bytes:
            z = blender.blended(references, weights, method)
            return encode_images(blender.decode(z), scale=scale)

        return await self._png(request, work, "blend.png")

    async def step(self, request: Request) -> Response:
        """One step of a mix, to keep."""
        film = self._film(request, "steps", 11)
        step = get_integer(request.query_params, "step", 1, film.steps, 1)
        scale = self._scale(request, 4)
        name = f"step-{step}-of-{film.steps}.png"
        return await self._png(request, lambda: encode_images(film.frame(step), scale=scale), name)

    async def strip(self, request: Request) -> Response:
        """All steps of a mix side by side, to keep."""
        film = self._film(request, "steps", 11)
        scale = self._scale(request, 2)
        return await self._png(
            request, lambda: encode_images(film.frames(), scale=scale, gap=2 * scale), "strip.png"
        )

    async def animation(self, request: Request) -> Response:
        """A mix there and back, to keep."""
        film = self._film(request, "steps", 31)
        scale = self._scale(request, 4)
        frames = await self.mixer.work.run(request, film.frames)
        data = await self.mixer.films.run(request, encode_animation, frames, scale=scale)
        return Response(data, media_type="image/gif", headers=self._kept("mix.gif"))

    def _film(self, request: Request, count: str, default: int) -> "_Film":
        query = request.query_params
        blender = self.served(request).blender
        a, b = get_references(query, 2, 2)
        most = self.mixer.library.at_once
        steps = get_integer(query, count, 2, most, min(default, most))
        return _Film(blender, a, b, steps, get_method(query))

    def _scale(self, request: Request, default: int) -> int:
        """Returns how many times larger than life a download is to be, within bounds."""
        scale = get_integer(request.query_params, "scale", 1, 8, default)
        return max(1, min(scale, _LONGEST // max(self.mixer.library.shape[1:])))

    async def _png(
        self, request: Request, work: Callable[[], bytes], name: str | None = None
    ) -> Response:
        data = await self.mixer.work.run(request, work)
        return Response(data, media_type="image/png", headers=self._kept(name))

    def _kept(self, name: str | None) -> dict[str, str]:
        if name is None:
            return FOR_EVER
        name = f"{safe_name(self.mixer.library.title)}-{name}"
        return {**FOR_EVER, "Content-Disposition": f'inline; filename="{name}"'}


class _Film(NamedTuple):
    """A mix that is asked for."""

    blender: Blender
    a: Reference
    b: Reference
    steps: int
    method: Method

    def frames(self) -> Tensor:
        """Draws all steps, (steps, C, H, W) in uint8."""
        return self.blender.frames(self.a, self.b, self.steps, self.method)

    def frame(self, step: int) -> Tensor:
        """Draws one step, counted from 1, (1, C, H, W) in uint8.

        Alone: in the batch that `frames` decodes its pixels may be rounded otherwise.
        """
        z = self.blender.path(self.a, self.b, self.steps, self.method)
        return self.blender.decode(z[step - 1 : step])


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
