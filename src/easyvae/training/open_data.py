"""From whatever a user calls data to what the training loop reads: batches by epoch."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from easyvae.data import (
    Batch,
    Batches,
    Images,
    LoaderBatches,
    Pictures,
    as_pictures,
    check_range,
    load_pictures,
    split,
    split_loader,
)
from easyvae.training.console import Reporter
from easyvae.training.run_folder import Run


class Feed(Protocol):
    """Batches of images, a pure function of the epoch."""

    @property
    def images_per_epoch(self) -> int | None:
        """How many images an epoch has, or `None` where a loader does not tell."""

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""

    def sample(self, count: int) -> Images:
        """Returns at most `count` images, the same ones in every process."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's part of each batch, from batch `start` on."""


class Source(NamedTuple):
    """A feed and what is known of the data behind it.

    Attributes:
        feed: The batches.
        images: How many images an epoch has, or `None` where a loader does not tell.
        fingerprint: Tells what changes with the images, their order and which of them are used.
            For a loader it reads some of them, see `LoaderBatches.digest`.
        batch_size: Images per batch, or `None` where a loader does not tell.
        origin: What was opened to get the images, or `None` where nobody has said.
        share: Which fraction of the data it is, if it was set aside for validation.
    """

    feed: Feed
    images: int | None
    fingerprint: Callable[[], str]
    batch_size: int | None
    origin: str | None = None
    share: float | None = None


@dataclass(frozen=True)
class SourceOpener:
    """Opens data for a run, and sets the validation part aside.

    Attributes:
        shape: The model's (C, *spatial).
        batch_size: Images per batch over all processes.
        seed: Of the split and the order.
        unit_range: Whether floats must be in [0, 1].
        rank: Which process this is.
        world: How many processes there are.
        say: Told what the scan of a folder finds.
    """

    shape: tuple[int, ...]
    batch_size: int
    seed: int
    unit_range: bool
    rank: int
    world: int
    say: Reporter

    def open(self, data: Any, validation: Any) -> tuple[Source, Source | None]:
        """Opens both parts.

        Args:
            data: Anything that `fit` takes.
            validation: A fraction, anything that `fit` takes as data, or `None`.

        Returns:
            The sources for training and for validation.

        Raises:
            ValueError: If the data do not fit.
        """
        fraction = validation if isinstance(validation, int | float) else None
        if fraction is not None and not 0 < fraction < 1:
            raise ValueError(
                f"`validation` (={fraction!r}) must be a fraction between 0 and 1, data, or None"
            )
        held_out: Source | None = None
        pictures: Pictures | None = None
        if isinstance(data, DataLoader):
            if fraction is not None:
                data, others = split_loader(data, fraction, self.seed, self.shape)
                held_out = self._feed(others, torch.arange(len(others)), shuffle=False)
                held_out = held_out._replace(share=float(fraction))
            training = self._stream(data)
        else:
            pictures = self._pictures(data)
            chosen = torch.arange(len(pictures))
            if fraction is not None:
                chosen, rest = split(pictures, fraction, self.seed)
                held_out = self._feed(pictures, rest, shuffle=False)
                held_out = held_out._replace(share=float(fraction))
            training = self._feed(pictures, chosen, shuffle=True)
        if isinstance(validation, DataLoader):
            held_out = self._stream(validation)
        elif fraction is None and validation is not None:
            with _named("validation"):
                others = self._pictures(validation)
            held_out = self._feed(others, torch.arange(len(others)), shuffle=False)
            if pictures is not None:
                _warn_of_copies(pictures, others, self.say)
        return training, held_out

    def _pictures(self, kind: Any) -> Pictures:
        if isinstance(kind, str | PathLike):
            try:
                pictures = load_pictures(kind, self.shape, progress=self.say.scan)
            finally:
                self.say.close()
        else:
            pictures = as_pictures(kind, self.shape)
        if self.unit_range:
            check_range(pictures)
        if pictures.report is not None:
            self.say.line(str(pictures.report))
        return pictures

    def _feed(self, pictures: Pictures, indices: Tensor, *, shuffle: bool) -> Source:
        if len(indices) < self.world:
            name = "data" if shuffle else "validation"
            raise ValueError(f"`{name}` has {len(indices)} images for {self.world} processes")
        feed = Batches(
            pictures,
            indices,
            self.batch_size,
            seed=self.seed,
            shuffle=shuffle,
            rank=self.rank,
            world=self.world,
        )
        digest = hashlib.sha256(f"{pictures.fingerprint} {pictures.flip and shuffle}".encode())
        digest.update(indices.numpy().tobytes())
        known = digest.hexdigest
        return Source(feed, feed.images_per_epoch, known, self.batch_size, pictures.origin)

    def _stream(self, loader: "DataLoader[Any]") -> Source:
        if self.world > 1 and not _is_whole(loader):
            raise ValueError(
                "`data` is a DataLoader that shares its batches among processes itself; pass a "
                "plain one: `fit` gives each process its part"
            )
        feed = LoaderBatches(
            loader, shape=self.shape, seed=self.seed, rank=self.rank, world=self.world
        )

        def fingerprint() -> str:
            sampler = type(getattr(loader, "sampler", None)).__name__
            known = f"{len(feed)} batches, {feed.images_per_epoch} images, {sampler}"
            digest = feed.digest()
            if digest is None:
                self.say.line(
                    "the DataLoader gives other images at every reading: when this run is "
                    "resumed, other data will be noticed by their number only"
                )
            return f"{known}, {digest}"

        return Source(feed, feed.images_per_epoch, fingerprint, loader.batch_size)


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Lets errors about images call the argument by its name."""
    try:
        yield
    except (ValueError, TypeError) as error:
        if type(error) not in (ValueError, TypeError):  # an ImageError, or one of the user's own
            raise
        raise type(error)(str(error).replace("`data`", f"`{name}`")) from error


def _is_whole(loader: "DataLoader[Any]") -> bool:
    """Tells whether every process that reads this loader gets all of its images."""
    if isinstance(getattr(loader, "sampler", None), DistributedSampler):
        return False
    return not type(loader).__module__.startswith("accelerate.")


def _warn_of_copies(training: Pictures, held_out: Pictures, say: Reporter) -> None:
    """Says how many of the pictures for validation are among those for training."""
    known = {row.tobytes() for row in training.digests}
    copies = sum(row.tobytes() in known for row in held_out.digests)
    if copies:
        say.line(
            f"{copies:,} of the {len(held_out):,} pictures for validation are also used for "
            "training: what they measure is memory"
        )


class Division(NamedTuple):
    """What a run has made of a set of pictures; each part is in a random order.

    Attributes:
        training: Those that it was trained on.
        held_out: Those that it held out; `None` if it was trained on all of them.
    """

    training: Images
    held_out: Images | None


def divide_as_run(pictures: Pictures, run: Run) -> Division | None:
    """Divides pictures as a run has divided them, if it was trained on just these.

    Args:
        pictures: The pictures, read as the run has read them.
        run: The settings of the run.

    Returns:
        The division, or `None` where the run was trained on other data.
    """
    shape, count = tuple(pictures.images.shape[1:]), len(pictures)
    opener = SourceOpener(
        shape=shape,
        batch_size=1,
        seed=run.seed,
        unit_range=False,
        rank=0,
        world=1,
        say=Reporter(enabled=False),
    )
    if run.validation_share is not None:
        try:
            training, held_out = opener.open(pictures, run.validation_share)
        except ValueError:  # they cannot be divided so, as all copies of one picture
            return None
        if held_out is None or held_out.fingerprint() != run.validation:
            return None
        return Division(training.feed.sample(count), held_out.feed.sample(count))
    for flip in (False, True):  # the fingerprint tells whether pictures were mirrored
        training, _ = opener.open(as_pictures(pictures, shape, flip=flip), None)
        if training.fingerprint() == run.data:
            return Division(training.feed.sample(count), None)
    return None
