"""Decoded pictures kept on disk, memory-mapped, for as long as their source stays the same.

A store is two files: `<key>.json` describes it and names `<key>-<random>.bin`, which holds the
pixels of every image, `(N, C, H, W)` uint8, then their digests, `(N, 16)` uint8. The key stands
for the source's absolute path, the shape and the options. The description is replaced in one
step, after the data is complete, so a reader sees the old store or the new one, never half of
either; and since every store's data has a name of its own, another process may go on using the
old one.
"""

import hashlib
import json
import mmap
import os
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from easyvae.data.store import Pictures, Report, digest_bytes

_FORMAT = 1
_DAY = 24 * 60 * 60
# Linux's value, which Python has no name for before 3.14.
_MAP_NORESERVE = 0x4000


def cache_folder(cache: str | PathLike[str] | None = None) -> Path:
    """Returns the folder for decoded pictures: `cache`, `$EASYVAE_CACHE` or `~/.cache/easyvae`.

    Where there is no home folder, it is one that cannot be written to.
    """
    chosen = cache or os.environ.get("EASYVAE_CACHE") or Path("~/.cache/easyvae")
    try:
        return Path(chosen).expanduser()
    except RuntimeError:  # nobody's home
        return Path(os.devnull, "easyvae")


class Cache:
    """The decoded pictures of one source, at one shape and with one set of options."""

    def __init__(
        self, folder: Path, source: Path, shape: Sequence[int], options: Sequence[str]
    ) -> None:
        """Works out the key; nothing is read or written yet."""
        self.folder = folder
        parts = [_FORMAT, str(source.absolute()), list(shape), list(options)]
        self._shape = tuple(shape)
        self._key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        self._json = folder / f"{self._key}.json"

    def load(self, fingerprint: str) -> Pictures | None:
        """Returns the stored pictures if the source still has this fingerprint, or `None`."""
        try:
            meta = self._meta()
            if meta["fingerprint"] != fingerprint:
                return None
            return self._map(self.folder / meta["data"], meta["names"], _report(meta["report"]))
        # Whatever is wrong with a description, the pictures can be decoded again.
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def new_data(self) -> Path:
        """Returns a name in the folder, which is made if need be, for data to be written to."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return self.folder / f"{self._key}-{secrets.token_hex(8)}.bin.part"

    def commit(self, part: Path, fingerprint: str, names: list[str], report: Report) -> Pictures:
        """Makes complete data (pixels, then digests) the store, in place of the one before it."""
        data = part.with_suffix("")
        part.replace(data)
        # Mapped before anyone can know of it: another process may replace it straight away.
        pictures = self._map(data, names, report)
        old: dict[str, Any] = {}
        with suppress(OSError, ValueError, KeyError):
            old = self._meta()
        meta = {
            "format": _FORMAT,
            "data": data.name,
            "fingerprint": fingerprint,
            "report": asdict(report),
            "names": names,
        }
        description = data.with_suffix(".json.part")
        description.write_text(json.dumps(meta), encoding="utf-8")
        description.replace(self._json)
        self._clean(old.get("data"))
        return pictures

    def _meta(self) -> dict[str, Any]:
        meta = json.loads(self._json.read_text(encoding="utf-8"))
        # A name of its own, not a path: only this folder's files are opened or removed.
        if not isinstance(meta, dict) or Path(meta["data"]).name != meta["data"]:
            raise ValueError("not a description of a store")
        return meta

    def _map(self, data: Path, names: list[str], report: Report) -> Pictures:
        count, row = len(names), int(np.prod(self._shape))
        stored = _map_file(data)
        if len(stored) != count * (row + 16):
            raise ValueError(f"{data} holds {len(stored)} bytes, not {count * (row + 16)}")
        pixels = stored[: count * row].reshape(count, *self._shape)
        digests = stored[count * row :].reshape(count, 16).copy()
        return Pictures(torch.from_numpy(pixels), digests=digests, names=names, report=report)

    def _clean(self, old: str | None) -> None:
        """Removes the data replaced, and what scans that were killed have left behind."""
        stale = [part for part in self.folder.glob("*.part") if _age(part) > _DAY]
        for path in [*stale, *([self.folder / old] if old else [])]:
            with suppress(OSError):  # Windows keeps a file that is still mapped
                path.unlink()


def _report(fields: dict[str, Any]) -> Report:
    """Returns the report from JSON, where its tuples have become lists."""
    for key in ("unreadable", "skipped"):
        fields[key] = tuple((name, reason) for name, reason in fields[key])
    return Report(**fields)


def _map_file(path: Path) -> NDArray[np.uint8]:
    """Returns a file as a copy-on-write array: writing to it never reaches the file.

    Read-only memory would do, but torch warns of it and a stray write would end the process.
    """
    with path.open("rb") as file:
        if sys.platform == "linux":
            # NORESERVE, or Linux refuses a private mapping larger than its memory.
            flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
            mapped = mmap.mmap(file.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)
        else:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return np.frombuffer(mapped, np.uint8)


def _age(path: Path) -> float:
    """Returns how many seconds ago a file was last written to."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return 0.0


class MemoryRows:
    """Pictures on their way into memory.

    There is room for every candidate; the room for those that are left out is never touched.
    """

    def __init__(self, limit: int, shape: tuple[int, int, int]) -> None:
        """Makes room for `limit` pictures."""
        self._images = np.empty((limit, *shape), np.uint8)
        self._digests = np.empty((limit, 16), np.uint8)
        self._count = 0

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Adds one picture, `(C, H, W)`."""
        self._images[self._count] = pixels
        self._digests[self._count] = digest_bytes(pixels)
        self._count += 1

    def row(self, index: int) -> NDArray[np.uint8]:
        """Returns a picture added before."""
        pixels: NDArray[np.uint8] = self._images[index]
        return pixels

    def pictures(self, names: list[str], report: Report) -> Pictures:
        """Returns what was added."""
        images = torch.from_numpy(self._images[: self._count])
        digests = self._digests[: self._count]
        return Pictures(images, digests=digests, names=names, report=report)


class FileRows:
    """Pictures on their way into a cache file: pixels as they come, and at last the digests."""

    def __init__(self, path: Path, shape: tuple[int, int, int]) -> None:
        """Creates the file."""
        self._file = path.open("w+b")
        self._shape = shape
        self._row = int(np.prod(shape))
        self._digests = bytearray()

    def __enter__(self) -> "FileRows":
        """Returns itself; the file is closed at the end of the block."""
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the file."""
        self._file.close()

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Adds one picture, `(C, H, W)`."""
        self._file.write(pixels.data)
        self._digests += digest_bytes(pixels).tobytes()

    def row(self, index: int) -> NDArray[np.uint8]:
        """Returns a picture added before."""
        self._file.seek(index * self._row)
        data = self._file.read(self._row)
        self._file.seek(0, os.SEEK_END)
        return np.frombuffer(data, np.uint8).reshape(self._shape)

    def write_digests(self) -> None:
        """Completes the file."""
        self._file.write(self._digests)
