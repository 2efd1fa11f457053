"""What each route does: checks what is asked for, has the work done, and packs the answer."""

import hashlib
import json
from collections.abc import Callable
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
    is_integer,
)
from easyvae.app.served_model import Blender, Method, Served, Trace, trace
from easyvae.app.state import Mixer, safe_name
from easyvae.app.uploads import MAX_BYTES, MAX_PIXELS
from easyvae.core.version import __version__
from easyvae.plots.images import encode_animation, encode_images, to_bytes

FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of what never changes under its address, since that names the model or the set."""

_LONGEST = 768  # pixels along a side of an enlarged download

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


def _mixer(request: Request) -> Mixer:
    mixer: Mixer = request.app.state.mixer
    return mixer


def _served(request: Request) -> Served:
    """Returns the model that a request names."""
    mixer = _mixer(request)
    mixer.start()
    return mixer.find(request.query_params.get("model", ""))


def _sprite(images: Tensor) -> bytes:
    """Packs pictures on one PNG, eight in a row."""
    return encode_images(images, columns=8, gap=0, compress_level=1)


async def page(request: Request) -> Response:
    """The page."""
    return _asset(request, "index.html")


async def static(request: Request) -> Response:
    """A file of the page."""
    return _asset(request, request.path_params["name"])


def _asset(request: Request, name: str) -> Response:
    asset: Asset | None = request.app.state.assets.get(name)
    if asset is None:
        raise RequestError(404, "not_found", "there is no such file")
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.data, media_type=asset.kind, headers=headers)


async def info(request: Request) -> Response:
    """What there is: the set, the models and how far they are, the limits."""
    mixer = _mixer(request)
    mixer.start()
    gallery = mixer.gallery
    channels, height, width = gallery.shape
    return JSONResponse(
        {
            "easyvae": __version__,
            "pictures": {
                "title": gallery.title,
                "count": len(gallery),
                "id": gallery.id,
                "channels": channels,
                "height": height,
                "width": width,
                "named": gallery.pictures.names is not None,
                "kittens": (gallery.pictures.origin or "").split(":")[0] == "kittens",
            },
            "sheets": {
                "count": gallery.sheets,
                "pictures": PER_SHEET,
                "columns": COLUMNS,
                "height": gallery.thumb[0],
                "width": gallery.thumb[1],
            },
            "models": [_describe(served) for served in mixer.models],
            "limits": {"bytes": MAX_BYTES, "pixels": MAX_PIXELS, "frames": gallery.at_once},
        }
    )


def _describe(served: Served) -> dict[str, Any]:
    model = served.blender.model
    pending = served.blender.latent_map
    latent_map = pending.value
    return {
        "id": served.id,
        "name": served.name,
        "latent": model.latent,
        "parameters": sum(p.numel() for p in model.parameters()),
        "ready": latent_map is not None,
        "failed": pending.failed,
        "done": served.done,
        "directions": 0 if latent_map is None else len(latent_map.directions),
    }


async def sheet(request: Request) -> Response:
    """A sheet of thumbnails."""
    gallery, number = _mixer(request).gallery, _sheet_number(request)
    return await _send_of_set(request, "image/jpeg", lambda: gallery.sheet(number))


async def captions(request: Request) -> Response:
    """The captions of a sheet's pictures."""
    texts = _mixer(request).gallery.captions(_sheet_number(request))
    return await _send_of_set(request, "application/json", json.dumps(texts).encode)


async def thumbnails(request: Request) -> Response:
    """Chosen thumbnails."""
    references = get_references(request.query_params, 1, PER_SHEET)
    numbers = [reference.number for reference in references if reference.kind == "picture"]
    if len(numbers) < len(references):
        raise RequestError(400, "bad_reference", "only the set's pictures have thumbnails")
    gallery = _mixer(request).gallery
    return await _send_of_set(request, "image/jpeg", lambda: gallery.thumbnails(numbers))


async def colours(request: Request) -> Response:
    """The average colour of every picture: three bytes each."""
    work = _mixer(request).gallery.colours
    return await _send_of_set(request, "application/octet-stream", work)


async def originals(request: Request) -> Response:
    """Pictures as they were before any model saw them."""
    mixer = _mixer(request)
    references = get_references(request.query_params, 1, mixer.gallery.at_once)
    blender = mixer.models[0].blender

    def work() -> bytes:
        # Each for itself: the set may be of floats, and uploads are of bytes.
        return _sprite(torch.cat([to_bytes(blender.original(r)[None]) for r in references]))

    return await _send_of_set(request, "image/png", work)


async def upload(request: Request) -> Response:
    """Takes a picture and tells its name."""
    key = await _mixer(request).upload_reader.take(request)
    return JSONResponse({"ref": f"u{key}"}, 201)


def _sheet_number(request: Request) -> int:
    name = request.path_params["sheet"]
    if not is_integer(name):
        raise RequestError(404, "no_such_sheet", "a sheet's name is its number")
    return int(name)


async def _send_of_set(request: Request, kind: str, work: Callable[[], bytes]) -> Response:
    """Answers with what the set alone decides, unless another set is meant.

    No model is needed, and so it need not wait for one.
    """
    mixer = _mixer(request)
    wanted = request.query_params.get("set")
    if wanted not in (None, mixer.gallery.id):
        raise RequestError(404, "no_such_set", "the set is another one; see /api/info")
    query = request.scope["query_string"].decode("latin-1")
    parts = mixer.gallery.id, request.scope["path"], query
    etag = f'"{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"'
    # Without the set's name the address may come to mean pictures of another one.
    headers = {**(FOR_EVER if wanted else {"Cache-Control": "no-cache"}), "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    data = await mixer.sheet_jobs.run(request, work)
    return Response(data, media_type=kind, headers=headers)


async def pictures(request: Request) -> Response:
    """What a model makes of pictures: reconstructions, edits, samples."""
    blender = _served(request).blender
    references = get_references(request.query_params, 1, _mixer(request).gallery.at_once)
    return await _send_png(request, lambda: _sprite(blender.draw(references)))


async def mix(request: Request) -> Response:
    """The frames from one picture to another."""
    film = _film(request, "frames", 31)
    return await _send_png(request, lambda: _sprite(film.frames()))


async def blend(request: Request) -> Response:
    """Up to four pictures mixed by weights."""
    query = request.query_params
    blender = _served(request).blender
    references = get_references(query, 2, CORNERS)
    weights = get_weights(query, len(references))
    method = get_method(query)
    scale = _scale(request, 1)

    def work() -> bytes:
        z = blender.blended(references, weights, method)
        return encode_images(blender.decode(z), scale=scale)

    return await _send_png(request, work, "blend.png")


async def step(request: Request) -> Response:
    """One step of a mix, to keep."""
    film = _film(request, "steps", 11)
    number = get_integer(request.query_params, "step", 1, film.steps, 1)
    scale = _scale(request, 4)
    name = f"step-{number}-of-{film.steps}.png"
    return await _send_png(request, lambda: encode_images(film.frame(number), scale=scale), name)


async def strip(request: Request) -> Response:
    """All steps of a mix side by side, to keep."""
    film = _film(request, "steps", 11)
    scale = _scale(request, 2)
    return await _send_png(
        request, lambda: encode_images(film.frames(), scale=scale, gap=2 * scale), "strip.png"
    )


async def animation(request: Request) -> Response:
    """A mix there and back, to keep."""
    mixer = _mixer(request)
    film = _film(request, "steps", 31)
    scale = _scale(request, 4)
    frames = await mixer.mix_jobs.run(request, film.frames)
    data = await mixer.animation_jobs.run(request, encode_animation, frames, scale=scale)
    return Response(data, media_type="image/gif", headers=_kept(mixer, "mix.gif"))


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


def _film(request: Request, count: str, default: int) -> _Film:
    query = request.query_params
    blender = _served(request).blender
    a, b = get_references(query, 2, 2)
    most = _mixer(request).gallery.at_once
    steps = get_integer(query, count, 2, most, min(default, most))
    return _Film(blender, a, b, steps, get_method(query))


def _scale(request: Request, default: int) -> int:
    """Returns how many times larger than life a download is to be, within bounds."""
    scale = get_integer(request.query_params, "scale", 1, 8, default)
    return max(1, min(scale, _LONGEST // max(_mixer(request).gallery.shape[1:])))


async def _send_png(
    request: Request, work: Callable[[], bytes], name: str | None = None
) -> Response:
    mixer = _mixer(request)
    data = await mixer.mix_jobs.run(request, work)
    return Response(data, media_type="image/png", headers=_kept(mixer, name))


def _kept(mixer: Mixer, name: str | None) -> dict[str, str]:
    """Returns the headers of what never changes, and under which name it is saved."""
    if name is None:
        return FOR_EVER
    name = f"{safe_name(mixer.gallery.title)}-{name}"
    return {**FOR_EVER, "Content-Disposition": f'inline; filename="{name}"'}


async def latent_map(request: Request) -> Response:
    """Where every picture is on the map: pairs of float32, little-endian."""
    places = _served(request).blender.latent_map.get().plane
    data = places.contiguous().numpy().astype("<f4").tobytes()
    return Response(data, media_type="application/octet-stream", headers=FOR_EVER)


async def path(request: Request) -> Response:
    """Where a mix, or single pictures, are on the map."""
    query = request.query_params
    blender = _served(request).blender
    references = get_references(query, 1, CORNERS)
    method = get_method(query)
    weights = get_weights(query, len(references)) if "weights" in query else None
    steps = get_integer(query, "steps", 2, AT_ONCE, 31)

    def work() -> Trace:
        return trace(blender, references, steps=steps, method=method, weights=weights)

    return await _send_json(request, work)


async def near(request: Request) -> Response:
    """The pictures whose latents are nearest to one picture's."""
    query = request.query_params
    blender = _served(request).blender
    (reference,) = get_references(query, 1, 1)
    count = get_integer(query, "count", 1, PER_SHEET, 60)

    def work() -> list[int]:
        z = blender.latent(reference)
        (nearest,) = blender.latent_map.get().nearest(z, count).tolist()
        return list(nearest)

    return await _send_json(request, work)


async def _send_json(request: Request, work: Callable[[], Any]) -> Response:
    found = await _mixer(request).mix_jobs.run(request, work)
    return JSONResponse(found, headers=FOR_EVER)
