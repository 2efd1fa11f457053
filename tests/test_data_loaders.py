"""A user's DataLoader: streamed as it is, reproducible, and split without leaks."""

import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from easyvae.data import LoaderBatches, split_loader

SHAPE = (1, 2, 2)


def images(count: int) -> Tensor:
    return torch.arange(count, dtype=torch.float32).reshape(count, 1, 1, 1).expand(count, *SHAPE)


def loader(count: int = 20, **options: object) -> "DataLoader[tuple[Tensor, ...]]":
    return DataLoader(TensorDataset(images(count)), **{"batch_size": 4, **options})


def order(batches: LoaderBatches, epoch: int, start: int = 0) -> list[int]:
    return [int(v) for b in batches.epoch(epoch, start) for v in b.images[:, 0, 0, 0]]


class Noisy(Dataset[Tensor]):
    """Rows with random transforms that draw from all three global states."""

    def __len__(self) -> int:
        return 12

    def __getitem__(self, index: int) -> Tensor:
        noise = torch.rand(SHAPE) + random.random() + float(np.random.rand())
        return index + noise


class Stream(IterableDataset[Tensor]):
    def __init__(self, count: int, claim: int) -> None:
        self.count = count
        self.claim = claim

    def __len__(self) -> int:
        return self.claim

    def __iter__(self) -> Iterator[Tensor]:
        return iter(images(self.count))


class Endless(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        while True:
            yield torch.zeros(SHAPE)


def test_streams_every_batch() -> None:
    """The batches are the loader's own, with their sizes."""
    batches = LoaderBatches(loader(18), shape=SHAPE, seed=0)
    assert (len(batches), batches.images_per_epoch) == (5, 18)
    assert order(batches, 0) == list(range(18))
    assert [(b.offset, b.total) for b in batches.epoch(0)] == [(0, 4)] * 4 + [(0, 2)]
    dropping = LoaderBatches(loader(18, drop_last=True), shape=SHAPE, seed=0)
    assert (len(dropping), dropping.images_per_epoch) == (4, 16)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_shuffling_is_a_function_of_seed_and_epoch(workers: int) -> None:
    """Order and random transforms repeat for one seed and epoch, with workers or without."""
    shuffled = DataLoader(Noisy(), batch_size=5, shuffle=True, num_workers=workers)
    batches = LoaderBatches(shuffled, shape=SHAPE, seed=3)

    def epoch(number: int) -> Tensor:
        return torch.cat([batch.images for batch in batches.epoch(number)])

    first, second, third = epoch(0), epoch(1), epoch(0)
    assert torch.equal(first, third)
    assert not torch.equal(first, second)


def test_the_consumers_random_state_is_its_own() -> None:
    """What the consumer draws between batches is what it would draw without a loader."""

    def draws(source: object) -> list[float]:
        torch.manual_seed(1)
        random.seed(1)
        np.random.seed(1)
        found = []
        for _ in source:  # type: ignore[attr-defined] # any iterable
            found += [float(torch.rand(())), random.random(), float(np.random.rand())]
        return found

    batches = LoaderBatches(DataLoader(Noisy(), batch_size=4, shuffle=True), shape=SHAPE, seed=0)
    undisturbed = draws(range(3))
    assert draws(batches.epoch(0)) == undisturbed
    reference = [batch.images for batch in batches.epoch(0)]
    torch.manual_seed(99)
    for expected, batch in zip(reference, batches.epoch(0), strict=True):
        torch.rand(7)
        assert torch.equal(batch.images, expected)


def test_the_users_generator_is_restored() -> None:
    """A generator given to the loader decides nothing, and is as it was afterwards."""
    generator = torch.Generator().manual_seed(7)
    state = generator.get_state()
    batches = LoaderBatches(loader(shuffle=True, generator=generator), shape=SHAPE, seed=0)
    first = order(batches, 0)
    assert torch.equal(generator.get_state(), state)
    generator.manual_seed(8)
    assert order(batches, 0) == first
    for _ in batches.epoch(1):
        assert generator.initial_seed() == 8
        break


def test_start_skips() -> None:
    """Starting at a batch gives the rest of the same epoch."""
    batches = LoaderBatches(loader(18, shuffle=True), shape=SHAPE, seed=0)
    whole = order(batches, 2)
    assert order(batches, 2, start=3) == whole[12:]
    assert order(batches, 2, start=5) == []


@pytest.mark.parametrize(("count", "kept"), [(16, 16), (17, 16), (18, 16), (19, 19)])
def test_ranks_share_each_batch(count: int, kept: int) -> None:
    """Each rank keeps its part; a last batch too small for all ranks is left out."""
    ranks = [
        LoaderBatches(loader(count, shuffle=True), shape=SHAPE, seed=0, rank=rank, world=3)
        for rank in range(3)
    ]
    alone = order(LoaderBatches(loader(count, shuffle=True), shape=SHAPE, seed=0), 0)
    assert ranks[0].images_per_epoch == kept
    parts = list(zip(*(rank.epoch(0) for rank in ranks), strict=True))
    assert len(parts) == len(ranks[0])
    joined = torch.cat([part.images for batch in parts for part in batch])
    assert [int(v) for v in joined[:, 0, 0, 0]] == alone[:kept]


def test_a_loader_without_a_length() -> None:
    """A loader without a length is refused, with what to do, before any other advice is given."""
    endless = DataLoader(Endless(), batch_size=2)
    for use in (
        lambda: LoaderBatches(endless, shape=SHAPE, seed=0),
        lambda: split_loader(endless, 0.1, 0, SHAPE),
    ):
        with pytest.raises(ValueError, match=r"without a length: give .* or pass the data set"):
            use()


def test_an_empty_loader() -> None:
    """A loader that drops all it has is refused."""
    with pytest.raises(ValueError, match="no batch"):
        LoaderBatches(loader(3, drop_last=True), shape=SHAPE, seed=0)


def test_a_loader_that_ends_early() -> None:
    """A loader that yields fewer batches than its length is an error that counts them."""
    batches = LoaderBatches(DataLoader(Stream(6, 20), batch_size=4), shape=SHAPE, seed=0)
    assert batches.images_per_epoch is None
    with pytest.raises(ValueError, match="of length 5 that ended after 2"):
        list(batches.epoch(0))


def test_bad_batches_are_named() -> None:
    """A batch of the wrong shape or with NaN is refused by its number."""
    with pytest.raises(ValueError, match=r"batch 0 of `data` .*resize the images"):
        list(LoaderBatches(loader(), shape=(1, 4, 4), seed=0).epoch(0))
    spoilt = images(20).clone()
    spoilt[9] = float("nan")
    broken = DataLoader(TensorDataset(spoilt), batch_size=4)
    with pytest.raises(ValueError, match="batch 2 of `data` must be finite but row 1"):
        list(LoaderBatches(broken, shape=SHAPE, seed=0).epoch(0))


def test_dictionaries() -> None:
    """Batches {"image": x} are accepted, as rows are."""
    rows = [{"image": image, "label": 1} for image in images(6)]
    data = DataLoader(rows, batch_size=4)  # type: ignore[arg-type] # a list is map-style too
    assert order(LoaderBatches(data, shape=SHAPE, seed=0), 0) == [0, 1, 2, 3, 4, 5]


def test_split_keeps_twins_together() -> None:
    """Identical rows fall on one side, every row on exactly one."""
    data = TensorDataset(torch.cat([images(30), images(30)]))
    train, validation = split_loader(DataLoader(data, batch_size=8), 0.25, 0, SHAPE)
    held_out = [int(v) for v in validation.images[:, 0, 0, 0]]
    trained = order(LoaderBatches(train, shape=SHAPE, seed=0), 0)
    assert not set(held_out) & set(trained)
    assert sorted(held_out + trained) == sorted([*range(30), *range(30)])
    assert len(held_out) in (14, 16)


def test_split_keeps_the_loaders_settings() -> None:
    """The training loader shuffles, collates and drops as the user's did."""
    generator = torch.Generator()

    def double(rows: list[tuple[Tensor]]) -> Tensor:
        return torch.stack([2 * row[0] for row in rows])

    given = loader(
        40, shuffle=True, drop_last=True, generator=generator, collate_fn=double, batch_size=7
    )
    train, validation = split_loader(given, 0.1, 0, SHAPE)
    assert isinstance(train.sampler, RandomSampler)
    assert (train.batch_size, train.drop_last) == (7, True)
    assert train.collate_fn is double
    assert train.generator is generator
    assert len(validation) == 4
    assert all(int(v) % 2 == 0 for v in validation.images[:, 0, 0, 0])
    in_order, _ = split_loader(loader(40), 0.1, 0, SHAPE)
    assert isinstance(in_order.sampler, SequentialSampler)
    assert in_order.sampler.data_source is in_order.dataset


def test_split_depends_on_the_seed_only() -> None:
    """One seed is one split, whatever the global random state, which is left alone."""
    state = torch.get_rng_state()
    a, b, c = (
        split_loader(loader(40, shuffle=True), 0.2, seed, SHAPE)[1].fingerprint
        for seed in (0, 0, 1)
    )
    assert a == b != c
    assert torch.equal(torch.get_rng_state(), state)


DATA = TensorDataset(images(20))
UNSPLITTABLE = {
    "weighted": lambda: DataLoader(DATA, sampler=WeightedRandomSampler([1.0] * 20, 20)),
    "replacement": lambda: DataLoader(DATA, sampler=RandomSampler(DATA, replacement=True)),
    "some": lambda: DataLoader(DATA, sampler=RandomSampler(DATA, num_samples=5)),
    "batch sampler": lambda: DataLoader(
        DATA, batch_sampler=BatchSampler(SequentialSampler(DATA), 4, False)
    ),
    "no batches": lambda: DataLoader(DATA, batch_size=None),
    "iterable": lambda: DataLoader(Stream(20, 20)),
}


@pytest.mark.parametrize("kind", UNSPLITTABLE)
def test_loaders_that_cannot_be_split(kind: str) -> None:
    """A loader that picks rows in a way of its own is refused, with what to pass instead."""
    with pytest.raises(ValueError, match=r"pass `validation=None`, or a second loader"):
        split_loader(UNSPLITTABLE[kind](), 0.1, 0, SHAPE)


def test_split_of_a_loader_that_changes_the_number_of_rows() -> None:
    """A collate function that drops rows makes a split impossible, and the error says so."""
    dropping = loader(20, collate_fn=lambda rows: torch.stack([row[0] for row in rows[1:]]))
    with pytest.raises(ValueError, match="makes 15 images of 20 rows"):
        split_loader(dropping, 0.1, 0, SHAPE)


def digest(source: "DataLoader[Any]", shape: tuple[int, ...] = SHAPE) -> str | None:
    return LoaderBatches(source, shape=shape, seed=0).digest()


@pytest.mark.parametrize("shuffle", [True, False])
def test_the_digest_follows_the_images(shuffle: bool) -> None:
    """It is the same for the same images, wherever a change is among 64 rows, and beyond."""

    def over(rows: Tensor) -> str | None:
        return digest(DataLoader(TensorDataset(rows), batch_size=4, shuffle=shuffle))

    rows = images(50)
    assert over(rows) == over(rows.clone())
    for place in (0, 23, 49):
        changed = rows.clone()
        changed[place, 0, 0, 0] += 1
        assert over(changed) != over(rows)
    many = images(1000)
    changed = many.clone()
    changed[::4] += 1
    assert len({over(many), over(changed), over(many.flip(0)), over(many + 1), over(rows)}) == 5
    changed = many.clone()
    changed[-1] += 1
    assert over(changed) != over(many)


def test_the_digest_reads_few_rows_and_draws_nothing() -> None:
    """Of a large data set it reads 64 rows, twice; every generator stays as it is."""
    rows: list[int] = []

    class Counting(Dataset[Tensor]):
        def __len__(self) -> int:
            return 10_000

        def __getitem__(self, index: int) -> Tensor:
            rows.append(index)
            return torch.full(SHAPE, float(index))

    generator = torch.Generator().manual_seed(3)
    states = torch.get_rng_state(), generator.get_state()
    assert digest(DataLoader(Counting(), batch_size=16, shuffle=True, generator=generator))
    assert len(rows) == 128
    assert rows[:64] == rows[64:]
    assert {0, 9_999} <= set(rows)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert torch.equal(generator.get_state(), states[1])


def test_loaders_that_pick_their_own_rows_are_known_by_their_first_images() -> None:
    """An iterable data set, or a sampler of one's own, has no rows to choose from."""
    weighted = WeightedRandomSampler([1.0] * 40, 40)
    for make in (
        lambda n, shift: DataLoader(Shifted(n, shift), batch_size=4),
        lambda n, shift: DataLoader(TensorDataset(images(n) + shift), 4, sampler=weighted),
    ):
        assert digest(make(40, 0)) == digest(make(40, 0))
        assert digest(make(40, 0)) != digest(make(40, 1))


def test_seeded_transforms_have_a_digest_and_others_have_none() -> None:
    """Where every reading gives other images there is nothing to know them by."""
    assert digest(DataLoader(Noisy(), batch_size=4)) == digest(DataLoader(Noisy(), batch_size=4))

    class Wild(Noisy):
        own = np.random.default_rng()

        def __getitem__(self, index: int) -> Tensor:
            return torch.full(SHAPE, self.own.random())

    assert digest(DataLoader(Wild(), batch_size=4)) is None


def test_images_that_do_not_fit_have_no_digest() -> None:
    """Training names the batch at fault; the digest leaves that to it."""
    assert digest(loader(), shape=(1, 4, 4)) is None


class Shifted(Stream):
    def __init__(self, count: int, shift: int) -> None:
        super().__init__(count, count)
        self.shift = shift

    def __iter__(self) -> Iterator[Tensor]:
        return iter(images(self.count) + self.shift)
