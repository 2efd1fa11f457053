"""The store: every picture of a data set as one tensor, with what was found on the way to it."""

import functools
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from easyvae.core.files import printable

# Rows are hashed, checked and measured in pieces of about this size, so that a store larger than
# memory is never brought into it whole.
_PIECE = 2**24
_LISTED = 5


@dataclass(frozen=True)
class Report:
    """What a scan of a folder or archive found. `str(report)` is the line or two to show.

    Attributes:
        pictures: readable pictures, byte-identical copies included.
        copies: how many of them are byte-identical copies of an earlier one.
        dropped: whether the copies were left out of the store.
        unreadable: (name, reason) of each picture that could not be read.
        skipped: (name, reason) of archive members that were not to be read.
        ignored: how many files of other kinds there were.
        note: anything else worth a line.
        runs: how many folders were left out since a run or comparison of easyvae is in them.

    Example:
        >>> print(Report(pictures=1205, copies=7, unreadable=(("a.jpg", "the file is empty"),)))
        1,205 pictures, 7 byte-identical copies (dropped), 1 unreadable
        unreadable: a.jpg (the file is empty)
    """

    pictures: int
    copies: int = 0
    dropped: bool = True
    unreadable: tuple[tuple[str, str], ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    ignored: int = 0
    note: str = ""
    runs: int = 0

    def __str__(self) -> str:
        fate = "dropped" if self.dropped else "kept"
        counts = [
            counted(self.pictures, "picture"),
            counted(self.copies, "byte-identical copy", "byte-identical copies")
            + (f" ({fate})" if self.copies else ""),
            f"{len(self.unreadable):,} unreadable",
        ]
        if self.ignored:
            counts.append(counted(self.ignored, "other file") + " ignored")
        if self.runs:
            counts.append(counted(self.runs, "run folder") + " left out")
        lines = [", ".join(counts)]
        if self.unreadable:
            lines.append("unreadable: " + listed(self.unreadable))
        if self.skipped:
            lines.append("skipped: " + listed(self.skipped))
        return "\n".join([*lines, self.note] if self.note else lines)


def counted(count: int, one: str, many: str = "") -> str:
    """Returns a count with its noun: "14,205 pictures"."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def listed(faults: tuple[tuple[str, str], ...]) -> str:
    """Returns the first five (name, reason) pairs on one line, and how many more there are."""
    first = [f"{printable(name)} ({printable(reason)})" for name, reason in faults[:_LISTED]]
    more = len(faults) - len(first)
    return ", ".join(first) + (f" and {more:,} more" if more else "")


class Images(Protocol):
    """Images (N, C, *spatial) that need not be in memory at once; a tensor is one such thing."""

    def __len__(self) -> int:
        """Returns how many there are."""

    def __getitem__(self, rows: slice, /) -> Tensor:
        """Returns some of them."""


class Pictures:
    """A set of images in one tensor: what `fit` trains on.

    Args:
        images: `(N, C, *spatial)`, uint8 (0 to 255) or float32 (in the data's own range).
        digests: `(N, 16)` uint8, equal for equal images; `None` computes them.
        names: the file each image came from, if it came from one.
        report: what the scan that found them reports.
        flip: mirror images at random along the last axis, in training only.
        origin: what was opened to get them: a folder or archive, or a name such as "kittens".

    Example:
        >>> import torch
        >>> pictures = Pictures(torch.zeros(5, 1, 28, 28, dtype=torch.uint8))
        >>> len(pictures), pictures.gather(torch.tensor([4, 0])).shape
        (5, torch.Size([2, 1, 28, 28]))
    """

    def __init__(
        self,
        images: Tensor,
        *,
        digests: NDArray[np.uint8] | None = None,
        names: list[str] | None = None,
        report: Report | None = None,
        flip: bool = False,
        origin: str | None = None,
    ) -> None:
        self.images = images
        self.digests = digest_rows(images) if digests is None else digests
        self.names = names
        self.report = report
        self.flip = flip
        self.origin = origin

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        kind = str(self.images.dtype).removeprefix("torch.")
        flip = ", flip=True" if self.flip else ""
        return f"Pictures({tuple(self.images.shape)}, {kind}{flip})"

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hex digest that changes with the images' content, order, shape or type."""
        digest = hashlib.sha256(f"{tuple(self.images.shape)} {self.images.dtype}".encode())
        digest.update(np.ascontiguousarray(self.digests).data)
        return digest.hexdigest()

    def gather(self, indices: Tensor) -> Tensor:
        """Returns a copy of the images at `indices`, `(n,)`: `(n, C, *spatial)`, in that order."""
        return self.images[indices]


def pieces(images: Tensor) -> Iterable[slice]:
    """Returns slices that cut `(N, ...)` into pieces of about 16 MB each."""
    row = max(1, images[:1].numel() * images.element_size())
    step = max(1, _PIECE // row)
    return (slice(start, start + step) for start in range(0, len(images), step))


def digest_rows(images: Tensor) -> NDArray[np.uint8]:
    """Returns a 128-bit hash of each row's bytes, `(N, 16)`."""
    digests = np.empty((len(images), 16), np.uint8)

    def fill(piece: slice) -> None:
        rows = images[piece].contiguous().numpy()
        rows = rows.reshape(len(rows), -1).view(np.uint8)
        for index, row in enumerate(rows, start=piece.start):
            digests[index] = digest_bytes(row)

    # Hashing lets go of the interpreter's lock.
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "easyvae-digest") as pool:
        for _ in pool.map(fill, pieces(images)):
            pass  # but for an error, which comes out here
    return digests


def digest_bytes(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Returns a 128-bit hash of the bytes of a contiguous array, `(16,)`."""
    return np.frombuffer(hashlib.blake2b(data.data, digest_size=16).digest(), np.uint8)
