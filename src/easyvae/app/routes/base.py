"""What the routes have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from torch import Tensor

from easyvae.app.mixer import Mixer
from easyvae.app.served import Served
from easyvae.plots.sheets import encode_images

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
