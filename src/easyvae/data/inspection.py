"""A look at a folder or archive of pictures before training on it."""

from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from os import PathLike
from typing import NamedTuple

import numpy as np

from easyvae.data.decode import flatten, open_picture
from easyvae.data.load import read_each
from easyvae.data.pictures import counted, listed
from easyvae.data.sources import open_source

_NEARLY_BLACK = 8


@dataclass
class Inspection:
    """What the pictures in a folder or archive are like.

    Attributes:
        pictures: readable pictures, byte-identical copies included.
        sizes: how many pictures have each (width, height), as stored in the file.
        modes: how many have each of Pillow's modes: "RGB", "L", "CMYK", "P" and so on.
        formats: how many are "JPEG", "PNG", "WEBP".
        copies: how many are byte-identical to an earlier one.
        nearly_black: names of those whose mean luminance is below 8 of 255.
        unreadable: (name, reason) of each picture that cannot be read.
        skipped: (name, reason) of archive members that are not to be read.
        ignored: how many files of other kinds there are.
        runs: how many folders were left out since a run or comparison of easyvae is in them.
    """

    pictures: int = 0
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    nearly_black: list[str] = field(default_factory=list)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    ignored: int = 0
    runs: int = 0

    def __str__(self) -> str:
        sizes = {f"{width} x {height}": n for (width, height), n in self.sizes.items()}
        lines = [
            counted(self.pictures, "picture"),
            f"sizes: {_most(Counter(sizes))}",
            f"modes: {_most(self.modes)}",
            f"formats: {_most(self.formats)}",
            f"byte-identical copies: {self.copies:,}",
            f"nearly black: {len(self.nearly_black):,}",
            f"unreadable: {len(self.unreadable):,} {listed(tuple(self.unreadable))}".rstrip(),
        ]
        if self.skipped:
            lines.append(f"skipped: {listed(tuple(self.skipped))}")
        if self.runs:
            lines.append(f"run folders left out: {self.runs:,}")
        return "\n".join([*lines, f"other files: {self.ignored:,}"])


def inspect_pictures(source: str | PathLike[str]) -> Inspection:
    """Describes the pictures in a folder, zip archive or file: decoded once each, one at a time.

    Raises:
        ImageError: there is nothing at `source`, or it is no folder, archive or picture.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> Image.new("L", (80, 60)).save(folder / "night.png")
        >>> seen = inspect_pictures(folder)
        >>> seen.sizes, seen.nearly_black
        (Counter({(80, 60): 1}), ['night.png'])
    """
    with closing(open_source(source)) as opened:
        seen = Inspection(
            unreadable=list(opened.unreadable),
            skipped=opened.skipped,
            ignored=opened.ignored,
            runs=opened.runs,
        )
        facts_of: dict[bytes, _Facts] = {}
        for name, key, facts in read_each(opened, _look_at, 1):
            if isinstance(facts, str):
                seen.unreadable.append((name, facts))
                continue
            seen.copies += facts is None
            facts = facts_of[key] = facts or facts_of[key]
            seen.pictures += 1
            seen.sizes[facts.size] += 1
            seen.modes[facts.mode] += 1
            seen.formats[facts.format] += 1
            if facts.dark:
                seen.nearly_black.append(name)
    return seen


class _Facts(NamedTuple):
    size: tuple[int, int]
    mode: str
    format: str
    dark: bool


def _look_at(data: bytes, name: str) -> _Facts:
    with open_picture(data, name) as image:
        dark = bool(np.asarray(flatten(image, "L")).mean() < _NEARLY_BLACK)
        return _Facts(image.size, image.mode, image.format or "", dark)


def _most(counts: "Counter[str]") -> str:
    """Returns the five most frequent, with how many of each, and how many others there are."""
    five = [f"{name} ({n:,})" for name, n in counts.most_common(5)]
    more = len(counts) - len(five)
    return ", ".join(five) + (f" and {more:,} more" if more else "")
