"""Which pictures train and which validate, and the batches of each epoch."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easyvae.core.seeds import mixed_seed
from easyvae.data.pictures import Pictures


class Batch(NamedTuple):
    """One process's part of a batch.

    Attributes:
        images: `(n, C, *spatial)`, uint8 or float32, as the store has them.
        offset: how many images of the batch the processes of lower rank hold.
        total: how many images the batch has over all processes.
    """

    images: Tensor
    offset: int
    total: int


def split(pictures: Pictures, fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Divides pictures at random into a training and a validation part.

    Identical pictures stay together: a validation picture with a twin in training would measure
    memory. The validation part has `fraction * N` pictures, or as near as that allows, and
    neither part is empty.

    Args:
        pictures: N pictures.
        fraction: the validation part, strictly between 0 and 1.
        seed: chooses one of the possible divisions.

    Returns:
        The indices for training and for validation, each in ascending order.

    Raises:
        ValueError: the fraction is not between 0 and 1, or there are not two different pictures.

    Example:
        >>> pictures = Pictures(torch.arange(10, dtype=torch.uint8).reshape(10, 1, 1, 1))
        >>> train, validation = split(pictures, 0.2, seed=0)
        >>> len(train), len(validation)
        (8, 2)
    """
    return split_digests(pictures.digests, fraction, seed)


def split_digests(digests: NDArray[np.uint8], fraction: float, seed: int) -> tuple[Tensor, Tensor]:
    """Does what `split` does, given only the digests of the pictures, `(N, 16)`."""
    if not 0 < fraction < 1:
        raise ValueError(
            f"`validation` (={fraction!r}) must be a fraction between 0 and 1, such as 0.1; "
            "pass `validation=None` to train on everything"
        )
    keys = np.ascontiguousarray(digests).view("S16").reshape(-1)  # (N,)
    _, group, sizes = np.unique(keys, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        raise ValueError(
            f"`validation` (={fraction!r}) needs at least 2 different pictures to set one aside, "
            f"not {len(sizes)}: pass `validation=None`"
        )
    target = min(max(round(fraction * len(keys)), 1), len(keys) - 1)
    generator = torch.Generator().manual_seed(mixed_seed(seed, "split"))
    order = torch.randperm(len(sizes), generator=generator).tolist()
    chosen = np.zeros(len(sizes), bool)
    chosen[_fill(order, sizes.tolist(), target)] = True
    held_out = torch.from_numpy(chosen[group.reshape(-1)])  # (N,)
    return (~held_out).nonzero().flatten(), held_out.nonzero().flatten()


def _fill(order: list[int], sizes: list[int], target: int) -> list[int]:
    """Chooses groups, in random `order`, that together have about `target` members."""
    chosen, left, room = [], [], target
    for group in order:
        if sizes[group] <= room:
            chosen.append(group)
            room -= sizes[group]
        else:
            left.append(group)
    # All groups left are larger than the room: one of them may still come nearer the target.
    nearest = min(left, key=lambda group: sizes[group])
    if not chosen or (sizes[nearest] - room < room and len(left) > 1):
        chosen.append(nearest)
    return chosen


class Sample:
    """A few pictures of a store in a random order, read when a slice of them is asked for."""

    def __init__(self, pictures: Pictures, indices: Tensor) -> None:
        self._pictures = pictures
        self._indices = indices

    @property
    def origin(self) -> str | None:
        """What the store was made of, see `Pictures`."""
        return self._pictures.origin

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, rows: slice) -> Tensor:
        return self._pictures.gather(self._indices[rows])


class Batches:
    """The batches of every epoch: a pure function of the seed and the epoch.

    Args:
        pictures: the store.
        indices: which of its pictures to use, `(n,)`.
        batch_size: pictures in a batch, over all processes. The last batch may be smaller.
        seed: of the order and the mirroring. Global random state is neither read nor changed.
        shuffle: draw a new order for each epoch, and mirror pictures if they are to be.
        rank: which process this is.
        world: how many processes share each batch: one contiguous part each, of sizes that
            differ by at most one. A last batch with fewer pictures than processes is left out.

    Raises:
        ValueError: there are no pictures, or too few in a batch for every process to have one.

    Example:
        >>> pictures = Pictures(torch.zeros(10, 3, 8, 8, dtype=torch.uint8))
        >>> batches = Batches(pictures, torch.arange(10), 4, seed=0, shuffle=True)
        >>> [batch.total for batch in batches.epoch(0)]
        [4, 4, 2]
        >>> [batch.total for batch in batches.epoch(0, start=2)]
        [2]
    """

    def __init__(
        self,
        pictures: Pictures,
        indices: Tensor,
        batch_size: int,
        *,
        seed: int,
        shuffle: bool,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"`batch_size` (={batch_size!r}) must be a whole number, at least 1")
        if batch_size < world:
            raise ValueError(
                f"`batch_size` (={batch_size}) must be at least 1 for each of {world} processes"
            )
        check_rank(rank, world)
        if len(indices) < world:
            raise ValueError(
                f"`indices` holds {len(indices)} pictures; each of {world} processes needs one"
            )
        self._pictures = pictures
        self._indices = indices
        self._size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._rank = rank
        self._world = world
        whole, rest = divmod(len(indices), batch_size)
        keep_rest = rest >= world
        self._batches = whole + keep_rest
        self.images_per_epoch = whole * batch_size + rest * keep_rest

    def __len__(self) -> int:
        return self._batches

    def sample(self, count: int) -> Sample:
        """Returns at most `count` random pictures, the same ones in every process."""
        generator = torch.Generator().manual_seed(mixed_seed(self._seed, "sample"))
        order = torch.randperm(len(self._indices), generator=generator)[:count]
        return Sample(self._pictures, self._indices[order])

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yields this process's part of each batch of an epoch, from batch `start` on."""
        generator = torch.Generator().manual_seed(mixed_seed(self._seed, epoch, "batches"))
        order, mirrored = self._indices, None
        if self._shuffle:
            order = order[torch.randperm(len(order), generator=generator)]
            if self._pictures.flip:
                mirrored = torch.rand(len(order), generator=generator) < 0.5
        for number in range(start, self._batches):
            begin = number * self._size
            total = min(self._size, len(order) - begin)
            low, high = share(total, self._rank, self._world)
            mine = slice(begin + low, begin + high)
            images = self._pictures.gather(order[mine])
            if mirrored is not None:
                images[mirrored[mine]] = images[mirrored[mine]].flip(-1)
            yield Batch(images, low, total)


def share(total: int, rank: int, world: int) -> tuple[int, int]:
    """Returns from where to where (exclusive) of `total` items a process takes."""
    size, more = divmod(total, world)
    low = rank * size + min(rank, more)
    return low, low + size + (rank < more)


def check_rank(rank: int, world: int) -> None:
    """Refuses a `rank` that none of `world` processes has."""
    if not 0 <= rank < world:
        raise ValueError(f"`rank` (={rank}) must be at least 0 and below `world` (={world})")
