"""The cache folder: what can be computed again, kept on disk under a checksum.

A file is a safetensors file that is there whole or not at all, and is read with distrust: whatever
is wrong with it, it is as good as absent. Decoded pictures are a store of two files, so that they
can be memory-mapped. `<key>.safetensors` describes it: the digest of every image, the names, the
report, and the name of the other, `<key>-<random>.bin`, which holds the pixels, `(N, C, H, W)`
uint8. The key stands for the source, the shape and the options. The description is replaced in one
step, after the data is complete and on the disk, so a reader sees the old store or the new one,
never half of either; and since every store's data has a name of its own, another process may go on
using the old one. Every image is compared with its digest before any is used.
"""

import errno
import hashlib
import json
import math
import mmap
import os
import re
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from easyvae.core.files import flush_folder, open_regular
from easyvae.core.tensor_file import MAX_HEADER, TensorFile, open_tensors, write_tensors
from easyvae.data.pictures import Pictures, Report, digest_bytes, digest_rows

_FORMAT = 2
_LONG_HEADER = 100_000_000  # of a description: it holds the names of all unreadable pictures
_OF_THE_MIXER = r"(latents|mixture)-.+"
# How many days files stay: half-written ones, and the mixer's after their last use. By their
# names, since the folder may be anyone's, with other files in it.
_DAYS = (
    (re.compile(r"[0-9a-f]{32}-[0-9a-f]{16}\.bin\.part"), 1),
    (re.compile(rf"\.([0-9a-f]{{32}}|{_OF_THE_MIXER})\.safetensors\.[0-9a-f]{{16}}\.tmp"), 1),
    (re.compile(rf"{_OF_THE_MIXER}\.safetensors"), 30),
)
# Of the tensors in a description: `(N, 16)`, and text.
_KINDS = {"digests": (torch.uint8, (16,)), "names": (torch.uint8, ())}
# Linux's value, which Python has no name for before 3.14.
_MAP_NORESERVE = 0x4000

T = TypeVar("T")


def cache_folder(cache: str | PathLike[str] | None = None) -> Path:
    """Returns the folder for all that is cached: `cache`, `$EASYVAE_CACHE` or `~/.cache/easyvae`.

    Where there is no home folder, it is one that cannot be written to.
    """
    chosen = cache or os.environ.get("EASYVAE_CACHE") or Path("~/.cache/easyvae")
    try:
        return Path(chosen).expanduser()
    except RuntimeError:  # nobody's home
        return Path(os.devnull, "easyvae")


def read_kept(
    path: Path, read: Callable[[TensorFile], T | None], *, max_header: int = MAX_HEADER
) -> T | None:
    """Returns what `read` makes of a file in the cache folder once its header has been read.

    It is `None` if there is no such file, or whatever is wrong with it: what `read` raises too.
    """
    try:
        with open_tensors(path, max_header=max_header) as file:
            made = read(file)
        if made is not None:
            with suppress(OSError):
                os.utime(path)  # it is in use
        return made
    # Whatever is wrong with a file, its content can be computed again.
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def keep(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    *,
    max_header: int = MAX_HEADER,
) -> None:
    """Writes a file in the cache folder, whole or not at all; removes what is there for too long.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_tensors(path, tensors, metadata, max_header=max_header)
    except ValueError as error:  # millions of unreadable pictures
        raise OSError(errno.EFBIG, "the report is too long to be kept") from error
    with suppress(OSError):
        for other in path.parent.iterdir():
            days = next((days for names, days in _DAYS if names.fullmatch(other.name)), None)
            with suppress(OSError):
                if days and time.time() - other.stat().st_mtime > days * 24 * 60 * 60:
                    other.unlink()


def memory_size() -> int:
    """Returns how many bytes of memory the machine has, or more than any where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows has no such call
        return 2**63


class Cache:
    """The decoded pictures of one source, at one shape and with one set of options.

    Args:
        folder: where stores are kept; it is made once there is something to be kept.
        source: the absolute path of what is decoded, or another name that is no such path.
        shape: of each image, `(C, H, W)`.
        options: whatever else the pixels depend on.
    """

    def __init__(
        self, folder: Path, source: str, shape: Sequence[int], options: Sequence[str]
    ) -> None:
        self.folder = folder
        parts = [_FORMAT, source, list(shape), list(options)]
        self._shape = tuple(shape)
        self._key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]
        self._description = folder / f"{self._key}.safetensors"

    def load(self, fingerprint: str) -> Pictures | None:
        """Returns the stored pictures of a source with this fingerprint, or `None`.

        Each is compared with its digest.
        """

        def read(file: TensorFile) -> Pictures | None:
            if file.metadata["fingerprint"] != fingerprint:
                return None
            kinds = {name: (entry.dtype, entry.shape[1:]) for name, entry in file.entries.items()}
            if kinds != {name: _KINDS[name] for name in ("digests", *kinds)}:
                raise ValueError("not a description of a store")
            tensors = file.read()
            digests, names = tensors["digests"].numpy(), None
            if "names" in tensors:
                text = tensors["names"].numpy().tobytes().decode("utf-8", "surrogatepass")
                names = text.split("\0")
                if len(names) != len(digests):
                    raise ValueError("not as many names as images")
            report = _report(file.metadata["report"])
            images = self._map(self._data(file), len(digests))
            return Pictures(images, digests=digests, names=names, report=report)

        pictures = read_kept(self._description, read, max_header=_LONG_HEADER)
        if pictures is not None and np.array_equal(digest_rows(pictures.images), pictures.digests):
            return pictures
        return None

    @contextmanager
    def new_rows(self, size: int) -> Iterator["FileRows"]:
        """Opens a file for at most `size` bytes, which is gone afterwards unless committed.

        Raises:
            OSError: The folder cannot be made, the description cannot be replaced, or the disk
                has less than twice as much room left: a model with large images must not fill it.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        if self._description.exists() and not self._description.is_file():
            raise OSError(errno.EINVAL, f"{self._description.name} is not a regular file")
        free = shutil.disk_usage(self.folder).free
        if 2 * size > free:
            needs = f"{size / 1e9:,.1f} GB are over half of the {free / 1e9:,.1f} GB left there"
            raise OSError(errno.ENOSPC, needs)
        part = self.folder / f"{self._key}-{secrets.token_hex(8)}.bin.part"
        try:
            with part.open("x+b") as file:
                yield FileRows(file, self._shape)
        finally:
            with suppress(OSError):
                part.unlink(missing_ok=True)

    def commit(
        self,
        rows: "FileRows",
        fingerprint: str,
        names: list[str] | None = None,
        report: Report | None = None,
    ) -> Pictures:
        """Makes the rows of a new file the store, in place of the one before it.

        Raises:
            OSError: It cannot be written; the store before is still there.
        """
        digests = rows.complete()
        data = rows.path.with_suffix("")
        rows.path.replace(data)
        try:
            # Mapped before anyone can know of it: another process may replace it straight away.
            images = self._map(data, len(digests))
            old = read_kept(self._description, self._data, max_header=_LONG_HEADER)
            tensors = {"digests": torch.from_numpy(digests)}
            if names is not None:
                text = "\0".join(names).encode("utf-8", "surrogatepass")
                tensors["names"] = torch.frombuffer(bytearray(text), dtype=torch.uint8)
            metadata = {
                "kind": "pictures",
                "data": data.name,
                "fingerprint": fingerprint,
                "report": None if report is None else asdict(report),
            }
            flush_folder(self.folder)
            keep(self._description, tensors, metadata, max_header=_LONG_HEADER)
        except BaseException:
            data.unlink(missing_ok=True)
            raise
        if old is not None:
            with suppress(OSError):  # Windows keeps a file that is still mapped
                old.unlink()
        return Pictures(images, digests=digests, names=names, report=report)

    def _data(self, file: TensorFile) -> Path:
        """Returns the path of the data: only what is this store's own is opened or removed."""
        name: str = file.metadata["data"]
        if not re.fullmatch(rf"{self._key}-[0-9a-f]{{16}}\.bin", name):
            raise ValueError("not the data of this store")
        return self.folder / name

    def _map(self, data: Path, count: int) -> Tensor:
        """Returns images in a copy-on-write file: writing to them never reaches it.

        Read-only memory would do, but torch warns of it and a stray write would end the process.
        """
        with open_regular(data) as file:
            if sys.platform == "linux":
                # NORESERVE, or Linux refuses a private mapping larger than its memory.
                flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
                mapped = mmap.mmap(file.fileno(), 0, flags, mmap.PROT_READ | mmap.PROT_WRITE)
            else:
                mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        return torch.from_numpy(np.frombuffer(mapped, np.uint8).reshape(count, *self._shape))


def _report(fields: Any) -> Report | None:
    """Returns the report from JSON, where its tuples have become lists, or raises an error."""
    if fields is None:
        return None
    for key in ("unreadable", "skipped"):
        fields[key] = tuple((name, reason) for name, reason in fields[key])
    report = Report(**fields)
    counts = report.pictures, report.copies, report.ignored, report.runs
    texts = report.note, *chain(*report.unreadable, *report.skipped)
    if not (
        all(type(count) is int and count >= 0 for count in counts)
        and all(type(text) is str for text in texts)
        and type(report.dropped) is bool
    ):
        raise ValueError("not a report")
    return report


class MemoryRows:
    """Pictures on their way into memory.

    There is room for every candidate; the room for those that are left out is never touched.
    """

    def __init__(self, limit: int, shape: tuple[int, int, int]) -> None:
        self._images = np.empty((limit, *shape), np.uint8)
        self._count = 0

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Adds one picture, `(C, H, W)`."""
        self._images[self._count] = pixels
        self._count += 1

    def repeat(self, index: int) -> None:
        """Adds a picture added before."""
        self.append(self._images[index])

    def pictures(self, names: list[str], report: Report) -> Pictures:
        """Returns what was added."""
        return Pictures(torch.from_numpy(self._images[: self._count]), names=names, report=report)


class FileRows:
    """Pictures on their way into the data of a store."""

    def __init__(self, file: BinaryIO, shape: tuple[int, ...]) -> None:
        self.path = Path(file.name)
        self._file = file
        self._size = math.prod(shape)
        self._digests = bytearray()

    def append(self, pixels: NDArray[np.uint8]) -> None:
        """Adds one picture, `(C, H, W)`."""
        self._file.write(pixels.data)
        self._digests += digest_bytes(pixels).tobytes()

    def repeat(self, index: int) -> None:
        """Adds a picture added before."""
        self._file.seek(index * self._size)
        pixels = np.frombuffer(self._file.read(self._size), np.uint8)
        self._file.seek(0, os.SEEK_END)
        self.append(pixels)

    def complete(self) -> NDArray[np.uint8]:
        """Makes the disk hold all that was added; returns the digests, `(N, 16)`."""
        with self._file:  # Windows renames no open file
            self._file.flush()
            os.fsync(self._file.fileno())
        return np.frombuffer(self._digests, np.uint8).reshape(-1, 16)
