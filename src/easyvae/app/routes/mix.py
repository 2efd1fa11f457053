"""What a model makes of pictures: reconstructions, samples, mixes, and files of them to keep."""

from collections.abc import Callable
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from torch import Tensor

from easyvae.app.mixer import safe_name
from easyvae.app.mixing import Blender, Method
from easyvae.app.queries import (
    CORNERS,
    get_integer,
    get_method,
    get_references,
    get_weights,
)
from easyvae.app.references import Reference
from easyvae.app.routes.base import FOR_EVER, Handler, Routes, sprite
from easyvae.plots.sheets import encode_animation, encode_images

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
