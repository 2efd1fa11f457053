"""Paths: how evenly they move, and how near they stay to a reference."""

import math
from typing import Any

import pytest
import torch

from easyvae.metrics import evenness, halfway_score, nearest_distance, step_lengths

SPATIAL = pytest.mark.parametrize("spatial", [(20,), (5, 6), (3, 4, 5)])


@SPATIAL
def test_steps_are_root_mean_squares(spatial: tuple[int, ...]) -> None:
    """Of the change of an image's values from one frame to the next."""
    frames = torch.rand(5, 3, 2, *spatial)
    change = frames[1:].double() - frames[:-1].double()
    expected = change.square().flatten(2).mean(2).sqrt()
    assert step_lengths(frames).shape == (4, 3)
    torch.testing.assert_close(step_lengths(frames), expected)


@SPATIAL
def test_a_straight_path_is_even(spatial: tuple[int, ...]) -> None:
    """Equal steps between two images have an evenness of 1, the least."""
    a, b = torch.rand(2, 4, 3, *spatial, dtype=torch.float64)
    t = torch.linspace(0, 1, 7, dtype=torch.float64).reshape(-1, *[1] * a.ndim)
    straight = evenness((1 - t) * a + t * b)
    torch.testing.assert_close(straight, torch.ones(4, dtype=torch.float64))
    assert (evenness((1 - t**2) * a + t**2 * b) > 1.5).all()


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_a_jump_is_as_uneven_as_can_be(steps: int) -> None:
    """One step that goes all the way has as many times the mean as there are steps."""
    frames = torch.zeros(steps + 1, 2, 1, 4, 4)
    frames[-1] = 1
    assert evenness(frames).tolist() == [steps, steps]


def test_a_path_that_does_not_move_is_even() -> None:
    """It has 1, and the other paths their own."""
    frames = torch.rand(4, 3, 1, 5, 5)
    frames[:, 1] = frames[0, 1]
    assert evenness(frames)[1] == 1
    assert (evenness(frames)[[0, 2]] > 1).all()


def test_bytes_are_255ths() -> None:
    """Frames of uint8 are the same as these divided by 255."""
    frames = (torch.rand(4, 2, 3, 5, 5) * 255).byte()
    torch.testing.assert_close(step_lengths(frames), step_lengths(frames.double() / 255))


@pytest.mark.parametrize("shape", [(4, 3, 8), (1, 2, 3, 8, 8), (2, 2, 1, 2, 2, 2, 2)])
def test_frames_have_their_shape(shape: tuple[int, ...]) -> None:
    """At least two frames of batches of images; the error says how to give one path."""
    with pytest.raises(ValueError, match=r"`frames` .* one path is frames\[:, None\]"):
        evenness(torch.rand(shape))


@pytest.mark.parametrize("wrong", [None, [1.0], torch.zeros(3, 2, 1, 4, 4).int()])
def test_frames_are_float_or_bytes(wrong: Any) -> None:
    """Anything else is a TypeError."""
    with pytest.raises(TypeError, match="`frames`"):
        step_lengths(wrong)


@pytest.mark.parametrize("chunk", [1, 7, 64, 1024])
@pytest.mark.parametrize(("n", "m"), [(1, 1), (40, 90), (90, 40)])
def test_nearest_distance_is_the_least(chunk: int, n: int, m: int) -> None:
    """Whatever the chunk, it is the least of all distances."""
    features, reference = torch.randn(n, 5), torch.randn(m, 5)
    pairs = features[:, None].double() - reference[None].double()
    expected = pairs.square().sum(2).sqrt().amin(1)
    torch.testing.assert_close(nearest_distance(features, reference, chunk=chunk), expected)


def test_a_copy_is_at_no_distance() -> None:
    """Exactly zero, also far from the origin, and a near copy has its digits."""
    reference = 1000 + torch.randn(200, 32, dtype=torch.float64)
    assert nearest_distance(reference[50:150], reference).max() == 0
    near = nearest_distance(reference + 1e-9, reference).tolist()
    assert near == pytest.approx([1e-9 * math.sqrt(32)] * 200, rel=0.01)


def test_no_features_have_no_distances() -> None:
    """An empty set gives an empty result."""
    assert nearest_distance(torch.zeros(0, 3), torch.zeros(2, 3)).shape == (0,)


def test_wrong_features_are_refused() -> None:
    """Rows of one length on both sides, and at least one to compare with."""
    with pytest.raises(ValueError, match=r"`reference` \(0, 3\) must have at least 1 row"):
        nearest_distance(torch.zeros(2, 3), torch.zeros(0, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\) and `reference` \(2, 4\) .*one length"):
        nearest_distance(torch.zeros(2, 3), torch.zeros(2, 4))
    with pytest.raises(ValueError, match=r"`features` .*two dimensions"):
        nearest_distance(torch.zeros(2, 3, 4, 4), torch.zeros(2, 3))
    with pytest.raises(TypeError, match="`features` must be a float tensor"):
        nearest_distance(torch.zeros(2, 3).int(), torch.zeros(2, 3))
    with pytest.raises(ValueError, match=r"`chunk` \(=0\)"):
        nearest_distance(torch.zeros(2, 3), torch.zeros(2, 3), chunk=0)


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
