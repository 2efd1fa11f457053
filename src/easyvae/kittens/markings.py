"""The patterns of the coat: where marks and pale fur lie, and the colour of the fur they make.

A pattern is a function of the factors and of the place in the face, across and down. It returns
two masks: how much of the marks' colour is there, then how much of the pale one.
"""

import numpy as np

from easyvae.kittens.canvas import Canvas, ramp, wave
from easyvae.kittens.factors import RANGES, Array, Factors


def _muzzle(kit: Factors, u: Array, v: Array) -> Array:
    """Returns the mask of the whisker pads."""
    pads = ((np.abs(u) - 0.10) / (0.17 * kit["muzzle"])) ** 2
    pads = pads + ((v - 0.335) * (1.0 / 0.15)) ** 2
    return ramp(pads, 1.5, 0.6)


def _solid(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """Returns where marks and pale fur are: a little darker on top, paler on the muzzle."""
    return 0.4 * ramp(v, 0.0, -0.6), 0.15 * _muzzle(kit, u, v)


def _tabby(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """Stripes: the M on the forehead, lines from the eyes to the cheeks, bars on the chest."""
    side = np.abs(u)
    fan = side / (0.62 - 0.55 * np.minimum(v, 0.0))
    crown = ramp(v + 0.06 * wave(fan * 2.2 + kit["marking_y"]), -0.10, -0.26)
    crown *= ramp(side, 0.46, 0.30)
    stripes = crown * ramp(wave(fan * 4.2 + 0.25 + 0.1 * kit["marking_x"]), 0.0, 0.75)
    sweep = v - 0.8 * side + 0.45 * side * side
    lines = ramp(wave(sweep * 4.2 + 0.2 * kit["marking_y"]), 0.0, 0.7)
    lines *= ramp(side, 0.34, 0.56) * ramp(v, -0.30, -0.16)
    stripes = np.maximum(stripes, lines) * kit["contrast"]
    spectacles = ((side - 0.30) * (1.0 / 0.25)) ** 2 + ((v - 0.02) * (1.0 / 0.21)) ** 2
    pale = np.maximum(0.85 * _muzzle(kit, u, v), 0.55 * ramp(spectacles, 1.1, 0.6))
    bib = ramp(side, 0.26, 0.08) * ramp(v, 0.5, 0.62)
    return stripes, np.maximum(pale, 0.45 * bib)


def _points(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """A dark mask around the nose, dark ears."""
    mask = (u * (1.0 / 0.42)) ** 2 + ((v - 0.18) * (1.0 / 0.40)) ** 2
    ears = ramp(v, -0.42, -0.66)
    return np.maximum(ramp(mask, 1.5, 0.15), ears) * kit["contrast"] * 0.92, np.zeros_like(u)


def _bicolour(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """A white blaze that widens to the muzzle, and a white chest."""
    width = 0.05 + 0.10 * kit["white"] + 0.55 * ramp(v, -0.05, 0.42)
    width = width - 0.12 * ramp(v, 0.0, -0.5)
    middle = u + 0.05 * wave(v + kit["marking_x"])
    blaze = ramp(np.abs(middle) - width, 0.035, -0.035)
    return np.zeros_like(u), blaze


def _tuxedo(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """A white muzzle and chest under a dark face."""
    width = (0.10 + 0.12 * kit["white"]) + 0.9 * (v - 0.22)
    return np.zeros_like(u), ramp(np.abs(u) - width, 0.03, -0.03) * ramp(v, 0.14, 0.22)


def _patches(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """Large patches of two colours on white."""
    a, b = kit["marking_x"], kit["marking_y"]
    bend = 0.16 * wave(v * 0.9 + a)
    mark = ramp(wave(u * 0.6 + bend + a) + 0.5 * wave(v * 0.8 - 0.4 * u + b), -0.16, 0.16)
    width = 0.08 + 0.10 * kit["white"] + 0.62 * ramp(v, 0.0, 0.4)
    pale = ramp(np.abs(u + 0.1 * wave(v * 1.1 + b)) - width, 0.035, -0.035)
    return mark, pale


_MARKINGS = (_solid, _tabby, _points, _bicolour, _tuxedo, _patches)  # in the order of `PATTERNS`


def fur_colour(canvas: Canvas) -> Array:
    """Returns the colour of the fur at every pixel, as if all of the picture were fur."""
    kit, u, v = canvas.kit, canvas.turned(1.0), canvas.v
    mark, pale = np.empty_like(u), np.empty_like(u)
    for code, pattern in enumerate(_MARKINGS):
        rows = np.flatnonzero(kit["pattern"] == code)
        if rows.size:
            part = {name: kit[name][rows] for name in RANGES}
            mark[rows], pale[rows] = pattern(part, u[rows], v[rows])
    # Two waves that bend each other out of line look like tufts, and like no grid at any size.
    texture = wave(u * 5.0 + 0.5 * wave(v * 3.0)) * wave(v * 4.0 + 0.6 * wave(u * 3.4))
    texture = kit["fur_shade"] + 0.02 * texture
    colour: Array = np.empty_like(canvas.pixels)
    for out, *tones in zip(colour, kit["fur"], kit["mark"], kit["pale"], strict=True):
        fur = tones[0] + mark * (tones[1] - tones[0])
        np.multiply(fur + pale * (tones[2] - fur), texture, out=out)
    return colour
