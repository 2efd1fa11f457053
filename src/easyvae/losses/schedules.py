"""Schedules of beta: functions of the share of the training that is done, from 0 to 1.

Since a schedule has no state of its own, a resumed run has the same beta at every step.
"""

from dataclasses import dataclass

from easyvae.core.checks import as_int, as_weight


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
        _check(self.beta, self.share)

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
        _check(self.beta, self.share)
        as_int("cycles", self.cycles)

    def __call__(self, progress: float) -> float:
        """Returns beta for a share of the training done."""
        if progress >= 1:
            return self.beta
        return self.beta * min(1.0, progress * self.cycles % 1 / self.share)


def _check(beta: float, share: float) -> None:
    as_weight("beta", beta)
    if not 0 < share <= 1:
        raise ValueError(f"`share` (={share!r}) must be above 0 and at most 1")
