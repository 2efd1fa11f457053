"""Where pictures are: a folder, a zip archive or a single file, walked without reading them."""

import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path

from easyvae.core.checks import as_path
from easyvae.data.archives import Archive, archive_fingerprint
from easyvae.data.candidates import RUN_FAULT, Source, is_hidden, is_picture, is_run
from easyvae.data.decode import ImageError


def open_source(path: str | PathLike[str]) -> Source:
    """Finds the candidates in a folder, a zip archive, or a single picture file.

    Raises:
        ImageError: there is nothing at `path`, it is none of these, or it is itself the folder of
            a run.
    """
    path = as_path("source", path)
    try:
        if path.is_dir():
            return Folder(path)
        if not path.exists():
            raise ImageError(path, "no such file or folder")
        if is_picture(path.name):
            return SingleFile(path)
        if path.is_file() and (path.suffix.lower() == ".zip" or zipfile.is_zipfile(path)):
            return Archive(path)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        if isinstance(error, ImageError):
            raise
        raise ImageError(path, getattr(error, "strerror", None) or str(error)) from error
    raise ImageError(path, "neither a folder, a zip archive nor a JPEG, PNG or WEBP picture")


def early_fingerprint(path: Path) -> str | None:
    """Returns the fingerprint of an archive, unopened; `None` for all that has to be walked."""
    with suppress(OSError, ValueError):  # opening it will report it
        if path.suffix.lower() == ".zip" and path.is_file():
            return archive_fingerprint(path)
    return None


class SingleFile(Source):
    """One picture file as a set of one."""

    def __init__(self, path: Path) -> None:
        super().__init__(path.parent)
        status = path.stat()
        self.names.append(path.name)
        self.size = status.st_size
        self.fingerprint = hashlib.sha256(_stamp(path.name, status)).hexdigest()


class Folder(Source):
    """The picture files in a folder and the folders in it; links are followed, once each."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        stamps = hashlib.sha256()
        for name, status in self._walk():
            stamps.update(_stamp(name, status))
        self.fingerprint = stamps.hexdigest()
        self.names.sort()

    def _walk(self) -> Iterator[tuple[str, os.stat_result | None]]:
        """Yields the candidates with their status, folder by folder, filling in the counts."""
        seen: set[tuple[int, int]] = set()
        folders = [""]
        while folders:
            prefix = folders.pop()
            try:
                status = (self.path / prefix).stat()
                # A link to a folder above it, or to one walked already, would repeat for ever.
                if (status.st_dev, status.st_ino) in seen:
                    continue
                seen.add((status.st_dev, status.st_ino))
                with os.scandir(self.path / prefix) as listing:
                    entries = sorted(listing, key=lambda entry: entry.name)
            except OSError as error:
                if not prefix:
                    raise
                self.unreadable.append((prefix, error.strerror or str(error)))
                continue
            if is_run(entry.name for entry in entries):
                if not prefix:
                    raise ImageError(self.path, RUN_FAULT)
                self.runs += 1
                continue
            inner = []
            for entry in entries:
                if is_hidden(entry.name):
                    continue
                name = prefix + entry.name
                if _is_folder(entry):
                    inner.append(name + "/")
                elif is_picture(entry.name):
                    self.names.append(name)
                    try:
                        status = entry.stat()
                    except OSError:  # a dangling link: reading it will report it
                        yield name, None
                    else:
                        self.size += status.st_size
                        yield name, status
                else:
                    self.ignored += 1
            folders.extend(reversed(inner))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


def _stamp(name: str, status: os.stat_result | None) -> bytes:
    """Returns bytes that change with a file's name, size or last change."""
    # The change time as well: a copy that keeps the modification time still moves it.
    times = (status.st_size, status.st_mtime_ns, status.st_ctime_ns) if status else None
    return repr((name, times)).encode("utf-8", "surrogatepass")
