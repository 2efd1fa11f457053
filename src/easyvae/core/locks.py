"""A lock on a folder that ends with the process that took it, however that one ends."""

import contextlib
import errno
import os
import stat
import sys
from pathlib import Path
from typing import IO

from easyvae.core.files import ModelFileError

_held: set[IO[bytes]] = set()


def take_lock(path: Path) -> IO[bytes]:
    """Takes an exclusive lock on a file, which is made if need be.

    Where the file system has no locks, there is none, and no error. Returns the open file, for
    `drop_lock`.

    Raises:
        BlockingIOError: If another process, or another part of this one, has the lock.
        ModelFileError: If there is something else in its place: a link, which a stranger may have
            led elsewhere, a folder, a pipe, a device.
        OSError: If the file cannot be made.
    """
    file = _open(path)
    try:
        _lock(file)
    except OSError:
        file.close()
        raise
    _held.add(file)
    return file


def drop_lock(file: IO[bytes]) -> None:
    """Drops a lock; does nothing in a process that has only inherited it."""
    if file in _held:
        _held.discard(file)
        if sys.platform != "win32":
            import fcntl

            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)
        file.close()


def _open(path: Path) -> IO[bytes]:
    """Opens the file of a lock, or makes it; nothing is ever written to it."""
    with contextlib.suppress(FileNotFoundError):
        _check(path, path.lstat())
    flags = os.O_RDWR | os.O_CREAT
    for name in ("O_NONBLOCK", "O_NOFOLLOW", "O_BINARY"):  # no system has them all
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        _check(path, os.fstat(descriptor))  # it may have come there just now
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "r+b")  # noqa: PTH123  # a descriptor is no path


def _check(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(path, "is not a regular file, as a lock has to be; remove it")


def _lock(file: IO[bytes]) -> None:
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError(*error.args) from None
    else:
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP):
                raise


def _let_go() -> None:
    """Closes what a new process has inherited: a loader's workers may outlive a killed run.

    They notice within some seconds that they are orphans. Until then the folder would stay
    locked, and the same run could not go on.
    """
    for file in _held:
        file.close()
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
