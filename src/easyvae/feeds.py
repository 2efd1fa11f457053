"""From whatever a user calls data to what the training loop reads: batches by epoch."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch.utils.data import DataLoader

from easyvae.data import (
    Batch,
    Batches,
    LoaderBatches,
    Pictures,
    as_pictures,
    check_range,
    split,
    split_loader,
)


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
        fingerprint: Changes with the images or their order; `None` for a loader.
    """

    feed: Feed
    images: int | None
    fingerprint: str | None


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
    say: Callable[[str], None],
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
        say: Called with what the scan of a folder found.

    Returns:
        The sources for training and for validation.

    Raises:
        ValueError: If the data do not fit.
    """

    def open_pictures(kind: Any) -> Pictures:
        pictures = as_pictures(kind, shape)
        if unit_range:
            check_range(pictures)
        if pictures.report is not None:
            say(str(pictures.report))
        return pictures

    def feed(pictures: Pictures, indices: torch.Tensor, *, shuffle: bool) -> Source:
        feed = Batches(
            pictures, indices, batch_size, seed=seed, shuffle=shuffle, rank=rank, world=world
        )
        return Source(feed, len(indices), pictures.fingerprint)

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
        loader = LoaderBatches(data, shape=shape, seed=seed, rank=rank, world=world)
        training = Source(loader, loader.images_per_epoch, None)
    else:
        pictures = open_pictures(data)
        chosen = torch.arange(len(pictures))
        if fraction is not None:
            chosen, rest = split(pictures, fraction, seed)
            held_out = feed(pictures, rest, shuffle=False)
        training = feed(pictures, chosen, shuffle=True)
    if isinstance(validation, DataLoader):
        loader = LoaderBatches(validation, shape=shape, seed=seed, rank=rank, world=world)
        held_out = Source(loader, loader.images_per_epoch, None)
    elif fraction is None and validation is not None:
        pictures = open_pictures(validation)
        held_out = feed(pictures, torch.arange(len(pictures)), shuffle=False)
    return training, held_out
