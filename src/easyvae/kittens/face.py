"""The features of the face, each painted in its own window: eyes, nose and mouth, whiskers."""

import numpy as np

from easyvae.kittens.canvas import Canvas, ramp
from easyvae.kittens.tables import GLINT, MOUTH, PUPIL, RIM


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
