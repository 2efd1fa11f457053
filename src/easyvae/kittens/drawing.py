"""From factors to pictures, as many at a time as the cache holds."""

import operator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from easyvae.kittens.canvas import Canvas
from easyvae.kittens.factors import Array, Factors, check_factors, draw_factors, dress
from easyvae.kittens.parts import LAYERS

_CHUNK_PIXELS = 1 << 16  # 256 KiB per float32 plane: small enough for the cache, large for numpy
SHARED_BY_PAIRS = frozenset(
    {"coat", "pattern", "eye_colour", "background", "marking_x", "marking_y"}
)
"""What the two kittens of a pair share: there is nothing half-way between two of these."""


class KittenPairs(NamedTuple):
    """Pairs of kittens and what is half-way between them, each (n, 3, size, size) in uint8.

    Attributes:
        first: One of each pair.
        second: The other one.
        middle: The kitten of their averaged factors.
    """

    first: NDArray[np.uint8]
    second: NDArray[np.uint8]
    middle: NDArray[np.uint8]


def _integer(name: str, value: int, low: int) -> int:
    """Returns an argument as an int, or says what is wrong with it."""
    if isinstance(value, bool | np.bool_):
        raise TypeError(f"`{name}` (={value}) must be an integer, not a bool")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` (={value!r}) must be an integer") from None
    if number < low:
        raise ValueError(f"`{name}` (={number}) must be at least {low}")
    return number


def draw_kittens(
    n: int, *, size: int = 64, seed: int = 0, start: int = 0
) -> tuple[NDArray[np.uint8], dict[str, Array]]:
    """Draws kittens, and says what each of them was drawn from.

    Kitten number `i` depends on `seed`, `i` and `size` only, to the bit, and at another `size` it
    is the same kitten. So `draw_kittens(10)[0][5:]` equals `draw_kittens(5, start=5)[0]`.

    Args:
        n: How many kittens, at least 0.
        size: Height and width of the pictures, at least 16 pixels.
        seed: Which endless row of kittens, at least 0.
        start: The number of the first kitten in that row, at least 0.

    Returns:
        The pictures, `(n, 3, size, size)`, uint8 RGB, and a dict of the factors. Codes are int64,
        `(n,)`; all else is float32, `(n,)`, uniform over its row of `RANGES`. Lengths are in half
        pictures, right and down are positive, and 1 is an average size:

        - `coat`, `pattern`, `eye_colour`: codes, the places in `COATS`, `PATTERNS` and `EYES`.
          A coat has its own few patterns and eye colours.
        - `background`: red, green and blue of the wall, 0 to 255, `(n, 3)`; `blur_left`,
          `blur_right`: how far down its two blurred lights are, 0 to 1.
        - `yaw`, `roll`: turn of the head to the right and its tilt clockwise, in degrees.
        - `shift_x`, `shift_y`, `zoom`: where the head's centre is, and how large all of it is.
        - `head_width`; `wedge`: from a round to a narrow chin, 0 to 1; `fluff`: tufts, 0 to 1.
        - `ear_width`, `ear_height`; `ear_tilt`: outwards, in degrees.
        - `eye_size`; `eye_slant`: rise to the outer corner per length; `pupil`: width over the
          iris's; `gaze_x`, `gaze_y`: where the eyes look, -1 to 1.
        - `muzzle`, `nose_size`; `nose_tone`: from pink, 0, to the coat's own colour, 1.
        - `whisker_length`; `whisker_droop`: fall per length at the root.
        - `fur_shade`: factor on the fur's colour; `contrast`: strength of stripes and points;
          `white`: how wide a blaze or bib is, 0 to 1; `marking_x`, `marking_y`: where stripes and
          patches fall, in periods.
        - `light_x`: side the light comes from, -1 to 1; `light_strength`: 0 is flat.

    Raises:
        TypeError: If an argument is not an integer; a bool is none.
        ValueError: If an argument is below its least value.

    Example:
        >>> from easyvae.kittens import COATS
        >>> pictures, factors = draw_kittens(5, size=32, seed=1)
        >>> pictures.shape, pictures.dtype
        ((5, 3, 32, 32), dtype('uint8'))
        >>> [COATS[code].name for code in factors["coat"]]
        ['ginger', 'seal', 'silver', 'silver', 'silver']
    """
    n, size = _integer("n", n, 0), _integer("size", size, 16)
    seed, start = _integer("seed", seed, 0), _integer("start", start, 0)
    factors = draw_factors(n, seed, start)
    return _paint(factors, size), factors


def paint_kittens(factors: Factors, *, size: int = 64) -> NDArray[np.uint8]:
    """Draws the kittens that some factors describe.

    Args:
        factors: What `draw_kittens` returns beside the pictures, or the like: every factor, with
            one row per kitten. Codes must be places in their lists; a number outside its row of
            `RANGES` draws a kitten that `draw_kittens` never would.
        size: Height and width of the pictures, at least 16 pixels.

    Returns:
        `(n, 3, size, size)`, uint8 RGB.

    Raises:
        ValueError: If a factor is missing or unknown, has other than n rows, is not finite, or is
            a code of nothing.
        TypeError: If `size` is not an integer.

    Example:
        >>> pictures, factors = draw_kittens(3, size=32)
        >>> bool((paint_kittens(factors, size=32) == pictures).all())
        True
        >>> facing = paint_kittens(factors | {"yaw": np.zeros(3)}, size=32)  # the same, en face
    """
    return _paint(check_factors(factors), _integer("size", size, 16))


def draw_kitten_pairs(n: int, *, size: int = 64, seed: int = 0, start: int = 0) -> KittenPairs:
    """Draws pairs of kittens, and for each pair the kitten that is truly half-way between them.

    The two have one coat, pattern, eye colour and wall, and their markings in one place; all else
    (pose, shape, light, look) is each one's own. Half-way is the kitten of the averaged factors:
    what a mix of the two should look like, see `easyvae.metrics.halfway_score`.

    Pair number `i` is made of kittens `2 i` and `2 i + 1` of `draw_kittens`, the second of them in
    the first one's coat.

    Args:
        n: How many pairs, at least 0.
        size: Height and width of the pictures, at least 16 pixels.
        seed: Which endless row of kittens, at least 0.
        start: The number of the first pair, at least 0.

    Returns:
        `KittenPairs(first, second, middle)`, each `(n, 3, size, size)`, uint8 RGB.

    Raises:
        TypeError: If an argument is not an integer; a bool is none.
        ValueError: If an argument is below its least value.

    Example:
        >>> pairs = draw_kitten_pairs(4, size=32)
        >>> pairs.middle.shape
        (4, 3, 32, 32)
    """
    n, size = _integer("n", n, 0), _integer("size", size, 16)
    seed, start = _integer("seed", seed, 0), _integer("start", start, 0)
    drawn = draw_factors(2 * n, seed, 2 * start)
    first = {name: values[0::2] for name, values in drawn.items()}
    second = {
        name: first[name] if name in SHARED_BY_PAIRS else values[1::2]
        for name, values in drawn.items()
    }
    own = drawn.keys() - SHARED_BY_PAIRS
    middle = first | {name: (first[name] + second[name]) / 2 for name in own}
    return KittenPairs(*(_paint(factors, size) for factors in (first, second, middle)))


def _paint(factors: Factors, size: int) -> NDArray[np.uint8]:
    n = len(factors["coat"])
    pictures = np.empty((n, 3, size, size), np.uint8)
    step = max(1, _CHUNK_PIXELS // size**2)
    for first in range(0, n, step):
        rows = slice(first, first + step)
        canvas = Canvas(dress(factors, rows), size)
        for paint in LAYERS:
            paint(canvas)
        pictures[rows] = np.clip(canvas.pixels + 0.5, 0.0, 255.0).swapaxes(0, 1)
    return pictures
