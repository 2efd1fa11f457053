"""What kittens can be, as data; the factors of each, drawn from its own place in a stream."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

_DRAWS = 48  # random numbers kept for each kitten: whole blocks of 4, some of them spare

Array = NDArray[Any]  # float32, but for the codes, until pictures become uint8
Factors = Mapping[str, Array]


class Coat(NamedTuple):
    """A coat and what goes with it.

    Attributes:
        name: What people call it.
        colours: Red, green and blue of the fur, its marks, its pale parts, and the nose.
        patterns: Some of `PATTERNS`; a name given twice is drawn twice as often.
        eyes: Some of `EYES`, likewise.
    """

    name: str
    colours: str
    patterns: str
    eyes: str


COATS = (
    Coat("ginger", "E8A05C C16A30 FDECD4 E28A80", "tabby tabby bicolour", "amber gold green"),
    Coat("cream", "EED6B2 D8AE7E FBF3E6 E79C92", "tabby solid bicolour", "amber copper blue"),
    Coat("brown", "A48260 523C2C E8D4B8 B87062", "tabby tabby bicolour", "green hazel gold"),
    Coat("silver", "BCBCBE 5C5C64 F2F2F2 CE8680", "tabby tabby bicolour", "green aqua hazel"),
    Coat("blue", "80899A 626A7C EEF0F4 686674", "solid tabby bicolour", "copper gold green"),
    Coat("black", "3E393C 282428 F6F3EE 4A3C40", "solid tuxedo bicolour", "gold green copper"),
    Coat("white", "F0EBE4 E0D4C6 FCF8F2 F0A8A4", "solid", "blue aqua gold"),
    Coat("seal", "EADBC4 5E4438 F2E6D4 543E3A", "points", "blue blue aqua"),
    Coat("calico", "E49A58 3E3636 F6F1EA E4928A", "patches", "gold green amber hazel"),
    Coat("chocolate", "7A5844 543A2E F0E0CC 80544C", "solid tuxedo tabby", "green gold amber"),
)
PATTERNS = ("solid", "tabby", "points", "bicolour", "tuxedo", "patches")
EYES = {
    "amber": "E29E34",
    "gold": "F0C84E",
    "green": "8EBE60",
    "hazel": "B6AE54",
    "copper": "CC7A38",
    "blue": "68A8DE",
    "aqua": "76C4BE",
}
WALLS = "B6C6B0 ACC8DA E4D3B8 E6C4BA C8C0DA 7AA2A4 627082 849672 A08068 8A7088"  # muted, all
# Each is uniform between the two; its row is its place in the stream. New ones go to the end.
RANGES = {
    "yaw": (-25.0, 25.0),
    "roll": (-13.0, 13.0),
    "shift_x": (-0.04, 0.04),
    "shift_y": (-0.03, 0.03),
    "zoom": (1.0, 1.12),
    "head_width": (0.96, 1.06),
    "wedge": (0.0, 1.0),
    "fluff": (0.0, 1.0),
    "ear_width": (0.85, 1.15),
    "ear_height": (0.82, 1.14),
    "ear_tilt": (-8.0, 14.0),
    "eye_size": (0.88, 1.12),
    "eye_slant": (0.0, 0.2),
    "pupil": (0.38, 0.74),
    "gaze_x": (-1.0, 1.0),
    "gaze_y": (-1.0, 1.0),
    "muzzle": (0.85, 1.15),
    "nose_size": (0.85, 1.15),
    "nose_tone": (0.5, 1.0),
    "whisker_length": (0.8, 1.15),
    "whisker_droop": (-0.12, 0.22),
    "fur_shade": (0.94, 1.06),
    "contrast": (0.65, 1.0),
    "white": (0.0, 1.0),
    "marking_x": (0.0, 1.0),
    "marking_y": (0.0, 1.0),
    "light_x": (-1.0, 1.0),
    "light_strength": (0.3, 1.0),
    "blur_left": (0.0, 1.0),
    "blur_right": (0.0, 1.0),
}


def rgb(codes: str) -> Array:
    """Returns hexadecimal colours as rows of red, green and blue."""
    rows: Array = np.array([list(bytes.fromhex(code)) for code in codes.split()], np.float32)
    return rows


# What all kittens share, `(3, 1, 1, 1)` each to go with the channels of a canvas.
PINK, RIM, PUPIL, MOUTH, GLINT = rgb("ECA096 2C2020 161216 442A2A FFFCF8").reshape(5, 3, 1, 1, 1)


def _pick(draw: Array, coat: Array, choices: Sequence[str], names: Iterable[str]) -> Array:
    """Returns one of each coat's choices, as its place among all names."""
    places = list(names)
    # A dozen is a multiple of every row's length, so repeating a row keeps its odds.
    table = [np.resize([places.index(word) for word in row.split()], 12) for row in choices]
    return np.array(table)[coat, (draw * 12).astype(np.int64)]


def draw_factors(n: int, seed: int, start: int) -> dict[str, Array]:
    """Draws the factors of kittens `start` to `start + n - 1`."""
    stream = np.random.Philox(seed)
    stream.advance(start * (_DRAWS // 4))
    bits = stream.random_raw(n * _DRAWS).reshape(n, _DRAWS).T
    # 24 bits are what a float32 below 1 holds exactly: no draw is rounded up to 1.
    draw = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    coat = (draw[0] * len(COATS)).astype(np.int64)
    walls = rgb(WALLS)
    wall, other = walls[(draw[3:5] * len(walls)).astype(np.int64)]
    factors: dict[str, Array] = {
        "coat": coat,
        "pattern": _pick(draw[1], coat, [kind.patterns for kind in COATS], PATTERNS),
        "eye_colour": _pick(draw[2], coat, [kind.eyes for kind in COATS], EYES),
        "background": wall + (0.3 * draw[5])[:, None] * (other - wall),
    }
    for column, (name, (low, high)) in enumerate(RANGES.items(), start=8):
        factors[name] = np.float32(low) + np.float32(high - low) * draw[column]
    return factors


def check_factors(factors: Factors) -> dict[str, Array]:
    """Returns factors as the drawing takes them, or says what is wrong with them."""
    codes = {"coat": COATS, "pattern": PATTERNS, "eye_colour": EYES}
    names = [*codes, "background", *RANGES]
    given = set(factors) if isinstance(factors, Mapping) else set()
    if given != set(names):
        missing, unknown = (", ".join(sorted(x)) for x in (set(names) - given, given - set(names)))
        raise ValueError(
            "`factors` must be a dict of all factors of a kitten, and of nothing else: "
            f"{missing or 'nothing'} is missing, and {unknown or 'nothing'} is none"
        )
    checked: dict[str, Array] = {}
    for name in names:
        values = np.asarray(factors[name])
        n = len(checked["coat"]) if checked else values.size
        shape = (n, 3) if name == "background" else (n,)
        if values.shape != shape or values.dtype.kind not in "iuf":
            raise ValueError(
                f"`factors[{name!r}]` {values.shape} of {values.dtype} must be numbers {shape}, "
                "one row for each kitten"
            )
        if name in codes and (
            values.dtype.kind == "f" or (values < 0).any() or (values >= len(codes[name])).any()
        ):
            most = len(codes[name]) - 1
            raise ValueError(f"`factors[{name!r}]` must be whole numbers from 0 to {most}")
        if not np.isfinite(values).all():
            raise ValueError(f"`factors[{name!r}]` must be finite")
        checked[name] = values.astype(np.int64 if name in codes else np.float32)
    return checked


def dress(factors: Factors, rows: slice) -> dict[str, Array]:
    """Returns the factors in shapes that fit pictures, and the colours they stand for."""
    kit = {name: factors[name][rows, None, None] for name in RANGES}
    kit["pattern"] = factors["pattern"][rows]
    kit["background"] = factors["background"][rows].T[..., None, None]
    kit["iris"] = rgb(" ".join(EYES.values()))[factors["eye_colour"][rows]].T[..., None, None]
    coats = np.stack([rgb(coat.colours) for coat in COATS])[factors["coat"][rows]]
    kit["fur"], kit["mark"], kit["pale"], nose = coats.transpose(1, 2, 0)[..., None, None]
    kit["wisp"] = 0.5 * (kit["fur"] + kit["pale"])
    kit["nose"] = PINK + kit["nose_tone"] * (nose - PINK)
    return kit
