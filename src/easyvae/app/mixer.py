"""All that the server holds: the set, the models, the uploads, and who works on what."""

import os
import re
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue
from time import sleep

from torch import Tensor

from easyvae.app.atlas import Atlas
from easyvae.app.errors import RequestError, busy
from easyvae.app.latents_cache import TensorCache, identify, open_latents, open_mixture
from easyvae.app.library import Library
from easyvae.app.mixing import Blender
from easyvae.app.neighbours import available, embed_neighbours
from easyvae.app.uploads import SECONDS, Reception, Shelf
from easyvae.app.worker import Worker
from easyvae.data import Pictures
from easyvae.data.cache import cache_folder
from easyvae.model import VAE


class StoppedError(Exception):
    """The server is going down."""


class Served:
    """A model with its name and all that is computed once for it.

    Attributes:
        name: What the page calls it.
        id: Of the weights and the set: what is drawn under it never changes.
        blender: What mixes with it.
        done: How many pictures have been encoded.
        layout: The t-SNE map, once it is drawn, (N, 2).
        failed: Why it will not be drawn, if it will not.
    """

    def __init__(self, name: str, model: VAE, library: Library, shelf: Shelf) -> None:
        """Works out the id."""
        self.name = name
        self.key = identify(model, library.pictures)
        self.id = self.key[:12]
        self.blender = Blender(model, library, shelf)
        self.done = 0
        self.layout: Tensor | None = None
        self.failed: str | None = None
        self.asked = False


class Mixer:
    """What a server of the mixer holds.

    Args:
        models: By name, all with one `input_shape` of 1 or 3 channels and two sizes.
        pictures: The set.
        title: What to call it.
        cache: The cache folder; `None` is `$EASYVAE_CACHE`, or else `~/.cache/easyvae`.
        upload_seconds: How long an upload may take.

    Raises:
        ValueError: If the models and the set do not fit one another.
    """

    def __init__(
        self,
        models: Mapping[str, VAE],
        pictures: Pictures,
        *,
        title: str = "pictures",
        cache: Path | None = None,
        upload_seconds: float = SECONDS,
    ) -> None:
        """Computes nothing yet."""
        _check(models, pictures)
        self.library = Library(pictures, title)
        self.shelf = Shelf(self.library.shape)
        self.models = [
            Served(name, model.eval(), self.library, self.shelf) for name, model in models.items()
        ]
        self.work = Worker("mix")
        self.sheets = Worker("sheets", waiting=128)
        self.films = Worker("films", waiting=4)  # they take seconds, and must not hold up a mix
        self.reception = Reception(self.shelf, seconds=upload_seconds)
        self._cache = TensorCache(cache_folder(cache))
        self._tasks: SimpleQueue[Served | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stopped = threading.Event()
        self._lock = threading.Lock()

    def find(self, model: str) -> Served:
        """Returns a model by its id.

        Raises:
            RequestError: If there is none.
        """
        for served in self.models:
            if served.id == model:
                return served
        raise RequestError(404, "no_such_model", "there is no such model; see /api/info")

    @property
    def tsne(self) -> bool:
        """Whether there can be a t-SNE map."""
        return available(len(self.library))

    def layout(self, served: Served) -> Tensor:
        """Returns a model's t-SNE map, (N, 2); the first request for it begins the work.

        Raises:
            RequestError: If it is not there yet, or cannot be.
        """
        served.blender.known()
        if served.layout is not None:
            return served.layout
        if not self.tsne or served.failed:
            why = served.failed or "t-SNE needs scikit-learn, and at most 20,000 pictures"
            raise RequestError(404, "no_tsne", why)
        with self._lock:
            if not served.asked:
                served.asked = True
                self._tasks.put(served)
        raise busy("the map is being drawn", 2)

    def start(self) -> None:
        """Begins, in the background, to compute what is computed once."""
        with self._lock:
            if self._thread is None:
                # A daemon: t-SNE knows no way of being interrupted.
                self._thread = threading.Thread(target=self._prepare, daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends the work as soon as that can be."""
        self._stopped.set()
        self._tasks.put(None)
        self.work.stop()
        self.sheets.stop()
        self.films.stop()
        self.reception.stop()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _prepare(self) -> None:
        _give_way()
        try:
            samples = [self._embed(served) for served in self.models]
            for served in self.models:
                served.blender.known().mixture = open_mixture(
                    samples.pop(0), self._cache, served.key
                )
                if self._stopped.is_set():
                    raise StoppedError
            while (task := self._tasks.get()) is not None:
                self._lay_out(task)
        except StoppedError:
            pass

    def _embed(self, served: Served) -> Tensor:
        def progress(done: int) -> None:
            served.done = done
            for _ in range(100):  # requests go first, but not for ever
                if self.work.idle:
                    break
                sleep(0.002)
            if self._stopped.is_set():
                raise StoppedError

        model = served.blender.model
        pictures = self.library.pictures
        means, samples = open_latents(model, pictures, self._cache, served.key, progress)
        atlas = Atlas(means)
        _ = atlas.plane
        served.blender.atlas = atlas
        return samples

    def _lay_out(self, served: Served) -> None:
        name = f"map-{served.key}"
        known = self._cache.load(name, {"layout": (len(self.library), 2)})
        try:
            if known is None:
                known = {"layout": embed_neighbours(served.blender.known().means)}
                self._cache.save(name, known)
            served.layout = known["layout"]
        except Exception as error:  # whatever it is, the rest of the page works without
            served.failed = f"t-SNE failed: {error}"


def _give_way() -> None:
    """Lets other threads go first, where the system knows a thread's priority."""
    if sys.platform == "linux":
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)


def _check(models: Mapping[str, VAE], pictures: Pictures) -> None:
    if not models:
        raise ValueError("`models` (={}) must have at least one model")
    shapes = {name: model.input_shape for name, model in models.items()}
    first, shape = next(iter(shapes.items()))
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(
            f"the mixer shows pictures, of 1 or 3 channels and two sizes; {first} takes {shape}"
        )
    for name, other in shapes.items():
        if other != shape:
            raise ValueError(
                f"all models must take pictures of one size; {first} takes {shape}, "
                f"and {name} {other}"
            )
    if tuple(pictures.images.shape[1:]) != shape:
        raise ValueError(
            f"`pictures` {tuple(pictures.images.shape)} must have the models' shape, "
            f"(N, {', '.join(map(str, shape))})"
        )


def safe_name(title: str) -> str:
    """Returns a title as a file name for downloads: letters, digits and dashes.

    Example:
        >>> safe_name("../cats & dogs.zip")
        'cats-dogs'
    """
    stem = title.rpartition("/")[2].removesuffix(".zip")
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-").lower() or "mix"
