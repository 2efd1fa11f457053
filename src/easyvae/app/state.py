"""Whether models and a set of pictures can be shown together."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from easyvae.app.background import Preparation
from easyvae.app.errors import RequestError
from easyvae.app.gallery import Library
from easyvae.app.jobs import Worker
from easyvae.app.latent_map import available
from easyvae.app.latents_cache import TensorCache
from easyvae.app.served_model import Served
from easyvae.app.uploads import SECONDS, Reception, Shelf
from easyvae.data import Pictures
from easyvae.data.cache import cache_folder
from easyvae.data.pictures import pieces
from easyvae.model import VAE


def check_models(models: Mapping[str, VAE]) -> tuple[int, ...]:
    """Makes sure that models can be shown side by side.

    Returns:
        The shape that all of them take, (C, H, W).

    Raises:
        ValueError: If they cannot.
    """
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
    return shape


def check_pictures(pictures: Pictures, shape: tuple[int, ...]) -> None:
    """Makes sure that a set can be shown.

    Raises:
        ValueError: If it is empty, of another shape, or not of pictures.
    """
    images = pictures.images
    if not len(images):
        raise ValueError("`pictures` must have at least one picture")
    if tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"`pictures` {tuple(images.shape)} must have the models' shape, "
            f"(N, {', '.join(map(str, shape))})"
        )
    if images.is_floating_point():
        for piece in pieces(images):
            low, high = (float(x) for x in images[piece].aminmax())
            if not (low >= 0 and high <= 1):  # nor NaN
                raise ValueError(
                    f"`pictures` (from {low:g} to {high:g}) must be from 0 to 1, or bytes: "
                    "otherwise it is not known what is black and what is white"
                )


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
