"""Seeds, and a random state of one's own for code that draws from the global ones."""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def mixed_seed(*parts: int | str) -> int:
    """Returns a seed that is a pure function of all parts, and differs wherever they do.

    Example:
        >>> mixed_seed(0, 1, "order") == mixed_seed(1, 0, "order")
        False
    """
    digest = hashlib.sha256(repr([str(part) for part in parts]).encode()).digest()
    return int.from_bytes(digest[:7], "big")


def generators_of(loader: Any) -> list[torch.Generator]:
    """Returns the generators that a user gave to a loader or its samplers, each once."""
    batch_sampler = getattr(loader, "batch_sampler", None)
    samplers = (getattr(loader, "sampler", None), batch_sampler)
    holders = (loader, *samplers, getattr(batch_sampler, "sampler", None))
    generators = [getattr(holder, "generator", None) for holder in holders]
    return list({id(g): g for g in generators if isinstance(g, torch.Generator)}.values())


class RandomState:
    """Seeded states of torch, NumPy, `random` and some generators, kept apart from the real ones.

    A loader draws from the global state whenever it is asked for a batch; so does whoever uses
    the batches. The two sequences stay apart by changing the state around each request.

    Example:
        >>> state = RandomState(0)
        >>> before = torch.get_rng_state()
        >>> with state.active():
        ...     first = torch.rand(3)
        >>> bool((torch.get_rng_state() == before).all())
        True
    """

    def __init__(self, seed: int, generators: list[torch.Generator] | None = None) -> None:
        self._generators = [torch.default_generator, *(generators or [])]
        outside = self._state()
        random.seed(seed)
        np.random.seed(seed % 2**32)
        for generator in self._generators:
            generator.manual_seed(seed)
        self._inside = self._state()
        self._set(outside)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Draws from these states in the block, and from the real ones again after it."""
        outside = self._state()
        self._set(self._inside)
        try:
            yield
        finally:
            self._inside = self._state()
            self._set(outside)

    def _state(self) -> tuple[Any, Any, list[torch.Tensor]]:
        states = [generator.get_state() for generator in self._generators]
        return random.getstate(), np.random.get_state(), states

    def _set(self, state: tuple[Any, Any, list[torch.Tensor]]) -> None:
        random.setstate(state[0])
        np.random.set_state(state[1])
        for generator, saved in zip(self._generators, state[2], strict=True):
            generator.set_state(saved)
