"""A lock on a folder that ends with the process that took it, however that one ends."""

import contextlib
import errno
import os
import sys
from pathlib import Path
from typing import IO

_held: set[IO[bytes]] = set()


def take_lock(path: Path) -> IO[bytes]:
    """Takes an exclusive lock on a file, which is made if need be.

    Where the file system has no locks, there is none, and no error.

    Returns:
        The open file, for `drop_lock`.

    Raises:
        BlockingIOError: If another process, or another part of this one, has the lock.
        OSError: If the file cannot be made.
    """
    file = path.open("ab")
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
        _unlock(file)
        file.close()


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


def _unlock(file: IO[bytes]) -> None:
    if sys.platform != "win32":
        import fcntl

        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)


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
