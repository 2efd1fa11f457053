"""The ASGI application of the mixer, and its routes."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from easyvae.app import endpoints
from easyvae.app.errors import RequestError
from easyvae.app.security import Guard
from easyvae.app.state import Mixer
from easyvae.app.uploads import SECONDS
from easyvae.data import Pictures
from easyvae.model import VAE

ROUTES = [
    Route("/", endpoints.static),
    Route("/static/{name}", endpoints.static),
    Route("/api/info", endpoints.info),
    Route("/api/sheets/{sheet}.jpg", endpoints.sheet),
    Route("/api/sheets/{sheet}.json", endpoints.captions),
    Route("/api/thumbnails.jpg", endpoints.thumbnails),
    Route("/api/colours.bin", endpoints.colours),
    Route("/api/originals.png", endpoints.originals),
    Route("/api/uploads", endpoints.upload, methods=["POST"]),
    Route("/api/pictures.png", endpoints.pictures),
    Route("/api/mix.png", endpoints.mix),
    Route("/api/blend.png", endpoints.blend),
    Route("/api/step.png", endpoints.step),
    Route("/api/strip.png", endpoints.strip),
    Route("/api/animation.gif", endpoints.animation),
    Route("/api/map.bin", endpoints.latent_map),
    Route("/api/path", endpoints.path),
    Route("/api/near", endpoints.near),
]


def create_app(
    models: Mapping[str, VAE],
    pictures: Pictures,
    *,
    title: str = "pictures",
    hosts: Collection[str] = (),
    cache: Path | None = None,
    upload_seconds: float = SECONDS,
) -> Starlette:
    """Creates the mixer as an ASGI application.

    Args:
        models: By name, all with one `input_shape` of 1 or 3 channels and two sizes.
        pictures: The set, see `easyvae.data.load_pictures`.
        title: What to call the set.
        hosts: Names that the server goes by, beyond those of the loopback interface; with "*"
            any address in figures as well.
        cache: Where the set's latents are kept; `None` is `$EASYVAE_CACHE`, or else
            `~/.cache/easyvae`.
        upload_seconds: How long an upload may take.

    Returns:
        The application; `app.state.mixer` is what it holds.

    Raises:
        ValueError: If the models and the set do not fit one another.

    Example:
        >>> from easyvae import VAE
        >>> from easyvae.kittens import draw_kittens
        >>> import torch
        >>> kittens = Pictures(torch.from_numpy(draw_kittens(20, size=16)[0]))
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> app = create_app({"small": model}, kittens, title="kittens")
        >>> app.state.mixer.gallery.title
        'kittens'
    """
    mixer = Mixer(models, pictures, title=title, cache=cache, upload_seconds=upload_seconds)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        mixer.start()
        yield
        mixer.stop()

    app = Starlette(
        routes=ROUTES,
        middleware=[Middleware(Guard, hosts=frozenset(hosts))],
        # Each is called with errors of its own kind only, which starlette's annotations leave out.
        exception_handlers=cast(Any, {RequestError: _refuse, HTTPException: _explain}),
        lifespan=lifespan,
    )
    app.state.mixer = mixer
    app.state.assets = endpoints.read_assets()
    return app


async def _refuse(_: Request, error: RequestError) -> Response:
    return error.response()


async def _explain(_: Request, error: HTTPException) -> Response:
    """Answers what starlette itself refuses: unknown paths and methods."""
    return RequestError(error.status_code, "not_found", error.detail, error.headers).response()
