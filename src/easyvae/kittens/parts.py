"""What is painted, from the back to the front: a wall, a cat in its fur, and its face."""

import numpy as np

from easyvae.kittens.canvas import Canvas, ramp, small_sine, wave
from easyvae.kittens.factors import GLINT, MOUTH, PINK, PUPIL, RIM, Array
from easyvae.kittens.markings import fur_colour


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


def paint_eyes(canvas: Canvas) -> None:
    """Paints both eyes: the dark rim, the iris, the pupil where it looks, and two lights in it."""
    canvas = canvas.window(-0.85, 0.85, -0.3, 0.6)
    kit = canvas.kit
    u = canvas.turned(1.0)
    side = np.copysign(np.float32(1.0), u)
    unit = 1.0 / (0.168 * kit["eye_size"])
    x = (u - 0.305 * side) * unit
    y = (canvas.v - 0.015) * unit + kit["eye_slant"] * x * side
    lid = x * x
    lid = 1.0 - lid * (0.35 + 0.65 * lid)
    opening = np.maximum(-y - 0.92 * lid, y - 0.82 * lid) * (0.75 / unit)
    canvas.paint(canvas.cover(opening - 0.016, 0.012) * 0.9, RIM)
    eye = canvas.cover(opening)
    # The iris is darker at its rim and under the upper lid, and glows where the light comes out.
    glow = 1.02 + 0.30 * y - 0.34 * ramp(x * x + y * y, 0.3, 1.0) - 0.25 * ramp(y, -0.35, -0.85)
    canvas.paint(eye, kit["iris"] * glow)
    px = x - 0.16 * kit["gaze_x"]
    py = y - 0.12 * kit["gaze_y"]
    narrow = kit["pupil"]
    slit = (px / narrow) ** 2 + (py * (1.0 / 0.72)) ** 2
    canvas.paint(eye * canvas.cover((np.sqrt(slit) - 1.0) * narrow / unit), PUPIL)
    lit = 0.26 * np.where(kit["light_x"] < 0, np.float32(-1.0), np.float32(1.0))
    glint = np.sqrt((px - lit) ** 2 + (py + 0.32) ** 2) - 0.24
    canvas.paint(eye * canvas.cover(glint / unit), GLINT)
    glint = np.sqrt((px + lit) ** 2 + (py - 0.38) ** 2) - 0.12
    canvas.paint(eye * canvas.cover(glint / unit) * 0.6, GLINT)


def paint_nose_and_mouth(canvas: Canvas) -> None:
    """Paints the mouth, and the nose with its nostrils and its shine."""
    canvas = canvas.window(-0.65, 0.65, 0.05, 0.85)
    kit = canvas.kit
    u, v = canvas.turned(1.45), canvas.v
    side = np.abs(u)
    # The mouth: two arcs hanging from the line under the nose, as in the letter w.
    arc = (side - 0.085) * (1.0 / 0.085)
    smile = np.abs(v - (0.345 + 0.045 * (1.0 - arc * arc))) * 0.8
    line = np.maximum(smile, side - 0.17)
    philtrum = np.maximum(side, np.abs(v - 0.315) - 0.035)
    mouth = canvas.cover(np.minimum(line, philtrum) - 0.006, 0.012)
    canvas.paint(mouth * 0.62, MOUTH)
    x = u / (0.098 * kit["nose_size"])
    y = (v - 0.245) / (0.062 * kit["nose_size"])
    shape = (x * np.maximum(1.12 + 0.5 * y, 0.5)) ** 2 + y * y  # narrower below
    nose = canvas.cover((np.sqrt(shape) - 1.0) * 0.065, 0.005)
    canvas.paint(nose, kit["nose"] * (1.0 - 0.10 * y))
    nostril = ((np.abs(x) - 0.48) * (1.0 / 0.26)) ** 2 + ((y - 0.3) * (1.0 / 0.28)) ** 2
    canvas.paint(ramp(nostril, 1.6, 0.5) * 0.6 * nose, MOUTH)
    shine = (x * (1.0 / 0.5)) ** 2 + ((y + 0.5) * (1.0 / 0.3)) ** 2
    canvas.paint(ramp(shine, 1.0, 0.2) * 0.35, GLINT)


def paint_whiskers(canvas: Canvas) -> None:
    """Paints three whiskers on either side."""
    canvas = canvas.window(-1.0, 1.0, -0.1, 1.0)
    kit = canvas.kit
    side = np.abs(canvas.turned(1.0)) - 0.15
    far = side * (1.0 / 0.62) / kit["whisker_length"]
    bend = canvas.v - (kit["whisker_droop"] + 0.28 * side) * side
    line = np.abs(bend - 0.30 + 0.13 * side)
    line = np.minimum(line, np.abs(bend - 0.335))
    line = np.minimum(line, np.abs(bend - 0.37 - 0.13 * side))
    fade = ramp(far, 0.0, 0.12) * ramp(far, 1.0, 0.55)
    canvas.paint(canvas.cover(line - 0.002, 0.002) * fade * 0.75, GLINT)


LAYERS = (paint_background, paint_cat, paint_eyes, paint_nose_and_mouth, paint_whiskers)
"""From the back to the front."""
