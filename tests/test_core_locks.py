"""One holder at a time, and none that outlives the process that took the lock."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from easyvae.core.files import ModelFileError
from easyvae.core.locks import drop_lock, take_lock


def test_there_is_one_holder(tmp_path: Path) -> None:
    """A second one is refused, in this process too, until the first lets go."""
    first = take_lock(tmp_path / "lock")
    with pytest.raises(BlockingIOError):
        take_lock(tmp_path / "lock")
    drop_lock(first)
    drop_lock(first)  # once more does nothing
    drop_lock(take_lock(tmp_path / "lock"))


def test_a_file_that_cannot_be_made_is_another_error(tmp_path: Path) -> None:
    """It is not taken for a lock that someone has."""
    with pytest.raises(FileNotFoundError):
        take_lock(tmp_path / "no" / "lock")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "link to a pipe"])
@pytest.mark.parametrize("late", [False, True])
def test_what_is_no_file_is_no_lock(
    kind: str, late: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is refused at once, also if it comes there late, and what a link leads to is not made."""
    path, elsewhere = tmp_path / "lock", tmp_path / "elsewhere"

    def put() -> None:
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        else:
            path.symlink_to(elsewhere)
            if kind == "link to a pipe":
                os.mkfifo(elsewhere)

    opening = os.open

    def put_and_open(path: Path, flags: int, mode: int) -> int:
        put()
        return opening(path, flags, mode)

    if late:
        monkeypatch.setattr(os, "open", put_and_open)
    else:
        put()
    with pytest.raises((ModelFileError, OSError)) as caught:
        take_lock(path)
    assert not isinstance(caught.value, BlockingIOError)
    assert str(path) in str(caught.value)
    assert not elsewhere.is_file()


ORPHANED = """
import os, signal, sys, time
from pathlib import Path
from easyvae.core.locks import take_lock

take_lock(Path(sys.argv[1]))
child = os.fork()
if child == 0:
    os.close(1)  # or whoever reads it would wait for this process too
    time.sleep(60)
    os._exit(0)
print(child, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="only a fork inherits open files")
def test_a_child_does_not_keep_the_lock_of_a_killed_parent(tmp_path: Path) -> None:
    """A loader's workers live on for seconds; the run can go on at once."""
    done = subprocess.run(
        [sys.executable, "-c", ORPHANED, str(tmp_path / "lock")],
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    child = int(done.stdout)
    try:
        os.kill(child, 0)  # it is alive
        deadline = time.monotonic() + 5
        while True:
            try:
                return drop_lock(take_lock(tmp_path / "lock"))
            except BlockingIOError:  # the child may not have come to its first line yet
                assert time.monotonic() < deadline, "the child has kept the lock"
                time.sleep(0.05)
    finally:
        os.kill(child, 9)
