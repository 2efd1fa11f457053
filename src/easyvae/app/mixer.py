"""All that the server holds: the set, the models, the uploads, and who works on what."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from easyvae.app.checking import check_models, check_pictures
from easyvae.app.errors import RequestError
from easyvae.app.latents_cache import TensorCache
from easyvae.app.library import Library
from easyvae.app.neighbours import available
from easyvae.app.preparation import Preparation
from easyvae.app.reception import SECONDS, Reception
from easyvae.app.served import Served
from easyvae.app.shelf import Shelf
from easyvae.app.worker import Worker
from easyvae.data import Pictures
from easyvae.data.cache import cache_folder
from easyvae.model import VAE


class Mixer:
    """What a server of the mixer holds.

    Args:
        models: By name, all with one `input_shape` of 1 or 3 channels and two sizes.
        pictures: The set.
        title: What to call it.
        cache: The cache folder; `None` is `$EASYVAE_CACHE`, or else `~/.cache/easyvae`.
        upload_seconds: How long an upload may take.

    Attributes:
        library: The set.
        shelf: The pictures that people have brought.
        models: The models.
        tsne: Whether there can be a t-SNE map.
        work: Who draws with the models.
        sheets: Who draws without them.
        films: Who packs animations.
        reception: Who takes pictures in.

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
        check_pictures(pictures, check_models(models))
        self.library = Library(pictures, title)
        self.shelf = Shelf(self.library.shape)
        self.models = [
            Served(name, model.eval(), self.library, self.shelf) for name, model in models.items()
        ]
        self.tsne = available(len(pictures))
        self._cache = TensorCache(cache_folder(cache))
        self._upload_seconds = upload_seconds
        self._preparation: Preparation | None = None
        self._lock = threading.Lock()
        self._hire()

    def find(self, model: str) -> Served:
        """Returns a model by its id.

        Raises:
            RequestError: If there is none.
        """
        for served in self.models:
            if served.id == model:
                return served
        raise RequestError(404, "no_such_model", "there is no such model; see /api/info")

    def layout(self, served: Served) -> Tensor:
        """Returns a model's t-SNE map, (N, 2); the first request for it begins the work.

        Raises:
            RequestError: If it is not there yet, or cannot be.
        """
        served.blender.atlas.get()
        if not self.tsne:
            why = "t-SNE needs scikit-learn, and at most 20,000 pictures"
            raise RequestError(404, "no_tsne", why)
        self.start().lay_out(served)
        return served.layout.get()

    def start(self) -> Preparation:
        """Begins, in the background, to compute what is computed once."""
        with self._lock:
            if self._preparation is None:
                self._preparation = Preparation(
                    self.models, self.library.pictures, self._cache, lambda: self.work.idle
                )
            return self._preparation

    def stop(self) -> None:
        """Ends the work as soon as that can be; it can be begun again."""
        self.reception.stop()  # which waits for no decoder
        self.sheets.stop()
        self.films.stop()
        self.work.stop(seconds=1)
        self._hire()
        with self._lock:
            preparation, self._preparation = self._preparation, None
        if preparation is not None:
            preparation.stop()

    def _hire(self) -> None:
        """Takes on workers, who stay with one event loop and are of no use once stopped."""
        self.work = Worker("mix")
        self.sheets = Worker("sheets", waiting=128)
        self.films = Worker("films", waiting=4)  # they take seconds, and must not hold up a mix
        self.reception = Reception(self.shelf, seconds=self._upload_seconds)


def safe_name(title: str) -> str:
    """Returns a title as a file name for downloads: letters, digits and dashes.

    Example:
        >>> safe_name("../cats & dogs.zip")
        'cats-dogs'
    """
    stem = title.rpartition("/")[2].removesuffix(".zip")
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-").lower() or "mix"
