"""The page, its files, and what it has to know first."""

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from easyvae.app.assets import Asset
from easyvae.app.errors import RequestError
from easyvae.app.library import COLUMNS, PER_SHEET
from easyvae.app.mixer import Mixer
from easyvae.app.reception import MAX_BYTES
from easyvae.app.routes.base import Handler, Routes
from easyvae.app.served import Served
from easyvae.app.shelf import MAX_PIXELS
from easyvae.version import __version__


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
