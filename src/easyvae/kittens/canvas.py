"""The drawing primitives: smooth curves, and a canvas that knows its pixels' place in the face."""

import numpy as np

from easyvae.kittens.factors import Array, Factors


def wave(turns: Array) -> Array:
    """Returns a sine made of two parabolas; the period is 1."""
    phase = turns - np.rint(turns)
    sine: Array = phase * (8.0 - 16.0 * np.abs(phase))
    return sine


def ramp(value: Array, low: float, high: float) -> Array:
    """Returns 0 where `value` is at `low`, 1 where it is at `high`, and a smooth step between."""
    t = np.clip((value - low) * (1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def small_sine(degrees: Array) -> Array:
    """Returns the sine of small angles by its series: exact to a float32 below 30 degrees."""
    a = degrees * np.float32(np.pi / 180)
    return a * (1.0 - a * a * (1.0 / 6 - a * a * (1.0 / 120)))


class Canvas:
    """A chunk of pictures being painted, and where each of their pixels lies in the face.

    Attributes:
        pixels: The pictures, channels first, `(3, k, H, W)`, painted in place.
        x: Position in the picture, -1 at the left and 1 at the right, `(k, 1, W)`.
        y: Position in the picture, -1 at the top and 1 at the bottom, `(k, H, 1)`.
        u: Position across the upright face, in half pictures from its centre, `(k, H, W)`.
        v: Position down the upright face, likewise.
        pixel: How many half pictures an edge takes to fade: a little more than one pixel.
    """

    def __init__(self, kit: Factors, size: int) -> None:
        grid = (np.arange(size, dtype=np.float32) * 2 + 1) / np.float32(size) - 1
        self.kit = kit
        self.pixels: Array = np.empty((3, len(kit["yaw"]), size, size), np.float32)
        self.x: Array = np.broadcast_to(grid, (len(kit["yaw"]), 1, size))
        self.y: Array = np.broadcast_to(grid[:, None], (len(kit["yaw"]), size, 1))
        self.pixel = 2.6 / size
        across = (self.x - kit["shift_x"]) / kit["zoom"]
        down = (self.y - 0.14 - kit["shift_y"]) / kit["zoom"]
        sine = small_sine(kit["roll"])
        cosine = np.sqrt(1.0 - sine * sine)
        self.u: Array = cosine * across + sine * down
        self.v: Array = cosine * down - sine * across

    def window(self, left: float, right: float, top: float, bottom: float) -> "Canvas":
        """Returns the part of the canvas between these positions of the picture, as views."""
        size = self.pixels.shape[-1]
        row, column = (
            slice(int((low + 1) * size / 2), int((high + 1) * size / 2) + 1)
            for low, high in ((top, bottom), (left, right))
        )
        part = object.__new__(Canvas)
        part.kit, part.pixel = self.kit, self.pixel
        part.pixels = self.pixels[:, :, row, column]
        part.x, part.y = self.x[:, :, column], self.y[:, row]
        part.u, part.v = self.u[:, row, column], self.v[:, row, column]
        return part

    def turned(self, depth: float) -> Array:
        """Returns how far across the face a pixel lies once the head has turned.

        A Moebius map of the head's width onto itself: it keeps both outlines, moves the middle to
        the side and squashes what lies there, as a turning ball does.
        """
        t = small_sine(self.kit["yaw"]) * (0.44 * depth)
        return (self.u - 0.7 * t) / (1.0 - self.u * (t / 0.7))

    def cover(self, distance: Array, soft: float = 0.0) -> Array:
        """Returns the mask of a signed distance: 1 inside, 0 outside, a soft edge between."""
        return np.clip(0.5 - distance * (1.0 / (self.pixel + soft)), 0.0, 1.0)

    def paint(self, mask: Array, colour: Array) -> None:
        """Paints a colour, `(3, k, 1, 1)` or one per pixel, where the mask `(k, H, W)` is 1."""
        for channel, value in zip(self.pixels, colour, strict=True):
            channel += mask * (value - channel)  # a channel at a time stays in the cache
