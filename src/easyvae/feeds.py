"""From whatever a user calls data to what the training loop reads: batches by epoch."""

import hashlib
from collections.abc import Iterator
from os import PathLike
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from easyvae.data import (
    Batch,
    Batches,
    LoaderBatches,
    Pictures,
    as_pictures,
    check_range,
    load_pictures,
    split,
    split_loader,
)
from easyvae.reporter import Reporter


class Feed(Protocol):
    """Batches of images, a pure function of the epoch."""

    @property
    def images_per_epoch(self) -> int | None:
        """How many images an epoch has, or `None` where a loader does not tell."""

    def __len__(self) -> int:
        """Returns the number of batches in an epoch."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's part of each batch, from batch `start` on."""


class Source(NamedTuple):
    """A feed and what is known of the data behind it.

    Attributes:
        feed: The batches.
        images: How many images an epoch has, or `None` where a loader does not tell.
        fingerprint: Changes with the images, their order and which of them are used; for a
            loader, with their number.
        batch_size: Images per batch, or `None` where a loader does not tell.
    """

    feed: Feed
    images: int | None
    fingerprint: str
    batch_size: int | None


def prepare_sources(
    data: Any,
    validation: Any,
    shape: tuple[int, ...],
    *,
    batch_size: int,
    seed: int,
    unit_range: bool,
    rank: int,
    world: int,
    say: Reporter,
) -> tuple[Source, Source | None]:
    """Opens the data and sets the validation part aside.

    Args:
        data: Anything that `fit` takes.
        validation: A fraction, anything that `fit` takes as data, or `None`.
        shape: The model's (C, *spatial).
        batch_size: Images per batch over all processes.
        seed: Of the split and the order.
        unit_range: Whether floats must be in [0, 1].
        rank: Which process this is.
        world: How many processes there are.
        say: Told what the scan of a folder finds.

    Returns:
        The sources for training and for validation.

    Raises:
        ValueError: If the data do not fit.
    """

    def open_pictures(kind: Any) -> Pictures:
        if isinstance(kind, str | PathLike):
            pictures = load_pictures(kind, shape, progress=say.scan)
            say.close()
        else:
            pictures = as_pictures(kind, shape)
        if unit_range:
            check_range(pictures)
        if pictures.report is not None:
            say.line(str(pictures.report))
        return pictures

    def feed(pictures: Pictures, indices: torch.Tensor, *, shuffle: bool) -> Source:
        if len(indices) < world:
            name = "data" if shuffle else "validation"
            raise ValueError(f"`{name}` has {len(indices)} images for {world} processes")
        feed = Batches(
            pictures, indices, batch_size, seed=seed, shuffle=shuffle, rank=rank, world=world
        )
        flip = pictures.flip and shuffle
        digest = hashlib.sha256(f"{pictures.fingerprint} {flip}".encode())
        digest.update(indices.numpy().tobytes())
        return Source(feed, feed.images_per_epoch, digest.hexdigest(), batch_size)

    def stream(loader: DataLoader[Any]) -> Source:
        if world > 1 and not _is_whole(loader):
            raise ValueError(
                "`data` is a DataLoader that shares its batches among processes itself; pass a "
                "plain one: `fit` gives each process its part"
            )
        feed = LoaderBatches(loader, shape=shape, seed=seed, rank=rank, world=world)
        known = f"{len(feed)} batches, {feed.images_per_epoch} images"  # all that is cheap to know
        return Source(feed, feed.images_per_epoch, known, loader.batch_size)

    fraction = validation if isinstance(validation, int | float) else None
    if fraction is not None and not 0 < fraction < 1:
        raise ValueError(
            f"`validation` (={fraction!r}) must be a fraction between 0 and 1, data, or None"
        )
    held_out: Source | None = None
    if isinstance(data, DataLoader):
        if fraction is not None:
            data, pictures = split_loader(data, fraction, seed, shape)
            held_out = feed(pictures, torch.arange(len(pictures)), shuffle=False)
        training = stream(data)
    else:
        pictures = open_pictures(data)
        chosen = torch.arange(len(pictures))
        if fraction is not None:
            chosen, rest = split(pictures, fraction, seed)
            held_out = feed(pictures, rest, shuffle=False)
        training = feed(pictures, chosen, shuffle=True)
    if isinstance(validation, DataLoader):
        held_out = stream(validation)
    elif fraction is None and validation is not None:
        others = open_pictures(validation)
        held_out = feed(others, torch.arange(len(others)), shuffle=False)
        if not isinstance(data, DataLoader):
            _warn_of_copies(pictures, others, say)
    return training, held_out


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
