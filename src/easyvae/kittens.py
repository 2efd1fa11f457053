"""The built-in data set: kittens drawn with numpy, with known factors.

A kitten is a few dozen numbers (its factors) and a drawing made of signed distances: every part is
a function of the position in the face that is negative inside the part and positive outside, so
that one clipped division turns it into a soft-edged mask at any size. Only `+ - * /`, `sqrt` and
rounding touch the pixels: the same kitten has the same bits however many are drawn beside it.
"""

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]  # float32 from here to the last line, where pictures become uint8
Factors = Mapping[str, Array]

_CHUNK_PIXELS = 1 << 16  # 256 KiB per float32 plane: small enough for the cache, large for numpy
_DRAWS = 48  # random numbers kept for each kitten: whole blocks of 4, some of them spare


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
EYES = {
    "amber": "E29E34",
    "gold": "F0C84E",
    "green": "8EBE60",
    "hazel": "B6AE54",
    "copper": "CC7A38",
    "blue": "68A8DE",
    "aqua": "76C4BE",
}
_WALLS = "B6C6B0 ACC8DA E4D3B8 E6C4BA C8C0DA 7AA2A4 627082 849672 A08068 8A7088"  # muted, all
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


def _wave(turns: Array) -> Array:
    """Returns a sine made of two parabolas; the period is 1."""
    phase = turns - np.rint(turns)
    sine: Array = phase * (8.0 - 16.0 * np.abs(phase))
    return sine


def _ramp(value: Array, low: float, high: float) -> Array:
    """Returns 0 where `value` is at `low`, 1 where it is at `high`, and a smooth step between."""
    t = np.clip((value - low) * (1.0 / (high - low)), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)


def _sine(degrees: Array) -> Array:
    """Returns the sine of small angles by its series: exact to a float32 below 30 degrees."""
    a = degrees * np.float32(np.pi / 180)
    return a * (1.0 - a * a * (1.0 / 6 - a * a * (1.0 / 120)))


def _rgb(codes: str) -> Array:
    """Returns hexadecimal colours as rows of red, green and blue."""
    rows: Array = np.array([list(bytes.fromhex(code)) for code in codes.split()], np.float32)
    return rows


# What all kittens share, `(3, 1, 1, 1)` each to go with the channels of a canvas.
_PINK, _RIM, _PUPIL, _MOUTH, _GLINT = _rgb("ECA096 2C2020 161216 442A2A FFFCF8").reshape(
    5, 3, 1, 1, 1
)


class _Canvas:
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
        """Creates an empty canvas for the kittens `kit`."""
        grid = (np.arange(size, dtype=np.float32) * 2 + 1) / np.float32(size) - 1
        self.kit = kit
        self.pixels: Array = np.empty((3, len(kit["yaw"]), size, size), np.float32)
        self.x: Array = np.broadcast_to(grid, (len(kit["yaw"]), 1, size))
        self.y: Array = np.broadcast_to(grid[:, None], (len(kit["yaw"]), size, 1))
        self.pixel = 2.6 / size
        across = (self.x - kit["shift_x"]) / kit["zoom"]
        down = (self.y - 0.14 - kit["shift_y"]) / kit["zoom"]
        sine = _sine(kit["roll"])
        cosine = np.sqrt(1.0 - sine * sine)
        self.u: Array = cosine * across + sine * down
        self.v: Array = cosine * down - sine * across

    def window(self, left: float, right: float, top: float, bottom: float) -> "_Canvas":
        """Returns the part of the canvas between these positions of the picture, as views."""
        size = self.pixels.shape[-1]
        row, column = (
            slice(int((low + 1) * size / 2), int((high + 1) * size / 2) + 1)
            for low, high in ((top, bottom), (left, right))
        )
        part = object.__new__(_Canvas)
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
        t = _sine(self.kit["yaw"]) * (0.44 * depth)
        return (self.u - 0.7 * t) / (1.0 - self.u * (t / 0.7))

    def cover(self, distance: Array, soft: float = 0.0) -> Array:
        """Returns the mask of a signed distance: 1 inside, 0 outside, a soft edge between."""
        return np.clip(0.5 - distance * (1.0 / (self.pixel + soft)), 0.0, 1.0)

    def paint(self, mask: Array, colour: Array) -> None:
        """Paints a colour, `(3, k, 1, 1)` or one per pixel, where the mask `(k, H, W)` is 1."""
        for channel, value in zip(self.pixels, colour, strict=True):
            channel += mask * (value - channel)  # a channel at a time stays in the cache


def _background(canvas: _Canvas) -> None:
    """Fills the canvas: a wall lit from one side, two blurred lights, darker towards the edge."""
    kit, x, y = canvas.kit, canvas.x, canvas.y
    glow = 1.0 + 0.07 * kit["light_x"] * x - 0.10 * y - 0.07 * (x * x + y * y)
    for side, height in ((-0.72, kit["blur_left"]), (0.74, kit["blur_right"])):
        far = (x - side) ** 2 + (y + 1.0 - 0.9 * height) ** 2
        glow += 0.10 * _ramp(far, 0.12, 0.04)
    np.multiply(kit["background"], glow, out=canvas.pixels)


def _ear(canvas: _Canvas) -> tuple[Array, Array, Array, Array]:
    """Returns the distances to the ears and to their insides, and the place across and along."""
    kit = canvas.kit
    across = canvas.turned(0.2)
    lean = _sine(kit["ear_tilt"] + 17.0)
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


def _head(canvas: _Canvas) -> tuple[Array, Array]:
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


def _body(canvas: _Canvas) -> Array:
    """Returns the distance to the shoulders and the chest below the head."""
    kit = canvas.kit
    x = np.abs(canvas.x - 0.5 * kit["shift_x"])
    y = canvas.y - 0.42
    slope = 0.46 + 0.62 * y - 0.18 * y * y
    edge = (0.02 * kit["fluff"]) * np.abs(_wave(canvas.y * 4.5))
    return np.maximum((x - slope - edge) * 0.8, -y)


def _muzzle(kit: Factors, u: Array, v: Array) -> Array:
    """Returns the mask of the whisker pads."""
    pads = ((np.abs(u) - 0.10) / (0.17 * kit["muzzle"])) ** 2
    pads = pads + ((v - 0.335) * (1.0 / 0.15)) ** 2
    return _ramp(pads, 1.5, 0.6)


def _solid(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """Returns where marks and pale fur are: a little darker on top, paler on the muzzle."""
    return 0.4 * _ramp(v, 0.0, -0.6), 0.15 * _muzzle(kit, u, v)


def _tabby(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """Stripes: the M on the forehead, lines from the eyes to the cheeks, bars on the chest."""
    side = np.abs(u)
    fan = side / (0.62 - 0.55 * np.minimum(v, 0.0))
    crown = _ramp(v + 0.06 * _wave(fan * 2.2 + kit["marking_y"]), -0.10, -0.26)
    crown *= _ramp(side, 0.46, 0.30)
    stripes = crown * _ramp(_wave(fan * 4.2 + 0.25 + 0.1 * kit["marking_x"]), 0.0, 0.75)
    sweep = v - 0.8 * side + 0.45 * side * side
    lines = _ramp(_wave(sweep * 4.2 + 0.2 * kit["marking_y"]), 0.0, 0.7)
    lines *= _ramp(side, 0.34, 0.56) * _ramp(v, -0.30, -0.16)
    stripes = np.maximum(stripes, lines) * kit["contrast"]
    spectacles = ((side - 0.30) * (1.0 / 0.25)) ** 2 + ((v - 0.02) * (1.0 / 0.21)) ** 2
    pale = np.maximum(0.85 * _muzzle(kit, u, v), 0.55 * _ramp(spectacles, 1.1, 0.6))
    bib = _ramp(side, 0.26, 0.08) * _ramp(v, 0.5, 0.62)
    return stripes, np.maximum(pale, 0.45 * bib)


def _points(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """A dark mask around the nose, dark ears."""
    mask = (u * (1.0 / 0.42)) ** 2 + ((v - 0.18) * (1.0 / 0.40)) ** 2
    ears = _ramp(v, -0.42, -0.66)
    return np.maximum(_ramp(mask, 1.5, 0.15), ears) * kit["contrast"] * 0.92, np.zeros_like(u)


def _bicolour(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """A white blaze that widens to the muzzle, and a white chest."""
    width = 0.05 + 0.10 * kit["white"] + 0.55 * _ramp(v, -0.05, 0.42)
    width = width - 0.12 * _ramp(v, 0.0, -0.5)
    middle = u + 0.05 * _wave(v + kit["marking_x"])
    blaze = _ramp(np.abs(middle) - width, 0.035, -0.035)
    return np.zeros_like(u), blaze


def _tuxedo(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """A white muzzle and chest under a dark face."""
    width = (0.10 + 0.12 * kit["white"]) + 0.9 * (v - 0.22)
    return np.zeros_like(u), _ramp(np.abs(u) - width, 0.03, -0.03) * _ramp(v, 0.14, 0.22)


def _patches(kit: Factors, u: Array, v: Array) -> tuple[Array, Array]:
    """Large patches of two colours on white."""
    a, b = kit["marking_x"], kit["marking_y"]
    bend = 0.16 * _wave(v * 0.9 + a)
    mark = _ramp(_wave(u * 0.6 + bend + a) + 0.5 * _wave(v * 0.8 - 0.4 * u + b), -0.16, 0.16)
    width = 0.08 + 0.10 * kit["white"] + 0.62 * _ramp(v, 0.0, 0.4)
    pale = _ramp(np.abs(u + 0.1 * _wave(v * 1.1 + b)) - width, 0.035, -0.035)
    return mark, pale


_MARKINGS: dict[str, Callable[[Factors, Array, Array], tuple[Array, Array]]] = {
    "solid": _solid,
    "tabby": _tabby,
    "points": _points,
    "bicolour": _bicolour,
    "tuxedo": _tuxedo,
    "patches": _patches,
}
PATTERNS = tuple(_MARKINGS)


def _fur(canvas: _Canvas) -> Array:
    """Returns the colour of the fur at every pixel, as if all of the picture were fur."""
    kit, u, v = canvas.kit, canvas.turned(1.0), canvas.v
    mark, pale = np.empty_like(u), np.empty_like(u)
    for code, pattern in enumerate(_MARKINGS.values()):
        rows = np.flatnonzero(kit["pattern"] == code)
        if rows.size:
            part = {name: kit[name][rows] for name in RANGES}
            mark[rows], pale[rows] = pattern(part, u[rows], v[rows])
    # Two waves that bend each other out of line look like tufts, and like no grid at any size.
    texture = _wave(u * 5.0 + 0.5 * _wave(v * 3.0)) * _wave(v * 4.0 + 0.6 * _wave(u * 3.4))
    texture = kit["fur_shade"] + 0.02 * texture
    colour: Array = np.empty_like(canvas.pixels)
    for out, *tones in zip(colour, kit["fur"], kit["mark"], kit["pale"], strict=True):
        fur = tones[0] + mark * (tones[1] - tones[0])
        np.multiply(fur + pale * (tones[2] - fur), texture, out=out)
    return colour


def _cat(canvas: _Canvas) -> None:
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
    shade = 0.86 + side * canvas.x - 0.26 * _ramp(out, 1.9, 1.0)
    shade[:, rows] += ear * (0.95 + side * top.u - shade[:, rows])
    dome = side * canvas.u - (0.16 * strength) * canvas.v - 0.13 * out * out
    shade += head * (1.04 + dome - shade)
    canvas.paint(shape, _fur(canvas) * shade)
    hollow = canvas.cover(inner, 0.03) * (1.0 - head[:, rows]) * 0.9
    top.paint(hollow, (0.62 * _PINK + 0.38 * kit["fur"]) * (0.72 + 0.36 * along))
    # Wisps of pale hair grow from the inner side of the ear and from its base.
    wisp = _wave(off * 16.0 + along * 2.0) * 0.2 - off * 2.2 - along
    top.paint(hollow * _ramp(wisp, -0.55, 0.1), kit["wisp"])


def _eyes(canvas: _Canvas) -> None:
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
    canvas.paint(canvas.cover(opening - 0.016, 0.012) * 0.9, _RIM)
    eye = canvas.cover(opening)
    # The iris is darker at its rim and under the upper lid, and glows where the light comes out.
    glow = 1.02 + 0.30 * y - 0.34 * _ramp(x * x + y * y, 0.3, 1.0) - 0.25 * _ramp(y, -0.35, -0.85)
    canvas.paint(eye, kit["iris"] * glow)
    px = x - 0.16 * kit["gaze_x"]
    py = y - 0.12 * kit["gaze_y"]
    narrow = kit["pupil"]
    slit = (px / narrow) ** 2 + (py * (1.0 / 0.72)) ** 2
    canvas.paint(eye * canvas.cover((np.sqrt(slit) - 1.0) * narrow / unit), _PUPIL)
    lit = 0.26 * np.where(kit["light_x"] < 0, np.float32(-1.0), np.float32(1.0))
    glint = np.sqrt((px - lit) ** 2 + (py + 0.32) ** 2) - 0.24
    canvas.paint(eye * canvas.cover(glint / unit), _GLINT)
    glint = np.sqrt((px + lit) ** 2 + (py - 0.38) ** 2) - 0.12
    canvas.paint(eye * canvas.cover(glint / unit) * 0.6, _GLINT)


def _nose_and_mouth(canvas: _Canvas) -> None:
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
    canvas.paint(mouth * 0.62, _MOUTH)
    x = u / (0.098 * kit["nose_size"])
    y = (v - 0.245) / (0.062 * kit["nose_size"])
    shape = (x * np.maximum(1.12 + 0.5 * y, 0.5)) ** 2 + y * y  # narrower below
    nose = canvas.cover((np.sqrt(shape) - 1.0) * 0.065, 0.005)
    canvas.paint(nose, kit["nose"] * (1.0 - 0.10 * y))
    nostril = ((np.abs(x) - 0.48) * (1.0 / 0.26)) ** 2 + ((y - 0.3) * (1.0 / 0.28)) ** 2
    canvas.paint(_ramp(nostril, 1.6, 0.5) * 0.6 * nose, _MOUTH)
    shine = (x * (1.0 / 0.5)) ** 2 + ((y + 0.5) * (1.0 / 0.3)) ** 2
    canvas.paint(_ramp(shine, 1.0, 0.2) * 0.35, _GLINT)


def _whiskers(canvas: _Canvas) -> None:
    """Paints three whiskers on either side."""
    canvas = canvas.window(-1.0, 1.0, -0.1, 1.0)
    kit = canvas.kit
    side = np.abs(canvas.turned(1.0)) - 0.15
    far = side * (1.0 / 0.62) / kit["whisker_length"]
    bend = canvas.v - (kit["whisker_droop"] + 0.28 * side) * side
    line = np.abs(bend - 0.30 + 0.13 * side)
    line = np.minimum(line, np.abs(bend - 0.335))
    line = np.minimum(line, np.abs(bend - 0.37 - 0.13 * side))
    fade = _ramp(far, 0.0, 0.12) * _ramp(far, 1.0, 0.55)
    canvas.paint(canvas.cover(line - 0.002, 0.002) * fade * 0.75, _GLINT)


def _pick(draw: Array, coat: Array, choices: Sequence[str], names: Iterable[str]) -> Array:
    """Returns one of each coat's choices, as its place among all names."""
    places = list(names)
    # A dozen is a multiple of every row's length, so repeating a row keeps its odds.
    table = [np.resize([places.index(word) for word in row.split()], 12) for row in choices]
    return np.array(table)[coat, (draw * 12).astype(np.int64)]


def _draw_factors(n: int, seed: int, start: int) -> dict[str, Array]:
    """Draws the factors of kittens `start` to `start + n - 1`."""
    stream = np.random.Philox(seed)
    stream.advance(start * (_DRAWS // 4))
    bits = stream.random_raw(n * _DRAWS).reshape(n, _DRAWS).T
    # 24 bits are what a float32 below 1 holds exactly: no draw is rounded up to 1.
    draw = (bits >> np.uint64(40)).astype(np.float32) * np.float32(2.0**-24)
    coat = (draw[0] * len(COATS)).astype(np.int64)
    walls = _rgb(_WALLS)
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


def _dress(factors: Factors, rows: slice) -> dict[str, Array]:
    """Returns the factors in shapes that fit pictures, and the colours they stand for."""
    kit = {name: factors[name][rows, None, None] for name in RANGES}
    kit["pattern"] = factors["pattern"][rows]
    kit["background"] = factors["background"][rows].T[..., None, None]
    kit["iris"] = _rgb(" ".join(EYES.values()))[factors["eye_colour"][rows]].T[..., None, None]
    coats = np.stack([_rgb(coat.colours) for coat in COATS])[factors["coat"][rows]]
    kit["fur"], kit["mark"], kit["pale"], nose = coats.transpose(1, 2, 0)[..., None, None]
    kit["wisp"] = 0.5 * (kit["fur"] + kit["pale"])
    kit["nose"] = _PINK + kit["nose_tone"] * (nose - _PINK)
    return kit


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
        >>> pictures, factors = draw_kittens(5, size=32, seed=1)
        >>> pictures.shape, pictures.dtype
        ((5, 3, 32, 32), dtype('uint8'))
        >>> [COATS[code].name for code in factors["coat"]]
        ['ginger', 'seal', 'silver', 'silver', 'silver']
    """
    n, size = _integer("n", n, 0), _integer("size", size, 16)
    seed, start = _integer("seed", seed, 0), _integer("start", start, 0)
    factors = _draw_factors(n, seed, start)
    pictures = np.empty((n, 3, size, size), np.uint8)
    step = max(1, _CHUNK_PIXELS // size**2)
    for first in range(0, n, step):
        rows = slice(first, first + step)
        canvas = _Canvas(_dress(factors, rows), size)
        for paint in (_background, _cat, _eyes, _nose_and_mouth, _whiskers):
            paint(canvas)
        pictures[rows] = np.clip(canvas.pixels + 0.5, 0.0, 255.0).swapaxes(0, 1)
    return pictures, factors
