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
    Method,
    Reference,
    get_integer,
    get_method,
    get_references,
    get_weights,
    is_integer,
)
from easyvae.app.served_model import Blender, Served, trace
from easyvae.app.state import Mixer, safe_name
from easyvae.app.uploads import MAX_BYTES, MAX_PIXELS
from easyvae.core.version import __version__
from easyvae.plots.images import encode_animation, encode_images, to_bytes

FOR_EVER = {"Cache-Control": "private, max-age=31536000, immutable"}
"""Of what never changes under its address, since that names the model or the set."""

_LONGEST = 768  # pixels along a side of an enlarged download

_MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """A file of the page: its content, of which the ETag is a hash."""

    data: bytes
    media_type: str
    etag: str


def read_assets() -> dict[str, Asset]:
    """Reads the files of the page, by their names."""
    assets = {}
    for entry in files("easyvae.app").joinpath("static").iterdir():
        media_type = _MEDIA_TYPES.get("." + entry.name.rpartition(".")[2])
        if media_type is not None and entry.is_file():
            data = entry.read_bytes()
            assets[entry.name] = Asset(data, media_type, _etag(data))
    return assets


async def static(request: Request) -> Response:
    """The page, or a file of it."""
    name = request.path_params.get("name", "index.html")
    asset: Asset | None = request.app.state.assets.get(name)
    if asset is None:
        raise RequestError(404, "not_found", "there is no such file")
    headers = {"ETag": asset.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.data, media_type=asset.media_type, headers=headers)


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
    model, pending = served.blender.model, served.blender.latent_map
    return {
        "id": served.id,
        "name": served.name,
        "latent": model.latent,
        "parameters": sum(p.numel() for p in model.parameters()),
        "ready": pending.value is not None,
        "failed": pending.failed,
        "done": served.done,
        "directions": 0 if pending.value is None else len(pending.value.directions),
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


async def pictures(request: Request) -> Response:
    """What a model makes of pictures: reconstructions, edits, samples."""
    blender = _blender(request)
    references = get_references(request.query_params, 1, _mixer(request).gallery.at_once)
    return await _send_png(request, lambda: _sprite(blender.draw(references)))


async def mix(request: Request) -> Response:
    """The frames from one picture to another."""
    blender, way = _blender(request), _way(request, "frames", 31)
    return await _send_png(request, lambda: _sprite(blender.frames(*way)))


async def blend(request: Request) -> Response:
    """Up to four pictures mixed by weights."""
    query = request.query_params
    blender = _blender(request)
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
    blender, way = _blender(request), _way(request, "steps", 11)
    number = get_integer(request.query_params, "step", 1, way.steps, 1)
    scale = _scale(request, 4)

    def work() -> bytes:
        # Alone: in the batch that `frames` decodes its pixels may be rounded otherwise.
        z = blender.path(*way)[number - 1 : number]
        return encode_images(blender.decode(z), scale=scale)

    return await _send_png(request, work, f"step-{number}-of-{way.steps}.png")


async def strip(request: Request) -> Response:
    """All steps of a mix side by side, to keep."""
    blender, way = _blender(request), _way(request, "steps", 11)
    scale = _scale(request, 2)

    def work() -> bytes:
        return encode_images(blender.frames(*way), scale=scale, gap=2 * scale)

    return await _send_png(request, work, "strip.png")


async def animation(request: Request) -> Response:
    """A mix there and back, to keep."""
    mixer = _mixer(request)
    blender, way = _blender(request), _way(request, "steps", 31)
    scale = _scale(request, 4)
    frames = await mixer.mix_jobs.run(request, blender.frames, *way)
    data = await mixer.animation_jobs.run(request, encode_animation, frames, scale=scale)
    return Response(data, media_type="image/gif", headers=_lasting(mixer, "mix.gif"))


async def latent_map(request: Request) -> Response:
    """Where every picture is on the map: pairs of float32, little-endian."""
    places = _blender(request).latent_map.get().plane
    data = places.contiguous().numpy().astype("<f4").tobytes()
    return Response(data, media_type="application/octet-stream", headers=FOR_EVER)


async def path(request: Request) -> Response:
    """Where a mix, or single pictures, are on the map."""
    query = request.query_params
    blender = _blender(request)
    references = get_references(query, 1, CORNERS)
    method = get_method(query)
    weights = get_weights(query, len(references)) if "weights" in query else None
    steps = get_integer(query, "steps", 2, AT_ONCE, 31)
    places = await _mixer(request).mix_jobs.run(
        request, trace, blender, references, steps=steps, method=method, weights=weights
    )
    return JSONResponse(places, headers=FOR_EVER)


async def near(request: Request) -> Response:
    """The pictures whose latents are nearest to one picture's."""
    query = request.query_params
    blender = _blender(request)
    (reference,) = get_references(query, 1, 1)
    count = get_integer(query, "count", 1, PER_SHEET, 60)

    def work() -> Tensor:
        z = blender.latent(reference)
        return blender.latent_map.get().nearest(z, count)[0]

    nearest = await _mixer(request).mix_jobs.run(request, work)
    return JSONResponse(nearest.tolist(), headers=FOR_EVER)


def _mixer(request: Request) -> Mixer:
    mixer: Mixer = request.app.state.mixer
    return mixer


def _blender(request: Request) -> Blender:
    """Returns what mixes with the model that a request names."""
    mixer = _mixer(request)
    mixer.start()
    return mixer.find(request.query_params.get("model", "")).blender


class _Way(NamedTuple):
    """From one picture to another: what `Blender.frames` takes."""

    a: Reference
    b: Reference
    steps: int
    method: Method


def _way(request: Request, count: str, default: int) -> _Way:
    query = request.query_params
    a, b = get_references(query, 2, 2)
    most = _mixer(request).gallery.at_once
    steps = get_integer(query, count, 2, most, min(default, most))
    return _Way(a, b, steps, get_method(query))


def _scale(request: Request, default: int) -> int:
    """Returns how many times larger than life a download is to be, within bounds."""
    scale = get_integer(request.query_params, "scale", 1, 8, default)
    return max(1, min(scale, _LONGEST // max(_mixer(request).gallery.shape[1:])))


def _sheet_number(request: Request) -> int:
    name = request.path_params["sheet"]
    if not is_integer(name):
        raise RequestError(404, "no_such_sheet", "a sheet's name is its number")
    return int(name)


def _sprite(images: Tensor) -> bytes:
    """Packs pictures on one PNG, eight in a row."""
    return encode_images(images, columns=8, gap=0, compress_level=1)


def _etag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:16]}"'


async def _send_of_set(request: Request, media_type: str, work: Callable[[], bytes]) -> Response:
    """Answers with what the set alone decides, unless another set is meant.

    No model is needed, and so it need not wait for one.
    """
    mixer = _mixer(request)
    wanted = request.query_params.get("set")
    if wanted not in (None, mixer.gallery.id):
        raise RequestError(404, "no_such_set", "the set is another one; see /api/info")
    query = request.scope["query_string"].decode("latin-1")
    etag = _etag(repr((mixer.gallery.id, request.scope["path"], query)).encode())
    # Without the set's name the address may come to mean pictures of another one.
    headers = {**(FOR_EVER if wanted else {"Cache-Control": "no-cache"}), "ETag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(status_code=304, headers=headers)
    data = await mixer.sheet_jobs.run(request, work)
    return Response(data, media_type=media_type, headers=headers)


async def _send_png(
    request: Request, work: Callable[[], bytes], name: str | None = None
) -> Response:
    mixer = _mixer(request)
    data = await mixer.mix_jobs.run(request, work)
    headers = FOR_EVER if name is None else _lasting(mixer, name)
    return Response(data, media_type="image/png", headers=headers)


def _lasting(mixer: Mixer, name: str) -> dict[str, str]:
    """Returns the headers of what never changes, and under which name it is saved."""
    name = f"{safe_name(mixer.gallery.title)}-{name}"
    return {**FOR_EVER, "Content-Disposition": f'inline; filename="{name}"'}
