"""From a folder, an archive or a picture file to the store: each picture is decoded once."""

import hashlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from easyvae.core.checks import as_path
from easyvae.core.files import printable
from easyvae.data.cache import Cache, FileRows, MemoryRows, cache_folder, memory_size
from easyvae.data.candidates import Source
from easyvae.data.decode import ImageError, import_pillow, picture_shape, quiet_pillow, read_image
from easyvae.data.pictures import Pictures, Report, counted, listed
from easyvae.data.sources import early_fingerprint, open_source

# A store, or a source, of more bytes than this is worth a file in the cache folder.
CACHED_FROM = 64 * 2**20
_SMALL = 2**14

T = TypeVar("T")
OnProgress = Callable[[int, int], object]


def load_pictures(
    source: str | PathLike[str],
    shape: Sequence[int],
    *,
    copies: Literal["drop", "keep"] = "drop",
    flip: bool = False,
    on_error: Literal["skip", "raise"] = "skip",
    cache: str | PathLike[str] | None = None,
    progress: OnProgress | None = None,
) -> Pictures:
    """Reads the pictures in a folder or zip archive into one uint8 store.

    Folders are searched to any depth, in the order of the names; hidden files are passed over.
    Archives are read in place. See `read_image` for what happens to each picture.

    A large set (64 MB decoded, or on disk) is kept in a memory-mapped file in the cache folder,
    until the name, size or time of any file changes. The next time it has only to be compared
    with its digests, at about 0.8 GB a second for each core. Where that folder cannot be written
    to, or its disk has too little room left, the set stays in memory and the report says so.

    The folders of runs and comparisons are left out: what easyvae has drawn is no data.

    Args:
        source: a folder, a zip archive, or one picture file.
        shape: `(C, H, W)`, with 1 (grey) or 3 (RGB) channels.
        copies: whether files that are byte-identical to an earlier one are left out.
        flip: mirror pictures left to right at random, in training only.
        on_error: leave unreadable pictures out and report them, or stop at the first.
        cache: the cache folder; `None` is `$EASYVAE_CACHE`, or else `~/.cache/easyvae`.
        progress: called with (done, total) after each picture of a scan.

    Returns:
        The pictures, `(N, C, H, W)` uint8, with their names and a report.

    Raises:
        ImageError: there is nothing at `source`, it is no folder, archive or picture, it holds no
            readable picture, or (with `on_error="raise"`) one of its pictures cannot be read.
        ValueError: the shape is not a picture's, or an option is none of the above.
        ImportError: Pillow is missing.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> folder = Path(tempfile.mkdtemp())
        >>> for name in ("a.png", "b.png"):
        ...     Image.new("RGB", (80, 60), "navy").save(folder / name)
        >>> pictures = load_pictures(folder, (3, 64, 64))
        >>> print(pictures.report)
        2 pictures, 1 byte-identical copy (dropped), 0 unreadable
        >>> pictures
        Pictures((1, 3, 64, 64), uint8)
    """
    shape = picture_shape(shape)
    if copies not in ("drop", "keep"):
        raise ValueError(f'`copies` (={copies!r}) must be "drop" or "keep"')
    if on_error not in ("skip", "raise"):
        raise ValueError(f'`on_error` (={on_error!r}) must be "skip" or "raise"')
    import_pillow()
    root = as_path("source", source)
    origin = str(Path(source).absolute())
    store = Cache(cache_folder(cache), origin, shape, [copies])
    # An archive's table of contents takes seconds to read: not where the store is there.
    early = early_fingerprint(root)
    pictures = store.load(early) if early is not None else None
    if pictures is None:
        with closing(open_source(source)) as opened:
            scan = _Scan(opened, root, shape, copies == "drop", on_error == "raise", progress)
            if max(scan.size, opened.size) > CACHED_FROM:
                pictures = store.load(opened.fingerprint) or scan.into_cache(store)
            else:
                pictures = scan.into_memory()
            root = opened.path
    if on_error == "raise" and pictures.report and pictures.report.unreadable:
        name, fault = pictures.report.unreadable[0]  # of a store that an earlier call cached
        raise ImageError(root / name, fault)
    pictures.flip = flip
    pictures.origin = origin
    return pictures


@dataclass
class _Scan:
    """One pass over a source, its options, and the two places its pictures can go."""

    source: Source
    path: Path
    shape: tuple[int, int, int]
    drop: bool
    strict: bool
    progress: OnProgress | None

    @property
    def size(self) -> int:
        """How many bytes the pictures take, at most."""
        return len(self.source.names) * math.prod(self.shape)

    def into_memory(self, fault: str = "") -> Pictures:
        """Reads the set into memory, since it is small or for a fault of the cache folder."""
        if self.size > memory_size():
            these = f"{counted(len(self.source.names), 'picture')} at {self.shape}"
            raise ImageError(
                self.path,
                f"{these} are up to {self.size / 1e9:,.1f} GB decoded, more than this machine's "
                f"memory; {fault or 'use fewer or smaller ones'}",
            )
        rows = MemoryRows(len(self.source.names), self.shape)
        names, report = self._run(rows, f"kept in memory: {fault}" if fault else "")
        return rows.pictures(names, report)

    def into_cache(self, store: Cache) -> Pictures:
        try:
            with store.new_rows(self.size) as rows:
                names, report = self._run(rows)
                return store.commit(rows, self.source.fingerprint, names, report)
        except OSError as error:  # read-only, or full: reading a picture raises ImageError instead
            fault = error.strerror or str(error)
            folder = printable(str(store.folder))
            return self.into_memory(f"cannot write to {folder} ({fault})")

    def _run(self, rows: MemoryRows | FileRows, note: str = "") -> tuple[list[str], Report]:
        """Puts every picture into `rows`; returns the names of those in it, and the report."""
        source = self.source
        names: list[str] = []
        rows_of: dict[bytes, int] = {}  # of a file's hash, where copies are kept
        faults = list(source.unreadable)
        copies = 0

        def decode(data: bytes, name: str) -> NDArray[np.uint8]:
            return read_image(data, self.shape, name=name)

        workers = min(8, os.cpu_count() or 1)
        # Named, the iterator would outlive an error, and its threads work on beside the next.
        for done, (name, key, pixels) in enumerate(read_each(source, decode, workers), start=1):
            if isinstance(pixels, str):
                if self.strict:
                    raise ImageError(source.path / name, pixels)
                faults.append((name, pixels))
            elif pixels is not None:
                if not self.drop:
                    rows_of[key] = len(names)
                names.append(name)
                rows.append(pixels)
            else:
                copies += 1
                if not self.drop:
                    names.append(name)
                    rows.repeat(rows_of[key])
            if self.progress is not None:
                self.progress(done, len(source.names))
        if faults and self.strict:
            raise ImageError(source.path / faults[0][0], faults[0][1])
        report = Report(
            pictures=len(names) + (copies if self.drop else 0),
            copies=copies,
            dropped=self.drop,
            unreadable=tuple(faults),
            skipped=tuple(source.skipped),
            ignored=source.ignored,
            note=note,
            runs=source.runs,
        )
        if not names:
            raise ImageError(self.path, _nothing(report))
        return names, report


def _nothing(report: Report) -> str:
    """Returns, in one line, what there was instead of pictures."""
    parts = [counted(report.ignored, "file") + " of other kinds"]
    if report.runs:
        parts.append(counted(report.runs, "run folder") + " left out")
    for word, faults in (("unreadable", report.unreadable), ("skipped", report.skipped)):
        if faults:
            parts.append(f"{len(faults):,} {word}: {listed(faults)}")
    return f"no readable JPEG, PNG or WEBP picture in it ({'; '.join(parts)})"


def read_each(
    source: Source, read: Callable[[bytes, str], T], workers: int
) -> Iterator[tuple[str, bytes, T | str | None]]:
    """Yields, in order, each candidate's name, its file's hash, and what `read` makes of it.

    That is a text where a picture cannot be read: what is wrong with it or with the one that it is
    a copy of. It is `None` for a copy of a readable one, which is not read again.

    `read` takes a file's content and what errors call it, and raises `ImageError`. It is given
    large files in threads, since Pillow lets go of the interpreter's lock; handing small ones over
    would take longer than decoding them. At most two pictures for each thread are in memory.
    """
    faults: dict[bytes, str | None] = {}  # by the hashes of all files so far

    def attempt(data: bytes, name: str) -> T | str:
        try:
            return read(data, name)
        except ImageError as error:
            return error.fault

    def settle() -> tuple[str, bytes, T | str | None]:
        name, key, task = waiting.popleft()
        outcome = task.result() if isinstance(task, Future) else task
        if isinstance(outcome, str):
            faults[key] = outcome
        return name, key, faults[key] if outcome is None else outcome

    waiting: deque[tuple[str, bytes, T | str | Future[T | str] | None]] = deque()
    with quiet_pillow, ThreadPoolExecutor(workers, "easyvae-decode") as pool:
        try:
            for name in source.names:
                task: T | str | Future[T | str] | None = None
                key = b""
                try:
                    data = source.read(name)
                except ImageError as error:
                    task = error.fault
                else:
                    key = hashlib.blake2b(data, digest_size=16).digest()
                    if key not in faults:
                        faults[key] = None
                        job = data, str(source.path / name)
                        task = attempt(*job) if len(data) < _SMALL else pool.submit(attempt, *job)
                waiting.append((name, key, task))
                while len(waiting) > 2 * workers:
                    yield settle()
            while waiting:
                yield settle()
        finally:
            pool.shutdown(cancel_futures=True)
