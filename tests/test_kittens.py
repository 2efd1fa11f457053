"""The built-in kittens: reproducible, and as their factors say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from easyvae.kittens import (
    COATS,
    EYES,
    PATTERNS,
    RANGES,
    draw_kitten_pairs,
    draw_kittens,
    drawing,
    paint_kittens,
)
from easyvae.kittens.canvas import Canvas


@pytest.fixture(scope="module")
def drawn():
    return draw_kittens(1500, size=64, seed=4)


def rgb(code):
    return np.array(list(bytes.fromhex(code)), np.float64)


def coat_named(name):
    return [coat.name for coat in COATS].index(name)


def correlation(a, b):
    return np.corrcoef(a, b)[0, 1]


def place(factors, u, v, size, depth=1.0):
    """Returns the column and row where every kitten has this point of its face."""
    turn = 0.44 * depth * np.sin(np.radians(factors["yaw"])) / 0.7
    u = (u + 0.49 * turn) / (1 + turn * u)
    angle = np.radians(factors["roll"])
    x = (u * np.cos(angle) - v * np.sin(angle)) * factors["zoom"] + factors["shift_x"]
    y = (u * np.sin(angle) + v * np.cos(angle)) * factors["zoom"] + factors["shift_y"] + 0.14
    return ((x + 1) * size / 2).astype(int), ((y + 1) * size / 2).astype(int)


@pytest.mark.parametrize("size", [16, 33, 64, 128])
def test_pictures_are_uint8_of_the_asked_size(size):
    """Any size from 16 up gives `(n, 3, size, size)` uint8 pictures that use most of the range."""
    pictures, factors = draw_kittens(40, size=size)
    assert pictures.shape == (40, 3, size, size)
    assert pictures.dtype == np.uint8
    assert pictures.min() < 60
    assert pictures.max() > 220
    assert all(len(values) == 40 for values in factors.values())


@pytest.mark.parametrize("size", [16, 33, 64, 128])
def test_a_kitten_does_not_depend_on_its_neighbours(size):
    """Kitten number i is the same, bit for bit, in whatever call and chunk it is drawn."""
    n = 2 * drawing._CHUNK_PIXELS // size**2 + 3
    pictures, factors = draw_kittens(n, size=size, seed=9)
    for start, stop in [(0, 1), (1, 4), (n // 2, n), (n - 1, n)]:
        some, some_factors = draw_kittens(stop - start, size=size, seed=9, start=start)
        assert np.array_equal(some, pictures[start:stop])
        for name, values in factors.items():
            assert np.array_equal(some_factors[name], values[start:stop])


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**70), start=st.integers(0, 2**70), n=st.integers(0, 5))
def test_start_counts_on_from_anywhere(seed, start, n):
    """`n` kittens from `start` are the last `n` of `n + 2` from two before, however far out."""
    here = draw_kittens(n, size=16, seed=seed, start=start + 2)[0]
    assert np.array_equal(here, draw_kittens(n + 2, size=16, seed=seed, start=start)[0][2:])


def test_the_size_changes_only_the_resolution():
    """The same kitten drawn twice as large and averaged back looks the same."""
    small, factors = draw_kittens(30, size=64, seed=2)
    large, large_factors = draw_kittens(30, size=128, seed=2)
    averaged = large.reshape(30, 3, 64, 2, 64, 2).mean((3, 5))
    assert np.abs(averaged - small).mean() < 2
    for name, values in factors.items():
        assert np.array_equal(large_factors[name], values)


@pytest.mark.parametrize("size", [16, 33, 64])
def test_windows_only_save_time(size, monkeypatch):
    """Painting the eyes, nose and whiskers over the whole picture changes no pixel."""
    pictures = draw_kittens(300, size=size, seed=5)[0]
    monkeypatch.setattr(Canvas, "window", lambda canvas, *_: canvas)
    assert np.array_equal(draw_kittens(300, size=size, seed=5)[0], pictures)


def test_all_pictures_differ(drawn):
    """No two kittens are alike, and another seed gives others."""
    pictures = drawn[0]
    assert len({picture.tobytes() for picture in pictures}) == len(pictures)
    other = draw_kittens(20, seed=5)[0]
    assert not any(np.array_equal(a, b) for a in other for b in pictures[:50])


def test_drawing_leaves_the_global_state_alone():
    """No random number is taken from numpy's global generator, and no operation is invalid."""
    before = np.random.get_state()[1].copy()
    with np.errstate(divide="raise", over="raise", invalid="raise"):
        draw_kittens(300, size=32, seed=1)
    assert np.array_equal(np.random.get_state()[1], before)


def test_factors_fill_their_ranges(drawn):
    """Every factor in `RANGES` is float32, stays between its bounds and comes near both."""
    for name, (low, high) in RANGES.items():
        values = drawn[1][name]
        assert values.dtype == np.float32
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high


def test_factors_are_independent():
    """No two of the continuous factors follow each other."""
    factors = draw_kittens(5000, size=16)[1]
    related = np.corrcoef([factors[name] for name in RANGES]) - np.eye(len(RANGES))
    assert np.abs(related).max() < 0.08


def test_codes_name_what_suits_the_coat(drawn):
    """Every coat, pattern and eye colour occurs, and only in the pairs the table allows."""
    factors = drawn[1]
    assert set(factors["coat"]) == set(range(len(COATS)))
    assert set(factors["pattern"]) == set(range(len(PATTERNS)))
    assert set(factors["eye_colour"]) == set(range(len(EYES)))
    codes = (factors[name] for name in ("coat", "pattern", "eye_colour"))
    for coat, pattern, eyes in zip(*codes, strict=True):
        assert PATTERNS[pattern] in COATS[coat].patterns.split()
        assert list(EYES)[eyes] in COATS[coat].eyes.split()


def test_the_top_corners_show_the_background(drawn):
    """The colour in the upper corners follows the `background` factor in every channel."""
    pictures, factors = drawn
    corners = np.concatenate([pictures[:, :, :6, :4], pictures[:, :, :6, -4:]], axis=3)
    colour = np.median(corners, axis=(2, 3))
    for channel in range(3):
        assert correlation(colour[:, channel], factors["background"][:, channel]) > 0.95
    assert np.abs(colour - factors["background"]).mean() < 25


@pytest.mark.parametrize("coat", [coat for coat in COATS if "solid" in coat.patterns.split()])
def test_the_forehead_shows_the_fur(drawn, coat):
    """The forehead of a one-coloured kitten has the colour of its coat, give or take the light."""
    pictures, factors = drawn
    column, row = place(factors, 0.0, -0.2, 64)
    forehead = pictures[np.arange(len(pictures)), :, row, column].astype(float)
    plain = factors["pattern"] == PATTERNS.index("solid")
    seen = forehead[plain & (factors["coat"] == coat_named(coat.name))].mean(0)
    assert np.abs(seen - rgb(coat.colours.split()[0])).max() < 20


def test_eyes_have_the_colour_of_the_factor():
    """The most colourful pixel in either eye has the hue of the eye colour."""
    pictures, factors = draw_kittens(400, size=128, seed=6)
    for side in (-1, 1):
        spots = []
        for du in (-0.08, -0.04, 0.0, 0.04, 0.08):
            for dv in (-0.04, 0.0, 0.04, 0.08):
                column, row = place(factors, side * 0.305 + du, 0.015 + dv, 128)
                spots.append(pictures[np.arange(400), :, row, column])
        spots = np.stack(spots, 1).astype(float)  # (n, spots, 3)
        vivid = np.ptp(spots, axis=2).argmax(1)
        seen = spots[np.arange(400), vivid]
        asked = np.stack([rgb(code) for code in EYES.values()])[factors["eye_colour"]]
        seen, asked = (
            (colour - colour.min(1, keepdims=True)) / np.ptp(colour, axis=1)[:, None]
            for colour in (seen, asked)
        )
        assert np.quantile(np.abs(seen - asked).max(1), 0.95) < 0.15


def test_turning_moves_the_nose_sideways():
    """The pink of the nose of a white kitten moves to the side that the head turns to."""
    pictures, factors = draw_kittens(1500, size=64, seed=8)
    white = factors["coat"] == coat_named("white")
    face = pictures[white, :, 38:50, 16:48].astype(float)  # below the eyes, above the chin
    pink = np.maximum(face[:, 0] - face[:, 1] - 40, 0).sum(1)
    found = pink.sum(1) > 0
    middle = (pink[found] @ np.arange(32)) / pink[found].sum(1)
    assert found.mean() > 0.9
    assert correlation(middle, factors["yaw"][white][found]) > 0.85


def test_the_pupils_follow_the_gaze():
    """What is dark in an eye lies to the right when the kitten looks to the right."""
    pictures, factors = draw_kittens(400, size=128, seed=6)
    dark = []
    for du in (-0.075, 0.075):
        column, row = place(factors, 0.305 + du, 0.05, 128)
        dark.append(255.0 - pictures[np.arange(400), :, row, column].mean(1))
    assert correlation(dark[1] - dark[0], factors["gaze_x"]) > 0.5


def test_light_falls_from_its_side(drawn):
    """The cheek that faces the light is the brighter one, in proportion to the light."""
    pictures, factors = drawn
    cheeks = []
    for u in (-0.5, 0.5):
        column, row = place(factors, u, 0.2, 64, depth=0.0)
        cheeks.append(pictures[np.arange(len(pictures)), :, row, column].mean(1))
    plain = np.isin(factors["pattern"], [PATTERNS.index("solid"), PATTERNS.index("points")])
    difference = ((cheeks[1] - cheeks[0]) / (cheeks[1] + cheeks[0]))[plain]
    light = (factors["light_x"] * factors["light_strength"])[plain]
    assert correlation(difference, light) > 0.7


def test_no_kittens_is_allowed():
    """`n` = 0 gives an empty batch with every factor."""
    pictures, factors = draw_kittens(0, size=20)
    assert pictures.shape == (0, 3, 20, 20)
    assert factors.keys() == draw_kittens(1)[1].keys()
    assert factors["background"].shape == (0, 3)


def test_numpy_integers_are_integers():
    """Arguments may be numpy integers."""
    same = draw_kittens(np.int64(2), size=np.uint8(16), seed=np.int32(3), start=np.int8(1))[0]
    assert np.array_equal(same, draw_kittens(2, size=16, seed=3, start=1)[0])


@pytest.mark.parametrize(
    ("name", "value", "error", "message"),
    [
        ("n", -1, ValueError, r"`n` \(=-1\) must be at least 0"),
        ("size", 8, ValueError, r"`size` \(=8\) must be at least 16"),
        ("seed", -5, ValueError, r"`seed` \(=-5\) must be at least 0"),
        ("start", -2, ValueError, r"`start` \(=-2\) must be at least 0"),
        ("n", 2.0, TypeError, r"`n` \(=2.0\) must be an integer"),
        ("size", "64", TypeError, r"`size` \(='64'\) must be an integer"),
        ("seed", None, TypeError, r"`seed` \(=None\) must be an integer"),
        ("start", True, TypeError, r"`start` \(=True\) must be an integer, not a bool"),
    ],
)
def test_a_bad_argument_is_named(name, value, error, message):
    """The error names the argument, its value and the rule."""
    with pytest.raises(error, match=message):
        draw_kittens(**{"n": 1, name: value})


def test_kittens_are_painted_from_their_factors():
    """What was drawn is drawn again, to the bit; one changed factor changes that kitten alone."""
    pictures, factors = draw_kittens(6, size=32, seed=3)
    assert (paint_kittens(factors, size=32) == pictures).all()
    factors["yaw"] = factors["yaw"].copy()
    factors["yaw"][2] = -factors["yaw"][2]
    changed = (paint_kittens(factors, size=32) != pictures).any((1, 2, 3))
    assert changed.tolist() == [False, False, True, False, False, False]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coat": np.array([0, 99, 0])}, r"`factors\['coat'\]` must be whole numbers from 0 to 9"),
        ({"coat": np.array([0.5, 1.0, 2.0])}, "whole numbers"),
        ({"pattern": np.array([-1, 0, 0])}, "whole numbers"),
        ({"yaw": np.zeros(2)}, r"`factors\['yaw'\]` \(2,\)"),
        ({"yaw": np.array([0, np.nan, 0])}, "finite"),
        ({"yaw": np.array(["a", "b", "c"])}, "must be numbers"),
        ({"background": np.zeros(3)}, r"`factors\['background'\]`"),
        ({"beard": np.zeros(3)}, "beard is none"),
    ],
)
def test_factors_of_no_kitten_are_refused(change, message):
    """By their name."""
    _, factors = draw_kittens(3, size=16)
    with pytest.raises(ValueError, match=message):
        paint_kittens(factors | change, size=16)
    del factors["yaw"]
    with pytest.raises(ValueError, match="yaw is missing"):
        paint_kittens(factors, size=16)


def test_a_pair_shares_what_has_no_half_way():
    """Coat, pattern, eyes, wall and markings are one; the middle has the averaged pose."""
    pairs = draw_kitten_pairs(5, size=64, seed=2)
    pictures, factors = draw_kittens(10, size=64, seed=2)
    assert (pairs.first == pictures[0::2]).all()
    second = {
        name: values[0::2] if name in drawing.SHARED_BY_PAIRS else values[1::2]
        for name, values in factors.items()
    }
    assert (pairs.second == paint_kittens(second)).all()
    middle = {
        name: values[0::2]
        if name in drawing.SHARED_BY_PAIRS
        else (values[0::2] + values[1::2]) / np.float32(2)
        for name, values in factors.items()
    }
    assert (pairs.middle == paint_kittens(middle)).all()


def test_pairs_do_not_depend_on_their_number():
    """Pair i is the same however many are drawn beside it."""
    many, few = draw_kitten_pairs(5, size=16), draw_kitten_pairs(2, size=16, start=3)
    assert all((a[3:] == b).all() for a, b in zip(many, few, strict=True))


def test_the_truth_is_nearer_than_a_cross_fade():
    """What is half-way is no average of the two pictures."""
    first, second, middle = (x.astype(float) for x in draw_kitten_pairs(50, size=32))
    fade = ((first + second) / 2 - middle) ** 2
    assert fade.mean() > 100  # of 255 ** 2
