"""Picture files inside a zip archive, read in place: nothing is ever extracted to disk.

An archive is treated as hostile. Its table of contents may be 32 MB long (some 400,000 members;
more pictures than that belong in a folder), a member may hold 128 MB and inflate by 100 to 1, and
these caps count the bytes that really come out, whatever sizes the archive claims.
"""

import hashlib
import io
import os
import re
import stat
import zipfile
from pathlib import Path

from easyvae.data.candidates import RUN_FAULT, RunFolders, Source, is_hidden, is_picture
from easyvae.data.decode import MAX_BYTES, ImageError, fault_of

MAX_DIRECTORY = 32 * 2**20
MAX_RATIO = 100
# Below this size any ratio is harmless: an uncompressed PNG of one colour inflates 1000:1.
RATIO_FLOOR = 2**20
_LOCAL_HEADER = 30
_CHUNK = 2**18
# bzip2 and LZMA members cannot be inflated piece by piece within bounds by the standard library.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class _CappedFile(io.FileIO):
    """A file that refuses a read as large as an oversized table of contents asks for."""

    def read(self, size: int | None = -1) -> bytes:
        """Reads up to `size` bytes, or to the end, within the cap."""
        if size is None or size < 0 or size > MAX_DIRECTORY:
            size = MAX_DIRECTORY + 1
        data = super().read(size) or b""
        if len(data) > MAX_DIRECTORY:
            limit = f"{MAX_DIRECTORY // 2**20} MB"
            raise zipfile.BadZipFile(f"its table of contents is over {limit}; use a folder")
        return data


class Archive(Source):
    """The picture files in a zip archive, in the order of their names.

    Members that point outside the archive, links, hidden files and repeated names are skipped;
    encrypted, overlapping and unsupported ones are unreadable; archives within are ignored; the
    folders of runs are left out.

    Raises:
        ImageError: it is no zip archive, its table of contents is damaged or too long, or it is an
            archive of a run.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file = _CappedFile(path, opener=_open)
        try:
            self.fingerprint = archive_fingerprint(path)
            self._zip = zipfile.ZipFile(self._file)
            members = self._zip.infolist()
        # zipfile raises anything over a damaged archive, struct.error and UnicodeDecodeError too.
        except Exception as error:
            self._file.close()
            raise ImageError(path, f"not a readable zip archive: {fault_of(error)}") from error
        self._members: dict[str, zipfile.ZipInfo] = {}
        # As they should have been written: some systems take backslashes.
        names = [member.filename.replace("\\", "/") for member in members]
        runs = RunFolders(names)
        self.runs = len(runs)
        if runs.whole:
            self.close()
            raise ImageError(path, RUN_FAULT)
        overlapping = _overlapping(members, self._zip.start_dir)
        for name, member in zip(names, members, strict=True):
            if name not in runs:
                self._sort_in(member, member in overlapping)
        self.names = sorted(self._members)

    def _sort_in(self, member: zipfile.ZipInfo, overlaps: bool) -> None:
        """Decides whether a member is a candidate, unreadable, skipped or ignored."""
        name = member.filename
        parts = re.split(r"[/\\]", name)
        kind = stat.S_IFMT(member.external_attr >> 16)
        if name.endswith("/"):  # a folder; `member.is_dir()` fails where there is no name at all
            return
        if ".." in parts or parts[0] == "" or re.match(r"[A-Za-z]:", name):
            self.skipped.append((name, "points outside the archive"))
        elif any(is_hidden(part) for part in parts):
            self.skipped.append((name, "hidden"))
        elif kind == stat.S_IFLNK:
            self.skipped.append((name, "a symbolic link"))
        elif kind not in (0, stat.S_IFREG):
            self.skipped.append((name, "not a regular file"))
        elif not is_picture(name):
            self.ignored += 1
        elif name in self._members:
            self.skipped.append((name, "repeats the name of another member"))
        elif member.flag_bits & 0x1:
            self.unreadable.append((name, "encrypted"))
        elif member.compress_type not in _METHODS:
            self.unreadable.append((name, "neither stored nor deflated"))
        elif overlaps:
            self.unreadable.append((name, "overlaps another member"))
        else:
            self._members[name] = member
            self.size += member.compress_size

    def read(self, name: str) -> bytes:
        """Returns the content of one member, if it is within the caps and as long as it claims."""
        member = self._members[name]
        full_name = str(self.path / name)
        cap = min(MAX_BYTES, max(RATIO_FLOOR, MAX_RATIO * member.compress_size))
        chunks, total = [], 0
        try:
            with self._zip.open(member) as file:
                while chunk := file.read(_CHUNK):
                    chunks.append(chunk)
                    total += len(chunk)
                    if total > cap == MAX_BYTES:
                        raise ImageError(full_name, f"larger than {MAX_BYTES // 2**20} MB")
                    if total > cap:
                        fault = f"inflates by more than {MAX_RATIO}:1, as a zip bomb does"
                        raise ImageError(full_name, fault)
        except ImageError:
            raise
        except Exception as error:  # as above: zlib.error, EOFError, BadZipFile, OSError and more
            raise ImageError(full_name, f"damaged archive member: {fault_of(error)}") from error
        if total != member.file_size:
            raise ImageError(full_name, f"holds {total} bytes but claims {member.file_size}")
        return b"".join(chunks)

    def close(self) -> None:
        """Closes the archive."""
        self._zip.close()
        self._file.close()


def archive_fingerprint(path: Path) -> str:
    """Returns what changes whenever the archive is written to."""
    status = path.stat()
    stamp = (status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return hashlib.sha256(repr(stamp).encode()).hexdigest()


def _open(path: str, _: int) -> int:
    """Opens a file without waiting, should it have become a pipe."""
    return os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))


def _overlapping(members: list[zipfile.ZipInfo], end: int) -> set[zipfile.ZipInfo]:
    """Returns the members whose data runs into the next one's, or past the last one's end."""
    if not members:
        return set()
    ordered = sorted(members, key=lambda member: member.header_offset)
    ends = [member.header_offset for member in ordered[1:]] + [end]
    return {
        member
        for member, limit in zip(ordered, ends, strict=True)
        # At least so long: its local header may hold extra fields besides.
        if limit
        < member.header_offset + _LOCAL_HEADER + len(member.orig_filename) + member.compress_size
    }
