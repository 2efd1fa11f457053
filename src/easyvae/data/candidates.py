"""Which files of a source are its pictures: by their names, and not written by easyvae itself."""

from bisect import bisect_left
from collections.abc import Iterable
from pathlib import Path

from easyvae.data.decode import EXTENSIONS, read_file

_LITTER = frozenset({"thumbs.db", "desktop.ini", "__macosx"})
_ENDINGS = tuple(EXTENSIONS)
_KEYS = frozenset({"run.json", "comparison.json", "results.json"})
# What easyvae writes: a folder is its own where both of one pair are.
_PAIRS = (
    frozenset({"run.json", "checkpoints"}),
    frozenset({"run.json", "model.safetensors"}),
    frozenset({"comparison.json", "runs"}),
    frozenset({"results.json", "report.html"}),
)
_MARKS = frozenset[str]().union(*_PAIRS)

RUN_FAULT = (
    "holds a run or comparison of easyvae, whose pictures are no data; keep your own in a folder "
    "beside it"
)
"""What is wrong with a source that is itself such a folder, or an archive of one."""


class Source:
    """A set of picture files: their names are known, their contents are read one by one.

    Attributes:
        path: what the names are relative to: the folder, or the archive.
        names: the candidates (files with a picture's extension) in sorted order, relative to it.
        size: how many bytes the candidates take.
        unreadable: (name, reason) of what is known to be unreadable before it is read.
        skipped: (name, reason) of what is never to be read.
        ignored: how many files of other kinds there are. Hidden ones are not counted.
        runs: how many folders are left out since easyvae has written a run or comparison there.
        fingerprint: changes whenever a file is added, removed, renamed or written to.
    """

    fingerprint: str

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names: list[str] = []
        self.size = 0
        self.unreadable: list[tuple[str, str]] = []
        self.skipped: list[tuple[str, str]] = []
        self.ignored = 0
        self.runs = 0

    def read(self, name: str) -> bytes:
        """Returns the content of a candidate, or raises `ImageError`."""
        return read_file(self.path / name)

    def close(self) -> None:
        """Lets go of open files."""


def is_picture(name: str) -> bool:
    """Returns whether a file's extension is a picture's, in any case."""
    # Asked of every file at every start: several times as fast as `PurePosixPath(name).suffix`.
    return name.lower().endswith(_ENDINGS)


def is_hidden(name: str) -> bool:
    """Returns whether a file or folder is hidden, or is an operating system's litter."""
    return name.startswith(".") or name.lower() in _LITTER


def is_run(names: Iterable[str]) -> bool:
    """Returns whether a folder with these files and folders in it is a run's or a comparison's."""
    marks = _MARKS.intersection(names)
    return any(pair <= marks for pair in _PAIRS)


class RunFolders:
    """The folders of runs and comparisons in an archive; a name within one of them is `in` it.

    Args:
        names: of the archive's members, with slashes.
    """

    def __init__(self, names: Iterable[str]) -> None:
        # Sorted, what a folder holds is found by halving: the names may be long and many.
        ordered = sorted(names)
        self._folders: list[str] = []
        keys = ((name, name.rpartition("/")[2]) for name in ordered)
        for folder in sorted(name[: -len(key)] for name, key in keys if key in _KEYS):
            inside = (mark for mark in _MARKS if _has(ordered, folder + mark))
            if is_run(inside) and folder not in self:
                self._folders.append(folder)

    def __len__(self) -> int:
        return len(self._folders)

    def __contains__(self, name: str) -> bool:
        # None is within another, so the last before the name is the only one that it can be in.
        at = bisect_left(self._folders, name)
        return any(name.startswith(folder) for folder in self._folders[max(0, at - 1) : at + 1])

    @property
    def whole(self) -> bool:
        """Whether the archive is itself such a folder."""
        return self._folders == [""]


def _has(ordered: list[str], name: str) -> bool:
    """Returns whether there is a file or folder of this name."""
    file, inside = (bisect_left(ordered, start) for start in (name, name + "/"))
    is_file = ordered[file : file + 1] == [name]
    return is_file or any(each.startswith(name + "/") for each in ordered[inside : inside + 1])
