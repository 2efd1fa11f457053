"""Files that are complete or absent, and what is read from them with distrust."""

import errno
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any, BinaryIO

MAX_JSON = 100_000_000
"""Largest file of settings, in bytes."""
MAX_FAULT = 500
"""Longest fault that an error shows: a hostile file can have names of a megabyte."""


class ModelFileError(ValueError):
    """A model file, a checkpoint or another file of ours that cannot be used.

    Attributes:
        path: The file.
        fault: What is wrong with it, in one printable line.
    """

    def __init__(self, path: str | os.PathLike[str], fault: str) -> None:
        # What a file says must not forge a line of a log, or be too strange to print.
        line = printable(fault[: MAX_FAULT + 1])
        line = line if len(line) <= MAX_FAULT else f"{line[:MAX_FAULT]}..."
        # Both arguments are kept in `args`: so the error survives pickling by a worker.
        super().__init__(os.fspath(path), line)
        self.path = Path(path)
        self.fault = line

    def __str__(self) -> str:
        return f"{printable(str(self.path))}: {self.fault}"


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file to be read. Each file of ours, which may be anyone's, is opened so.

    A pipe would wait for ever for somebody to write to it, and a device may do anything: it is
    looked at before it is opened, opened without waiting, and looked at again.
    """
    path = Path(path)
    _check_regular(path, path.stat())
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    try:
        _check_regular(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")  # noqa: PTH123  # a descriptor is no path


def _check_regular(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ModelFileError(path, "is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(path, "is not a regular file")


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file so that it is there whole or, whatever happens, as it was before.

    The bytes go to a file beside it, reach the disk, and take its name. Permissions follow the
    process's umask. A link is replaced; what it leads to, which a stranger may have chosen, stays
    as it is.

    Raises:
        OSError: If the disk is full, the folder cannot be written, or `path` is a device, a pipe
            or the like; it names `path`, and nothing is left behind.
    """
    path = Path(path)
    # A name that nobody can have foreseen, and made a link of to some other file.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        if not path.is_symlink() and path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "is not a regular file")
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)
    except OSError as error:
        if error.errno is None:
            raise
        # A full disk's error names no file, and others the one beside it, which is gone.
        raise OSError(error.errno, error.strerror, str(path)) from error


def flush_folder(path: Path) -> None:
    """Makes the disk keep a new name, where the system and the folder's permissions allow it."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, and need not be
        return
    try:
        folder = os.open(path, os.O_RDONLY)
    except PermissionError:  # one may write to a folder without being allowed to list it
        return
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot
            raise
    finally:
        os.close(folder)


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a file with a JSON object in it, such as the settings of a run, or refuses."""
    with open_regular(path) as file:
        text = file.read(MAX_JSON + 1)
    try:
        if len(text) > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON / 1e6:.0f} MB")
        content = parse_json(text, most=MAX_JSON)
    except ValueError as error:
        raise ModelFileError(path, f"is not JSON ({error})") from None
    if not isinstance(content, dict):
        raise ModelFileError(path, "is not a JSON object")
    return content


_BYTES_PER_MARK = 12


def parse_json(text: bytes | str, *, most: int) -> Any:
    """Parses JSON from a file, at a cost that is known beforehand, or refuses.

    Parsed, a list of empty lists takes thirty times as much memory as its text. So brackets,
    commas and colons are counted first, and there may be one for every twelve bytes that `most`,
    the longest text that may come, allows: enough for 5,000 tensors in a megabyte. A key that is
    named twice is refused too, and what is nested deeper than Python's stack.
    """
    if is_crowded(text, most):
        raise ValueError("it lists more things than its length has room for")
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_crowded(text: bytes | str, most: int) -> bool:
    """Tells whether JSON has more brackets, commas and colons than `parse_json` takes."""
    counts = (
        text.count(mark.encode()) if isinstance(text, bytes) else text.count(mark)
        for mark in "[{,:"
    )
    return sum(counts) > most // _BYTES_PER_MARK


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"it names {name} twice")
        result[name] = value
    return result


def printable(text: str) -> str:
    r"""Returns `text` with line breaks and other unprintable characters escaped.

    File names hold any bytes: a line break would forge a line of a report, an escape sequence
    commands the terminal, and a lone surrogate cannot be printed at all.

    Example:
        >>> printable("a\nb")
        'a\\nb'
    """
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
