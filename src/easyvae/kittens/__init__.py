"""The built-in data set: kittens drawn with numpy, with known factors.

A kitten is a few dozen numbers (its factors) and a drawing made of signed distances: every part is
a function of the position in the face that is negative inside the part and positive outside, so
that one clipped division turns it into a soft-edged mask at any size. Only `+ - * /`, `sqrt` and
rounding touch the pixels: the same kitten has the same bits however many are drawn beside it.
"""

from easyvae.kittens.drawing import KittenPairs, draw_kitten_pairs, draw_kittens, paint_kittens
from easyvae.kittens.factors import COATS, EYES, PATTERNS, RANGES, Coat

__all__ = [
    "COATS",
    "EYES",
    "PATTERNS",
    "RANGES",
    "Coat",
    "KittenPairs",
    "draw_kitten_pairs",
    "draw_kittens",
    "paint_kittens",
]
