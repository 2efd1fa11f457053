"""Warps: changes of pictures that can be made in any measure."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from easyvae.data import Warp

SPATIAL = [(40,), (24, 24), (17, 30), (8, 9, 10)]


def smooth(n: int, spatial: tuple[int, ...]) -> Tensor:
    """Draws smooth images, (n, 2, *spatial): waves, each of its own."""
    axes = [torch.linspace(-1, 1, size) for size in spatial]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1)
    number = torch.randn(n * 2, len(spatial), generator=torch.Generator().manual_seed(3))
    waves = torch.sin(2 * grid @ number.T).movedim(-1, 0)
    return (waves.unflatten(0, (n, 2)) + 1) / 2


def draw(warp: Warp, n: int, spatial: tuple[int, ...], seed: int = 0) -> Any:
    return warp.draw(n, spatial, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("spatial", SPATIAL)
def test_in_no_measure_nothing_changes(spatial: tuple[int, ...]) -> None:
    """At 0 a picture is as it was; at 1 and -1 it is not, and they differ."""
    x = smooth(5, spatial)
    change = draw(Warp(), 5, spatial)
    torch.testing.assert_close(change.apply(x, 0.0), x, atol=1e-4, rtol=0)
    there, back = change.apply(x, 1.0), change.apply(x, -1.0)
    assert there.shape == x.shape
    assert float((there - back).abs().mean()) > 0.01


@pytest.mark.parametrize("spatial", SPATIAL)
def test_the_way_goes_on_evenly(spatial: tuple[int, ...]) -> None:
    """Small steps of the measure are small steps of the picture, of about one size."""
    x = smooth(3, spatial)
    change = draw(Warp(), 3, spatial, seed=1)
    frames = torch.stack([change.apply(x, s) for s in torch.linspace(-1, 1, 21).tolist()])
    steps = (frames[1:] - frames[:-1]).square().mean((1, 2, *range(3, frames.ndim))).sqrt()
    assert float(steps.max()) < 3 * float(steps.min())


def test_each_picture_has_its_own_measure() -> None:
    """A row of measures is each picture's own."""
    x = smooth(4, (12, 12))
    change = draw(Warp(), 4, (12, 12))
    s = torch.tensor([-1.0, 0.3, 0.0, 1.0])
    whole = change.apply(x, s)
    for row in range(4):
        part = change.part(slice(row, row + 1)).apply(x[row : row + 1], float(s[row]))
        torch.testing.assert_close(whole[row : row + 1], part)


@pytest.mark.parametrize("spatial", SPATIAL)
def test_several_measures_at_once_are_one_after_the_other(spatial: tuple[int, ...]) -> None:
    """(k, n) of them give k n pictures: all in the first measure, then all in the second."""
    x = smooth(3, spatial)
    change = draw(Warp(), 3, spatial)
    measures = torch.tensor([[1.0, 1.0, 1.0], [-0.4, 0.0, 2.0]])
    parts = [change.apply(x, row) for row in measures]
    torch.testing.assert_close(change.apply(x, measures), torch.cat(parts))


def test_a_turn_is_a_turn_on_wide_pictures_too() -> None:
    """A bright dot keeps its distance from the centre, in pixels, at any angle."""
    warp = Warp(rotate=20.0, scale=0.0, shift=0.0, elastic=0.0, most=1.0)
    rows, columns = torch.meshgrid(torch.arange(41.0), torch.arange(81.0), indexing="ij")
    x = torch.exp(-((rows - 20) ** 2 + (columns - 55) ** 2) / 18)[None, None].repeat(6, 1, 1, 1)
    turned = draw(warp, 6, (41, 81)).apply(x, 1.0)
    mass = turned / turned.sum((2, 3), keepdim=True)
    down, right = ((mass * (place - place.mean())).sum((1, 2, 3)) for place in (rows, columns))
    distance = torch.hypot(down, right)
    torch.testing.assert_close(distance, torch.full((6,), 15.0), atol=0.2, rtol=0)
    assert float(down.abs().max()) > 2


def test_numbers_are_standard_deviations() -> None:
    """Of the turn, the logarithm of the scale, the shift and the nodes; `most` is a factor."""
    warp = Warp(rotate=20.0, scale=0.2, shift=0.1, elastic=0.05, most=3.0)
    change = draw(warp, 20_000, (8, 8))
    root = math.sqrt(3)  # of the mean square of a number that is uniform from 0 to 3
    angle = change.linear[:, 0, 1].std() * 180 / math.pi
    assert float(angle) == pytest.approx(20 * root, rel=0.05)
    assert float(change.linear[:, 0, 0].std()) == pytest.approx(0.2 * root, rel=0.05)
    assert float(change.shift.std()) == pytest.approx(0.1 * root, rel=0.05)
    assert float(change.nodes.std()) == pytest.approx(0.05 * root, rel=0.05)


def test_values_stay_in_their_range() -> None:
    """Between the values of a picture there are no others: a target of "bce" needs that."""
    x = (torch.rand(8, 1, 16, 16, generator=torch.Generator().manual_seed(0)) < 0.5).float()
    warped = draw(Warp(most=4.0), 8, (16, 16)).apply(x, 1.0)
    assert float(warped.min()) >= 0
    assert float(warped.max()) <= 1


@pytest.mark.parametrize("name", ["rotate", "scale", "shift", "elastic", "most", "until"])
def test_wrong_numbers_are_refused(name: str) -> None:
    """By their name."""
    for value in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match=f"`{name}`"):
            Warp(**{name: value})
    for value in ("a", True, None):
        with pytest.raises(TypeError, match=f"`{name}`"):
            Warp(**{name: value})  # type: ignore[arg-type]  # that is the point


def test_a_grid_has_two_nodes_or_more() -> None:
    """And a whole number of them."""
    for value in (1, 2.5, True):
        with pytest.raises(ValueError, match="`grid`"):
            Warp(grid=value)  # type: ignore[arg-type]  # that is the point


def test_there_is_one_component_or_more() -> None:
    """Or all of them."""
    assert Warp().components is None
    with pytest.raises(ValueError, match="`components`"):
        Warp(components=0)


def test_a_share_is_at_most_one() -> None:
    """Of the training, that is."""
    with pytest.raises(ValueError, match=r"`until` \(=1\.5\) must be a share"):
        Warp(until=1.5)
