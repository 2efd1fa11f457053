"""What is computed in the background, once for each model, while the page is in use."""

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import sleep
from typing import TypeVar

from easyvae.app.jobs import Pending, give_way
from easyvae.app.latent_map import LatentMap
from easyvae.app.latents_cache import TensorCache, open_latents, open_mixture
from easyvae.app.served_model import Served
from easyvae.core.files import printable
from easyvae.data import Pictures
from easyvae.latents import GaussianMixture

T = TypeVar("T")
_log = logging.getLogger(__name__)


class _StoppedError(Exception):
    """The server is going down."""


class Background:
    """A thread that computes the latents of a set, with their map, and then mixtures.

    What fails is said in the log, and to those who ask for it; all else goes on. Requests go
    first: `idle` tells whether there are none.
    """

    def __init__(
        self,
        models: Sequence[Served],
        pictures: Pictures,
        cache: TensorCache,
        idle: Callable[[], bool],
    ) -> None:
        self._models = models
        self._pictures = pictures
        self._cache = cache
        self._idle = idle
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the work as soon as that can be."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _run(self) -> None:
        give_way()
        with suppress(_StoppedError):
            for served in self._models:
                self._compute(served.blender.latent_map, self._embed, served)
            for served in self._models:
                if len(served.samples):
                    self._compute(served.blender.mixture, self._fit, served)

    def _compute(
        self, pending: Pending[T], compute: Callable[[Served], T], served: Served
    ) -> None:
        if self._stopped.is_set():
            raise _StoppedError
        if pending.value is not None:
            return
        try:
            pending.value = compute(served)
        except _StoppedError:
            raise
        except Exception as error:  # whatever it is, the rest of the page works without
            _log.exception("the model %s: something failed that is computed once", served.name)
            pending.failed = printable(f"{served.name}: {error}")

    def _embed(self, served: Served) -> LatentMap:
        def progress(done: int) -> None:
            served.done = done
            for _ in range(100):  # requests go first, but not for ever
                if self._idle():
                    break
                sleep(0.002)
            if self._stopped.is_set():
                raise _StoppedError

        model = served.blender.model
        means, served.samples = open_latents(
            model, self._pictures, self._cache, served.key, progress
        )
        latent_map = LatentMap(means)
        _ = latent_map.plane
        return latent_map

    def _fit(self, served: Served) -> GaussianMixture:
        mixture = open_mixture(served.samples, self._cache, served.key)
        served.samples = served.samples[:0].clone()
        return mixture
