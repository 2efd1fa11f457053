"""From whatever a user calls data to what the training loop reads: batches by epoch."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.data.distributed import DistributedSampler

from easyvae.data import (
    Batches,
    LoaderBatches,
    Pictures,
    as_pictures,
    check_range,
    load_pictures,
    split,
    split_loader,
)
from easyvae.data.built_in import kittens_in, load_kittens
from easyvae.training.console import Console
from easyvae.training.distributed import SingleProcess

Feed: TypeAlias = Batches | LoaderBatches
"""Batches of images, a pure function of the epoch."""


class Part(NamedTuple):
    """Batches, and what is known of the data behind them; a loader may not tell their numbers.

    The fingerprint changes with the images, their order and which of them are used. For a loader
    it reads some of them, see `LoaderBatches.digest`.
    """

    feed: Feed
    images: int | None  # in an epoch
    fingerprint: Callable[[], str]
    batch_size: int | None
    origin: str | None = None  # what was opened to get the images, if anybody has said
    share: float | None = None  # which fraction of the data it is, if it was set aside


@dataclass(frozen=True)
class DataOpener:
    """Opens data for a run, and sets the validation part aside."""

    shape: tuple[int, ...]  # the model's (C, *spatial)
    batch_size: int  # over all processes
    seed: int  # of the split and the order
    unit_range: bool  # whether floats must be in [0, 1]
    processes: SingleProcess  # that share the batches
    console: Console  # told what the scan of a folder finds

    def open(self, data: Any, validation: Any) -> tuple[Part, Part | None]:
        """Opens what `fit` takes for training and for validation, in all processes.

        The first fills the cache that the others find.
        """

        def open_in_turn() -> tuple[Part, Part | None]:
            with self.processes.first_alone():
                return self._open(data, validation)

        return self.processes.together(open_in_turn, "opening the data")

    def _open(self, data: Any, validation: Any) -> tuple[Part, Part | None]:
        fraction = validation if isinstance(validation, int | float) else None
        if fraction is not None and not 0 < fraction < 1:
            raise ValueError(
                f"`validation` (={fraction!r}) must be a fraction between 0 and 1, data, or None"
            )
        held_out: Part | None = None
        pictures: Pictures | None = None
        if isinstance(data, DataLoader):
            if fraction is not None:
                data, others = split_loader(data, fraction, self.seed, self.shape)
                held_out = self._feed(others, share=float(fraction))
            training = self._stream(data)
        else:
            pictures = self._pictures(data)
            chosen = None
            if fraction is not None:
                chosen, rest = split(pictures, fraction, self.seed)
                held_out = self._feed(pictures, rest, share=float(fraction))
            training = self._feed(pictures, chosen, shuffle=True)
        if isinstance(validation, DataLoader):
            held_out = self._stream(validation)
        elif fraction is None and validation is not None:
            try:
                others = self._pictures(validation)
            except (ValueError, TypeError) as error:
                if type(error) not in (ValueError, TypeError):  # an ImageError, or a user's own
                    raise
                raise type(error)(str(error).replace("`data`", "`validation`")) from error
            held_out = self._feed(others)
            if pictures is not None:
                _warn_of_copies(pictures, others, self.console)
        return training, held_out

    def _pictures(self, data: Any) -> Pictures:
        pictures = open_pictures(data, self.shape, console=self.console)
        if self.unit_range:
            check_range(pictures)
        if pictures.report is not None:
            self.console.line(str(pictures.report))
        return pictures

    def _feed(
        self,
        pictures: Pictures,
        indices: Tensor | None = None,
        *,
        shuffle: bool = False,
        share: float | None = None,
    ) -> Part:
        indices = torch.arange(len(pictures)) if indices is None else indices
        rank, world = self.processes.rank, self.processes.world
        if len(indices) < world:
            name = "data" if shuffle else "validation"
            raise ValueError(f"`{name}` has {len(indices)} images for {world} processes")
        feed = Batches(
            pictures,
            indices,
            self.batch_size,
            seed=self.seed,
            shuffle=shuffle,
            rank=rank,
            world=world,
        )
        digest = hashlib.sha256(f"{pictures.fingerprint} {pictures.flip and shuffle}".encode())
        digest.update(indices.numpy().tobytes())
        images = feed.images_per_epoch
        return Part(feed, images, digest.hexdigest, self.batch_size, pictures.origin, share)

    def _stream(self, loader: "DataLoader[Any]") -> Part:
        rank, world = self.processes.rank, self.processes.world
        shared = isinstance(getattr(loader, "sampler", None), DistributedSampler)
        if world > 1 and (shared or type(loader).__module__.startswith("accelerate.")):
            raise ValueError(
                "`data` is a DataLoader that shares its batches among processes itself; pass a "
                "plain one: `fit` gives each process its part"
            )
        feed = LoaderBatches(loader, shape=self.shape, seed=self.seed, rank=rank, world=world)

        def fingerprint() -> str:
            sampler = type(getattr(loader, "sampler", None)).__name__
            digest = feed.digest()
            if digest is None:
                self.console.line(
                    "the DataLoader gives other images at every reading: when this run is "
                    "resumed, other data will be noticed by their number only"
                )
            return f"{len(feed)} batches, {feed.images_per_epoch} images, {sampler}, {digest}"

        return Part(feed, feed.images_per_epoch, fingerprint, loader.batch_size)


def open_pictures(
    data: Any,
    shape: tuple[int, ...],
    *,
    flip: bool = False,
    copies: Literal["drop", "keep"] = "drop",
    built_in: bool = False,
    start: int = 0,
    console: Console | None = None,
) -> Pictures:
    """Opens whatever a user calls data as one store: the one place that tells what it is.

    Args:
        data: A folder or zip of pictures, a tensor, an array, a data set, a loader, or `Pictures`.
        shape: (C, *spatial) of the model.
        flip: Mirror pictures at random, in training only.
        copies: Whether byte-identical files are left out.
        built_in: Whether `kittens` and `kittens:N` are the built-in set, as in the command line,
            and not a path.
        start: The number of the first kitten.
        console: Shown how far the reading of a folder is.
    """
    if not isinstance(data, str | PathLike):
        return as_pictures(data, shape, flip=flip)
    if built_in and kittens_in(str(data)) is not None:
        return load_kittens(str(data), shape, flip=flip, start=start)
    console = console or Console(enabled=False)
    try:
        return load_pictures(data, shape, flip=flip, copies=copies, progress=console.scan)
    finally:
        console.close()


def _warn_of_copies(training: Pictures, held_out: Pictures, console: Console) -> None:
    trained_on = {row.tobytes() for row in training.digests}
    copies = sum(row.tobytes() in trained_on for row in held_out.digests)
    if copies:
        console.line(
            f"{copies:,} of the {len(held_out):,} pictures for validation are also used for "
            "training: what they measure is memory"
        )
