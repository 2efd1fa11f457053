"""Schedules of beta: functions of the share of the training that is done, from 0 to 1.

Since a schedule has no state of its own, a resumed run has the same beta at every step.
"""

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class LinearWarmup:
    """A schedule that raises beta from 0 to its value and then keeps it.

    Args:
        beta: The last value, at least 0.
        share: The share of the training that the rise takes, above 0 and at most 1.

    Example:
        >>> schedule = LinearWarmup(0.5, share=0.2)
        >>> [schedule(progress) for progress in (0, 0.1, 0.2, 1)]
        [0.0, 0.25, 0.5, 0.5]

    Reference:
        C. Sonderby et al., "Ladder Variational Autoencoders", 2016,
        https://arxiv.org/abs/1602.02282
    """

    beta: float
    share: float = 0.25

    def __post_init__(self) -> None:
        _check_beta(self.beta)
        _check_share("share", self.share)

    def __call__(self, progress: float) -> float:
        """Returns beta for a share of the training done."""
        return self.beta * min(1.0, progress / self.share)


@dataclass(frozen=True)
class Cyclical:
    """A schedule that raises beta from 0 to its value several times over.

    Args:
        beta: The value that each cycle reaches and then keeps, at least 0.
        cycles: How many, at least 1.
        share: The share of a cycle that the rise takes, above 0 and at most 1.

    Example:
        >>> schedule = Cyclical(1.0, cycles=2)
        >>> [schedule(progress) for progress in (0, 0.125, 0.25, 0.49, 0.5, 1)]
        [0.0, 0.5, 1.0, 1.0, 0.0, 1.0]

    Reference:
        H. Fu et al., "Cyclical Annealing Schedule", 2019, https://arxiv.org/abs/1903.10145
    """

    beta: float
    cycles: int = 4
    share: float = 0.5

    def __post_init__(self) -> None:
        _check_beta(self.beta)
        _check_share("share", self.share)
        if isinstance(self.cycles, bool) or not isinstance(self.cycles, int) or self.cycles < 1:
            raise ValueError(f"`cycles` (={self.cycles!r}) must be an integer of at least 1")

    def __call__(self, progress: float) -> float:
        """Returns beta for a share of the training done."""
        if progress >= 1:
            return self.beta
        return self.beta * min(1.0, progress * self.cycles % 1 / self.share)


def _check_beta(beta: float) -> None:
    if not (math.isfinite(beta) and beta >= 0):
        raise ValueError(f"`beta` (={beta!r}) must be finite and at least 0")


def _check_share(name: str, value: float) -> None:
    if not 0 < value <= 1:
        raise ValueError(f"`{name}` (={value!r}) must be above 0 and at most 1")
