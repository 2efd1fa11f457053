"""The half-way score: 0 for a cross-fade, 1 for the truth."""

import math

import pytest
import torch

from easyvae.metrics import halfway_score


@pytest.mark.parametrize("spatial", [(20,), (5, 6), (3, 4, 5)])
@pytest.mark.parametrize(("share", "score"), [(0.0, 0.0), (1.0, 1.0), (-0.5, -1.25), (0.5, 0.75)])
def test_the_score_is_the_share_of_the_error_that_is_gone(
    spatial: tuple[int, ...], share: float, score: float
) -> None:
    """From the cross-fade (0) to the truth (1); further away than the fade it is negative."""
    truth = torch.rand(4, 3, *spatial, dtype=torch.float64)
    fade = truth + 0.1
    mix = truth + (1 - share) * (fade - truth)
    found = halfway_score(mix, fade, truth, truth)
    assert found.score == pytest.approx(score)
    assert found.fade == pytest.approx(0.01)
    assert found.mix == pytest.approx(0.01 * (1 - share) ** 2)
    assert found.rebuilt == 0


def test_it_is_measured_against_what_the_model_can_rebuild() -> None:
    """A mix that is as near as the rebuilt truth scores 1, and its error is told."""
    truth = torch.zeros(2, 1, 4, 4)
    found = halfway_score(truth + 0.1, truth + 0.2, truth - 0.1, truth)
    assert found.score == pytest.approx(1)
    assert found.mix == pytest.approx(found.rebuilt)


def test_a_model_that_rebuilds_no_better_than_a_fade_has_no_score() -> None:
    """There is nothing between 0 and 1; the errors are told all the same."""
    truth = torch.zeros(2, 1, 4, 4)
    found = halfway_score(truth, truth + 0.1, truth + 0.1, truth)
    assert math.isnan(found.score)
    assert found.fade == pytest.approx(0.01)


def test_shapes_that_differ_are_refused() -> None:
    """By the argument's name, also where one would broadcast."""
    x = torch.zeros(2, 1, 4, 4)
    with pytest.raises(ValueError, match="`fade`"):
        halfway_score(x, x[:1], x, x)
    with pytest.raises(TypeError, match="`truth`"):
        halfway_score(x, x, x, x.long())
