"""A user's own DataLoader: its batches as they come, made a pure function of seed and epoch."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
)

from easyvae.core.seeds import RandomState, generators_of, mixed_seed
from easyvae.data.batches import Batch, check_rank, share, split_digests
from easyvae.data.convert import as_pictures, batch_images
from easyvae.data.pictures import Pictures, digest_rows

PROBE = 64
"""By so many images a loader's data are known again when a run is resumed."""

_INSTEAD = "pass `validation=None`, or a second loader or data set as `validation`"


class LoaderBatches:
    """The batches of a DataLoader, streamed: the interface of `Batches`.

    The loader shuffles and transforms under a random state seeded by (seed, epoch); the global
    states of torch, NumPy and `random`, and any generator the loader was given, are as they were
    whenever the consumer has the turn. Workers that persist over epochs keep their own random
    state, so give random transforms to a loader without `persistent_workers`.

    Args:
        loader: yields `x`, `(x, ...)` or `{"image": x}` with `x` of `(n, *shape)`.
        shape: the model's `(C, *spatial)`.
        seed: of the loader's random state.
        rank: which process this is. Each reads every batch and keeps its own part.
        world: how many processes there are.

    Attributes:
        images_per_epoch: how many images an epoch has, or `None` where the loader does not tell.

    Raises:
        ValueError: the loader has no length, or no batches.

    Example:
        >>> import torch
        >>> loader = DataLoader(torch.zeros(10, 1, 8, 8), batch_size=4, shuffle=True)
        >>> batches = LoaderBatches(loader, shape=(1, 8, 8), seed=0)
        >>> len(batches), batches.images_per_epoch, [batch.total for batch in batches.epoch(0)]
        (3, 10, [4, 4, 2])
    """

    def __init__(
        self,
        loader: "DataLoader[Any]",
        *,
        shape: Sequence[int],
        seed: int,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        batches = _batches_in(loader)
        check_rank(rank, world)
        images = None
        if loader.batch_size is not None and not isinstance(loader.dataset, IterableDataset):
            images = len(loader.sampler)  # type: ignore[arg-type] # len(loader) has asked it too
            last = images % loader.batch_size
            if loader.drop_last:
                images -= last
            elif 0 < last < world:  # too few for every process: left out
                batches, images = batches - 1, images - last
        if batches < 1:
            raise ValueError(
                f"`data` is a DataLoader with no batch for {world} process(es): "
                "it is empty, or `drop_last` drops all there is"
            )
        self.images_per_epoch = images
        self._loader = loader
        self._shape = tuple(shape)
        self._seed = seed
        self._rank = rank
        self._world = world
        self._batches = batches

    def __len__(self) -> int:
        return self._batches

    def sample(self, count: int) -> Tensor:
        """Loads the first `count` images of the first epoch, the same ones in every process."""
        whole = LoaderBatches(self._loader, shape=self._shape, seed=self._seed)
        pieces: list[Tensor] = []
        for batch in whole.epoch(0):
            pieces.append(batch.images)
            if sum(map(len, pieces)) >= count:
                break
        return torch.cat(pieces)[:count]

    def digest(self) -> str | None:
        """Returns a hex digest that changes with the images, at the cost of reading a few twice.

        It covers 64 rows, evenly spread over the data set with the first and the last among
        them; a loader that picks its rows in a way of its own, or has no rows to pick, is known
        by the first 64 images of its first epoch. So data of which a share `f` differs are told
        apart with a probability of `1 - (1 - f) ** 64`: 96 % for a share of 5 %.

        It is `None` where a second reading gives other images than the first, or one that does
        not fit: then there is nothing to know the data by.
        """
        try:
            _check_splittable(self._loader)
            count = len(self._loader.dataset)  # type: ignore[arg-type] # checked just above
            rows = sorted({round(i * (count - 1) / (PROBE - 1)) for i in range(PROBE)})
            probed = _with_rows(self._loader, rows, shuffle=False)
        except ValueError:
            probed = self._loader
        try:
            probe = LoaderBatches(probed, shape=self._shape, seed=self._seed)
            first, second = (digest_rows(probe.sample(PROBE)).tobytes().hex() for _ in range(2))
        except ValueError:  # training will come upon it, and name it by its place
            return None
        return hashlib.sha256(first.encode()).hexdigest() if first == second else None

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's part of each batch of an epoch, from batch `start` on.

        The batches before `start` are loaded too, since only the loader knows what it draws.
        """
        seed = mixed_seed(self._seed, epoch, "loader")
        state = RandomState(seed, generators_of(self._loader))
        with state.active():
            batches = iter(self._loader)
        for number in range(self._batches):
            with state.active():
                batch = next(batches, None)
            if batch is None:
                raise ValueError(
                    f"`data` is a DataLoader of length {len(self._loader)} that ended after "
                    f"{number} batches"
                )
            if number < start:
                continue
            images = batch_images(batch, self._shape, number)
            low, high = share(len(images), self._rank, self._world)
            if len(images) < self._world:
                raise ValueError(
                    f"batch {number} of `data` has {len(images)} images: each of {self._world} "
                    "processes needs one"
                )
            yield Batch(images[low:high], low, len(images))


def split_loader(
    loader: "DataLoader[Any]", fraction: float, seed: int, shape: Sequence[int]
) -> "tuple[DataLoader[Any], Pictures]":
    """Sets a part of a DataLoader's data set aside for validation.

    Every row is read once to find identical ones, and the validation rows once more, to be kept
    in memory. Where transforms are random, identical pictures look different and may straddle
    the split.

    Args:
        loader: over a map-style data set, in order or shuffled.
        fraction: the validation part, strictly between 0 and 1.
        seed: chooses one of the possible divisions.
        shape: the model's `(C, *spatial)`.

    Returns:
        A loader like the one given over the training part, and the validation pictures.

    Raises:
        ValueError: the loader picks its rows in a way of its own, its data set is not map-style,
            or there is nothing to set aside.

    Example:
        >>> import torch
        >>> loader = DataLoader(torch.rand(10, 1, 8, 8), batch_size=4, shuffle=True)
        >>> train, validation = split_loader(loader, 0.2, seed=0, shape=(1, 8, 8))
        >>> len(train.dataset), len(validation)
        (8, 2)
    """
    _check_splittable(loader)
    sizes = tuple(shape)
    count = len(loader.dataset)  # type: ignore[arg-type] # checked just above
    everything = _with_rows(loader, range(count), shuffle=False)
    digests = []
    with RandomState(0, generators_of(loader)).active():
        for number, batch in enumerate(everything):
            digests.append(digest_rows(batch_images(batch, sizes, number)))
    made = sum(map(len, digests))
    if made != count:
        raise ValueError(
            f"`data` is a DataLoader that makes {made} images of {count} rows: {_INSTEAD}"
        )
    train, held_out = split_digests(np.concatenate(digests), fraction, seed)
    validation = as_pictures(_with_rows(loader, held_out.tolist(), shuffle=False), sizes)
    shuffle = isinstance(loader.sampler, RandomSampler)
    return _with_rows(loader, train.tolist(), shuffle=shuffle), validation


def _batches_in(loader: "DataLoader[Any]") -> int:
    """Returns how many batches a loader makes of all its rows, or refuses one that cannot tell."""
    try:
        return len(loader)
    except TypeError as error:
        raise ValueError(
            "`data` is a DataLoader without a length: give its data set a `__len__`, or pass the "
            "data set itself, which is read into memory"
        ) from error


def _check_splittable(loader: "DataLoader[Any]") -> None:
    """Checks that a loader can be rebuilt over a part of its rows without changing its meaning."""
    _batches_in(loader)  # without a length the advice below would not do either
    sampler = loader.sampler
    if isinstance(loader.dataset, IterableDataset) or not hasattr(loader.dataset, "__len__"):
        fault = "its data set is not map-style"
    elif loader.batch_size is None or type(loader.batch_sampler) is not BatchSampler:
        fault = "it has a `batch_sampler` of its own, or none"
    elif type(sampler) not in (SequentialSampler, RandomSampler):
        fault = f"it has a {type(sampler).__name__}"
    elif isinstance(sampler, RandomSampler) and (
        sampler.replacement or sampler.num_samples != len(loader.dataset)
    ):
        fault = "its sampler draws rows with replacement, or only some"
    else:
        return
    raise ValueError(f"`data` is a DataLoader that cannot be split, since {fault}: {_INSTEAD}")


def _with_rows(
    loader: "DataLoader[Any]", rows: Sequence[int], *, shuffle: bool
) -> "DataLoader[Any]":
    """Returns a loader like the one given, over some rows of its data set."""
    kept = (
        *("batch_size", "num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn"),
        *("multiprocessing_context", "prefetch_factor", "persistent_workers"),
    )
    options = {name: getattr(loader, name) for name in kept}
    return DataLoader(
        Subset(loader.dataset, rows),
        shuffle=shuffle,
        drop_last=loader.drop_last and shuffle,
        generator=loader.generator or getattr(loader.sampler, "generator", None),
        **options,
    )
