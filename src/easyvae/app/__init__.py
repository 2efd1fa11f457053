"""The mixer: a web page on which pictures of a set turn into one another.

`easyvae app` opens it. `create_app` makes the same as an ASGI application for a server of one's
own:

    app = create_app({"cats": VAE.load("runs/cats")}, load_pictures("cats", (3, 64, 64)))
"""

from easyvae.core.checks import missing

try:
    import starlette  # noqa: F401  # asked for here once, and not in each module
    import uvicorn  # noqa: F401
except ImportError as error:
    raise missing("the mixer", "starlette", "uvicorn", "h11", "Pillow") from error

from easyvae.app.server import create_app
from easyvae.app.uvicorn_server import serve

__all__ = ["create_app", "serve"]
