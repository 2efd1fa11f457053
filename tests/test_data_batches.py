"""Splits that keep twins together, and batches that are a function of seed and epoch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from easyvae.data import Batches, Pictures, split


def numbered(values: list[int], flip: bool = False) -> Pictures:
    """Pictures that can be told by their first pixel; equal numbers are equal pictures."""
    images = torch.zeros(len(values), 1, 1, 2)
    images[:, 0, 0, 0] = torch.tensor(values)
    return Pictures(images, flip=flip)


def order(batches: Batches, epoch: int, start: int = 0) -> list[int]:
    return [int(v) for b in batches.epoch(epoch, start) for v in b.images.amax((1, 2, 3))]


@given(
    st.lists(st.integers(0, 20), min_size=2, max_size=80).filter(lambda v: len(set(v)) > 1),
    st.floats(0.01, 0.99),
    st.integers(0, 2**31),
)
def test_split_is_a_partition_without_straddling(
    values: list[int], fraction: float, seed: int
) -> None:
    """Both parts are non-empty, together are everything, and share no picture."""
    train, held_out = (part.tolist() for part in split(numbered(values), fraction, seed))
    assert train
    assert held_out
    assert sorted(train + held_out) == list(range(len(values)))
    assert not {values[i] for i in train} & {values[i] for i in held_out}
    largest = max(values.count(value) for value in values)
    assert abs(len(held_out) - fraction * len(values)) <= largest


@given(st.integers(2, 200), st.floats(0.001, 0.999))
def test_split_size_without_twins(count: int, fraction: float) -> None:
    """Where no two are equal, the validation part is the nearest possible size."""
    _, held_out = split(numbered(list(range(count))), fraction, 0)
    assert len(held_out) == min(max(round(fraction * count), 1), count - 1)


def test_split_depends_on_the_seed_only() -> None:
    """One seed is one division; another seed another; global random state is not touched."""
    pictures = numbered(list(range(100)))
    state = torch.get_rng_state()
    a, b, c = (split(pictures, 0.2, seed)[1].tolist() for seed in (0, 0, 1))
    assert a == b != c
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_fractions_out_of_range(fraction: float) -> None:
    """A fraction must lie strictly between 0 and 1."""
    with pytest.raises(ValueError, match=r"`validation` \(=.*between 0 and 1"):
        split(numbered([1, 2, 3]), fraction, 0)


@pytest.mark.parametrize("values", [[1], [1, 1, 1]])
def test_nothing_to_split(values: list[int]) -> None:
    """One picture, or many of the same, cannot be split; the error says what to pass."""
    with pytest.raises(ValueError, match=r"2 different pictures.*pass `validation=None`"):
        split(numbered(values), 0.5, 0)


def test_an_epoch_visits_every_picture_once() -> None:
    """Every index appears once an epoch, in batches of the size asked for."""
    batches = Batches(numbered(list(range(50))), torch.arange(3, 45), 10, seed=0, shuffle=True)
    assert len(batches) == 5
    assert batches.images_per_epoch == 42
    assert [len(batch.images) for batch in batches.epoch(0)] == [10, 10, 10, 10, 2]
    assert sorted(order(batches, 0)) == list(range(3, 45))
    in_order = Batches(numbered(list(range(50))), torch.arange(3, 45), 10, seed=0, shuffle=False)
    assert order(in_order, 7) == list(range(3, 45))


def test_order_is_a_function_of_seed_and_epoch() -> None:
    """The order changes with seed and epoch, and with nothing else."""
    pictures, indices = numbered(list(range(40))), torch.arange(40)
    state = torch.get_rng_state()
    first = Batches(pictures, indices, 8, seed=0, shuffle=True)
    again = Batches(pictures, indices, 8, seed=0, shuffle=True)
    other = Batches(pictures, indices, 8, seed=1, shuffle=True)
    assert order(first, 3) == order(again, 3) == order(first, 3)
    assert order(first, 3) != order(first, 4)
    assert order(first, 3) != order(other, 3)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("start", range(6))
def test_start_resumes_within_an_epoch(start: int) -> None:
    """Starting at a batch gives the rest of the epoch, mirrored the same way."""
    batches = Batches(numbered(list(range(42)), True), torch.arange(42), 8, seed=5, shuffle=True)
    whole, rest = list(batches.epoch(2)), list(batches.epoch(2, start))
    assert len(rest) == len(whole) - start
    for a, b in zip(whole[start:], rest, strict=True):
        assert torch.equal(a.images, b.images)


def test_mirroring() -> None:
    """About half are mirrored, along the last axis, anew each epoch, and only when shuffling."""
    pictures = numbered(list(range(1, 1001)), flip=True)
    before = pictures.images.clone()
    batches = Batches(pictures, torch.arange(1000), 64, seed=0, shuffle=True)

    def mirrored(epoch: int) -> dict[int, bool]:
        rows = torch.cat([batch.images for batch in batches.epoch(epoch)])
        return {int(row.max()): bool(row[0, 0, 1] > 0) for row in rows}

    assert 400 < sum(mirrored(0).values()) < 600
    assert mirrored(0) == mirrored(0) != mirrored(1)
    assert torch.equal(pictures.images, before)
    still = Batches(pictures, torch.arange(1000), 64, seed=0, shuffle=False)
    assert all(batch.images[:, 0, 0, 1].max() == 0 for batch in still.epoch(0))


@given(st.integers(4, 60), st.integers(4, 20), st.integers(1, 4))
def test_ranks_share_each_batch(count: int, batch_size: int, world: int) -> None:
    """The ranks' parts, in order, are the batch of one process; the parts are even."""
    pictures, indices = numbered(list(range(count)), flip=True), torch.arange(count)
    alone = list(Batches(pictures, indices, batch_size, seed=0, shuffle=True).epoch(1))
    ranks = [
        Batches(pictures, indices, batch_size, seed=0, shuffle=True, rank=rank, world=world)
        for rank in range(world)
    ]
    shared = list(zip(*(rank.epoch(1) for rank in ranks), strict=True))
    last_too_small = count % batch_size in range(1, world)
    assert len(shared) == len(ranks[0]) == len(alone) - last_too_small
    assert ranks[0].images_per_epoch == sum(parts[0].total for parts in shared)
    for whole, parts in zip(alone, shared, strict=False):
        assert torch.equal(torch.cat([part.images for part in parts]), whole.images)
        assert {part.total for part in parts} == {len(whole.images)}
        sizes = [len(part.images) for part in parts]
        assert max(sizes) - min(sizes) <= 1
        assert [part.offset for part in parts] == [sum(sizes[:i]) for i in range(world)]


def test_one_picture_and_large_batches() -> None:
    """One picture is an epoch of one batch, and so is any set smaller than a batch."""
    batches = Batches(numbered([7]), torch.tensor([0]), 128, seed=0, shuffle=True)
    assert len(batches) == 1
    assert order(batches, 0) == [7]


def test_images_come_as_they_are_stored() -> None:
    """uint8 stays uint8, unscaled."""
    pictures = Pictures(torch.full((3, 1, 2, 2), 200, dtype=torch.uint8))
    (batch,) = Batches(pictures, torch.arange(3), 8, seed=0, shuffle=True).epoch(0)
    assert batch.images.dtype == torch.uint8
    assert batch.images.unique().tolist() == [200]


@pytest.mark.parametrize("size", [0, -1, 2.5, True, None])
def test_bad_batch_sizes(size: object) -> None:
    """A batch size must be a whole number of at least 1."""
    with pytest.raises(ValueError, match=r"`batch_size` \(=.*\) must be a whole number"):
        Batches(numbered([1]), torch.arange(1), size, seed=0, shuffle=True)  # type: ignore[arg-type] # the point


def test_too_few_for_every_rank() -> None:
    """A batch size, or a set, smaller than the number of processes is refused."""
    pictures, one = numbered([1, 2, 3]), torch.arange(1)
    with pytest.raises(ValueError, match=r"`batch_size` \(=2\) must be at least 1 for each of 4"):
        Batches(pictures, torch.arange(3), 2, seed=0, shuffle=True, world=4)
    with pytest.raises(ValueError, match=r"holds 1 pictures; each of 2 processes"):
        Batches(pictures, one, 8, seed=0, shuffle=True, world=2)
    with pytest.raises(ValueError, match=r"`rank` \(=2\)"):
        Batches(pictures, torch.arange(3), 8, seed=0, shuffle=True, rank=2, world=2)


def test_split_of_a_large_set_is_quick() -> None:
    """Half a million pictures, many of them twins, are split within seconds."""
    digests = np.random.default_rng(0).integers(0, 2**20, (500_000, 1)).astype(np.uint64)
    digests = np.repeat(digests, 2, axis=1).view(np.uint8)
    pictures = Pictures(torch.empty(500_000, 0), digests=digests)
    _, held_out = split(pictures, 0.1, 0)
    assert len(held_out) == 50_000
