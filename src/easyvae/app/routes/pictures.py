"""The pictures themselves: those of the set, which no model has seen, and those people bring."""

import hashlib
import json
from collections.abc import Callable

import torch
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easyvae.app.errors import RequestError
from easyvae.app.library import PER_SHEET
from easyvae.app.queries import get_references, is_integer
from easyvae.app.routes.base import FOR_EVER, Handler, Routes, sprite
from easyvae.plots.sheets import to_bytes


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
