"""The wall, and the cat before it but for its face: body, ears and head in their fur and light."""

import numpy as np

from easyvae.kittens.canvas import Canvas, ramp, small_sine, wave
from easyvae.kittens.markings import fur_colour
from easyvae.kittens.tables import PINK, Array


def paint_background(canvas: Canvas) -> None:
    """Fills the canvas: a wall lit from one side, two blurred lights, darker towards the edge."""
    kit, x, y = canvas.kit, canvas.x, canvas.y
    glow = 1.0 + 0.07 * kit["light_x"] * x - 0.10 * y - 0.07 * (x * x + y * y)
    for side, height in ((-0.72, kit["blur_left"]), (0.74, kit["blur_right"])):
        far = (x - side) ** 2 + (y + 1.0 - 0.9 * height) ** 2
        glow += 0.10 * ramp(far, 0.12, 0.04)
    np.multiply(kit["background"], glow, out=canvas.pixels)


def _ear(canvas: Canvas) -> tuple[Array, Array, Array, Array]:
    """Returns the distances to the ears and to their insides, and the place across and along."""
    kit = canvas.kit
    across = canvas.turned(0.2)
    lean = small_sine(kit["ear_tilt"] + 17.0)
    x = np.abs(across) - 0.40
    y = -0.22 - canvas.v
    along = (y + lean * x) / (0.66 * kit["ear_height"])
    off = x - lean * y
    width = 0.27 * kit["ear_width"]
    # A triangle whose sides bulge a little; below the base it ends, behind the head.
    profile = (1.0 - along) * (1.0 + 0.55 * along)
    outer = np.maximum((np.abs(off) - width * profile) * 0.9, -0.1 - along)
    inner = np.maximum((np.abs(off + 0.015) - width * (0.74 * profile - 0.13)) * 0.9, -along)
    return outer, inner, off, along


def _head(canvas: Canvas) -> tuple[Array, Array]:
    """Returns the distance to the head and how far out of it a pixel lies (0 centre, 1 edge)."""
    kit, v = canvas.kit, canvas.v
    fluff = kit["fluff"]
    cheek = np.clip(1.0 - ((v - 0.2) * (1.0 / 0.32)) ** 2, 0.0, 1.0)
    strand = v * 6.5 - 1.6 * np.abs(canvas.u)
    tuft = (strand - np.floor(strand)) * cheek * (0.055 * fluff)
    width = 0.69 * kit["head_width"] + cheek * (0.02 + 0.05 * fluff) + tuft
    width = width - np.clip(v, 0.0, 2.0) * (0.26 * kit["wedge"])
    out = (canvas.u / width) ** 2 + (v * (1.0 / 0.565)) ** 2
    return (np.sqrt(out) - 1.0) * 0.6, out


def _body(canvas: Canvas) -> Array:
    """Returns the distance to the shoulders and the chest below the head."""
    kit = canvas.kit
    x = np.abs(canvas.x - 0.5 * kit["shift_x"])
    y = canvas.y - 0.42
    slope = 0.46 + 0.62 * y - 0.18 * y * y
    edge = (0.02 * kit["fluff"]) * np.abs(wave(canvas.y * 4.5))
    return np.maximum((x - slope - edge) * 0.8, -y)


def paint_cat(canvas: Canvas) -> None:
    """Paints the body, the ears and the head, with the light that falls on them."""
    kit = canvas.kit
    top = canvas.window(-1.0, 1.0, -1.0, 0.35)  # the ears end there
    rows = slice(0, top.pixels.shape[2])
    distance, out = _head(canvas)
    outer, inner, off, along = _ear(top)
    head, ear = canvas.cover(distance, 0.02), canvas.cover(outer, 0.015)
    shape = np.maximum(canvas.cover(_body(canvas), 0.03), head)
    shape[:, rows] = np.maximum(shape[:, rows], ear)
    # From the back to the front: the chest in the shadow of the head, the ears, the domed head.
    strength = kit["light_strength"]
    side = 0.17 * strength * kit["light_x"]
    shade = 0.86 + side * canvas.x - 0.26 * ramp(out, 1.9, 1.0)
    shade[:, rows] += ear * (0.95 + side * top.u - shade[:, rows])
    dome = side * canvas.u - (0.16 * strength) * canvas.v - 0.13 * out * out
    shade += head * (1.04 + dome - shade)
    canvas.paint(shape, fur_colour(canvas) * shade)
    hollow = canvas.cover(inner, 0.03) * (1.0 - head[:, rows]) * 0.9
    top.paint(hollow, (0.62 * PINK + 0.38 * kit["fur"]) * (0.72 + 0.36 * along))
    # Wisps of pale hair grow from the inner side of the ear and from its base.
    wisp = wave(off * 16.0 + along * 2.0) * 0.2 - off * 2.2 - along
    top.paint(hollow * ramp(wisp, -0.55, 0.1), kit["wisp"])
