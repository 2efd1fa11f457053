"""The routes: each checks what is asked for, has the work done, and packs the answer."""

from starlette.routing import Route

from easyvae.app.assets import Asset
from easyvae.app.mixer import Mixer
from easyvae.app.routes.map import MapRoutes
from easyvae.app.routes.mix import MixRoutes
from easyvae.app.routes.page import PageRoutes
from easyvae.app.routes.pictures import PictureRoutes

__all__ = ["make_routes"]


def make_routes(mixer: Mixer, assets: dict[str, Asset]) -> list[Route]:
    """Returns every route of one mixer.

    Args:
        mixer: The mixer.
        assets: The files of the page.
    """
    pictures = PictureRoutes(mixer)
    answering = [PageRoutes(mixer, assets), pictures, MixRoutes(mixer), MapRoutes(mixer)]
    routes = [
        Route(path, handler, methods=["GET"])
        for group in answering
        for path, handler in group.table().items()
    ]
    return [*routes, Route("/api/uploads", pictures.upload, methods=["POST"])]
