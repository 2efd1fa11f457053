"""What a server of the mixer holds: the models, the set, what was uploaded, and its jobs."""

import re
import threading
from collections.abc import Mapping
from pathlib import Path

from easyvae.app.background import Background
from easyvae.app.errors import RequestError
from easyvae.app.gallery import Gallery
from easyvae.app.jobs import Jobs
from easyvae.app.latents_cache import TensorCache
from easyvae.app.served_model import Served
from easyvae.app.uploads import UploadReader, Uploads
from easyvae.data import Pictures
from easyvae.data.cache import cache_folder
from easyvae.data.pictures import pieces
from easyvae.model import VAE


def check_models(models: Mapping[str, VAE]) -> tuple[int, ...]:
    """Returns the shape that all models take, (C, H, W).

    Raises:
        ValueError: If they cannot be shown side by side.
    """
    if not models:
        raise ValueError("`models` (={}) must have at least one model")
    first = next(iter(models))
    shape = models[first].input_shape
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise ValueError(
            f"the mixer shows pictures, of 1 or 3 channels and two sizes; {first} takes {shape}"
        )
    for name, model in models.items():
        if model.input_shape != shape:
            raise ValueError(
                f"all models must take pictures of one size; {first} takes {shape}, "
                f"and {name} {model.input_shape}"
            )
    return shape


def _check_pictures(pictures: Pictures, shape: tuple[int, ...]) -> None:
    images = pictures.images
    if not len(images):
        raise ValueError("`pictures` must have at least one picture")
    if tuple(images.shape[1:]) != shape:
        raise ValueError(
            f"`pictures` {tuple(images.shape)} must have the models' shape, "
            f"(N, {', '.join(map(str, shape))})"
        )
    for piece in pieces(images) if images.is_floating_point() else ():
        low, high = (float(x) for x in images[piece].aminmax())
        if not (low >= 0 and high <= 1):  # nor NaN
            raise ValueError(
                f"`pictures` (from {low:g} to {high:g}) must be from 0 to 1, or bytes: "
                "otherwise it is not known what is black and what is white"
            )


class Mixer:
    """The state of one application; see `create_app` for the arguments.

    Attributes:
        gallery: The set.
        uploads: The pictures that people have brought.
        models: The models.
        mix_jobs: What the models draw.
        sheet_jobs: What is drawn without them.
        animation_jobs: Animations that are packed: seconds each, which must not hold up a mix.
        upload_reader: Takes pictures in.
    """

    def __init__(
        self,
        models: Mapping[str, VAE],
        pictures: Pictures,
        *,
        title: str,
        cache: Path | None,
        upload_seconds: float,
    ) -> None:
        _check_pictures(pictures, check_models(models))
        self.gallery = Gallery(pictures, title)
        self.uploads = Uploads(self.gallery.shape)
        self.models = [
            Served(name, model.eval(), self.gallery, self.uploads)
            for name, model in models.items()
        ]
        self._cache = TensorCache(cache_folder(cache))
        self._upload_seconds = upload_seconds
        self._background: Background | None = None
        self._lock = threading.Lock()
        self._start_jobs()

    def find(self, model: str) -> Served:
        """Returns a model by its id.

        Raises:
            RequestError: If there is none.
        """
        for served in self.models:
            if served.id == model:
                return served
        raise RequestError(404, "no_such_model", "there is no such model; see /api/info")

    def start(self) -> None:
        """Begins to compute, in the background, what is computed once."""
        with self._lock:
            if self._background is None:
                self._background = Background(
                    self.models, self.gallery.pictures, self._cache, lambda: self.mix_jobs.idle
                )

    def stop(self) -> None:
        """Ends the work as soon as that can be; it can be begun again."""
        self.upload_reader.stop()  # which waits for no decoder
        self.sheet_jobs.stop()
        self.animation_jobs.stop()
        self.mix_jobs.stop(seconds=1)
        self._start_jobs()
        with self._lock:
            background, self._background = self._background, None
        if background is not None:
            background.stop()

    def _start_jobs(self) -> None:
        """Begins anew: jobs stay with one event loop, and are of no use once stopped."""
        self.mix_jobs = Jobs("mix")
        self.sheet_jobs = Jobs("sheets", waiting=128)
        self.animation_jobs = Jobs("animations", waiting=4)
        self.upload_reader = UploadReader(self.uploads, seconds=self._upload_seconds)


def safe_name(title: str) -> str:
    """Returns a title as a file name for downloads: letters, digits and dashes.

    Example:
        >>> safe_name("../cats & dogs.zip")
        'cats-dogs'
    """
    stem = title.rpartition("/")[2].removesuffix(".zip")
    return re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-").lower() or "mix"
