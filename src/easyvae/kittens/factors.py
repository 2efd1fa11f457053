"""The factors of each kitten, drawn from its own place in a stream, and the colours they mean."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from easyvae.kittens.markings import PATTERNS
from easyvae.kittens.tables import COATS, EYES, PINK, RANGES, WALLS, Array, Factors, rgb

_DRAWS = 48  # random numbers kept for each kitten: whole blocks of 4, some of them spare


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
    if not isinstance(factors, Mapping) or factors.keys() != set(names):
        given = set(factors) if isinstance(factors, Mapping) else set()
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
        if name in codes and not (values.dtype.kind in "iu" and _within(values, len(codes[name]))):
            most = len(codes[name]) - 1
            raise ValueError(f"`factors[{name!r}]` must be whole numbers from 0 to {most}")
        if not np.isfinite(values).all():
            raise ValueError(f"`factors[{name!r}]` must be finite")
        checked[name] = values.astype(np.int64 if name in codes else np.float32)
    return checked


def _within(values: Array, count: int) -> bool:
    return bool(((values >= 0) & (values < count)).all())


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
