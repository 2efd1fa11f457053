"""Schedules of beta: where they start, where they end, and nothing remembered between."""

import math
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from easyvae import VAE, BetaLoss
from easyvae.losses import Cyclical, LinearWarmup

SHARES = st.floats(0.01, 1)
BETAS = st.floats(0, 100)
PROGRESS = st.floats(0, 1)


@given(BETAS, SHARES, PROGRESS)
def test_linear_warmup_is_a_ramp_and_a_plateau(beta: float, share: float, p: float) -> None:
    """It starts at 0, rises in a straight line and stays at beta from `share` on."""
    schedule = LinearWarmup(beta, share)
    assert schedule(0) == 0
    assert schedule(share) == schedule(1) == schedule(1.5) == beta
    assert schedule(p) == pytest.approx(beta * min(1, p / share))


@given(BETAS, SHARES, PROGRESS, PROGRESS)
def test_linear_warmup_never_falls(beta: float, share: float, p: float, q: float) -> None:
    """More of the training done is never less of beta."""
    schedule = LinearWarmup(beta, share)
    assert schedule(min(p, q)) <= schedule(max(p, q)) <= beta


@given(BETAS, st.integers(1, 8), SHARES, st.integers(0, 7), st.floats(0.001, 0.999))
def test_cyclical_repeats_its_first_cycle(
    beta: float, cycles: int, share: float, cycle: int, p: float
) -> None:
    """Within each cycle it is the warm-up of a training as long as the cycle."""
    schedule, once = Cyclical(beta, cycles, share), LinearWarmup(beta, share)
    where = (cycle % cycles + p) / cycles
    assert schedule(where) == pytest.approx(once(p), rel=1e-6, abs=1e-6)
    assert 0 <= schedule(where) <= beta


@given(BETAS, st.sampled_from([1, 2, 4, 8]), SHARES)
def test_cyclical_starts_over_and_ends_high(beta: float, cycles: int, share: float) -> None:
    """Each cycle starts at 0, and the training ends with beta itself."""
    schedule = Cyclical(beta, cycles, share)
    assert [schedule(i / cycles) for i in range(cycles)] == [0] * cycles
    assert schedule(1) == schedule(1.5) == beta


@pytest.mark.parametrize("schedule", [LinearWarmup(0.5), Cyclical(0.5)])
def test_schedules_are_pure(schedule: Callable[[float], float]) -> None:
    """Asked in any order, or after a copy, a schedule gives the same: a run may resume."""
    asked = [0.9, 0.1, 0.5, 1.0, 0.0, 0.1]
    first = [schedule(p) for p in asked]
    assert [schedule(p) for p in reversed(asked)] == first[::-1]
    twin = pickle.loads(pickle.dumps(schedule))
    assert twin == schedule
    assert [twin(p) for p in asked] == first
    with pytest.raises(AttributeError):
        schedule.beta = 3  # type: ignore[attr-defined]  # it is frozen, and that is the point


@pytest.mark.parametrize("schedule", [LinearWarmup(0.5, 0.2), Cyclical(0.5, 3), lambda p: p / 2])
def test_schedules_are_betas(schedule: Callable[[float], float]) -> None:
    """A loss takes a schedule for its beta, and has the last value until `fit` sets another."""
    loss = BetaLoss(schedule)
    assert loss.schedule is schedule
    assert loss.beta == 0.5
    assert [loss.beta_at(p) for p in (0, 0.1, 1)] == [schedule(p) for p in (0, 0.1, 1)]
    model, x = VAE([8], 4, image_size=8), torch.rand(2, 3, 8, 8)
    output = model(x)
    assert torch.equal(loss(output, x), BetaLoss(0.5)(output, x))


def test_a_loss_without_a_schedule_has_one_beta() -> None:
    """A number is the same at any time."""
    assert {BetaLoss(0.25).beta_at(p) for p in (0, 0.5, 1)} == {0.25}


@pytest.mark.parametrize("wrong", [-1.0, math.nan, math.inf])
def test_a_schedule_of_wrong_values_is_refused_where_it_is_used(wrong: float) -> None:
    """A schedule's value has to be a beta: at once at the end, and at each step."""
    with pytest.raises(ValueError, match="`beta`"):
        BetaLoss(lambda p: wrong)
    with pytest.raises(ValueError, match="`beta`"):
        BetaLoss(lambda p: 1.0 if p == 1 else wrong).beta_at(0.5)


@pytest.mark.parametrize("kind", [LinearWarmup, Cyclical])
@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"beta": -1.0}, "beta"),
        ({"beta": math.nan}, "beta"),
        ({"beta": math.inf}, "beta"),
        ({"beta": 1.0, "share": 0}, "share"),
        ({"beta": 1.0, "share": 1.5}, "share"),
        ({"beta": 1.0, "share": math.nan}, "share"),
    ],
)
def test_wrong_arguments_are_refused(kind: Any, arguments: dict[str, Any], name: str) -> None:
    """The message names the argument."""
    with pytest.raises(ValueError, match=f"`{name}`"):
        kind(**arguments)


@pytest.mark.parametrize(
    ("cycles", "error"),
    [(0, ValueError), (-1, ValueError), (1.5, ValueError), (True, TypeError), ("2", TypeError)],
)
def test_wrong_cycles_are_refused(cycles: Any, error: type[Exception]) -> None:
    """Cycles are counted."""
    with pytest.raises(error, match=r"`cycles` \(=.*\) must be an integer of at least 1"):
        Cyclical(1.0, cycles)
