"""Folders that easyvae has written a run or a comparison to: what is in them is nobody's data."""

from bisect import bisect_left
from collections.abc import Iterable

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


def is_run(names: Iterable[str]) -> bool:
    """Returns whether a folder with these files and folders in it is a run's or a comparison's.

    Example:
        >>> is_run(["run.json", "model.safetensors", "curves.png"]), is_run(["run.json", "1.png"])
        (True, False)
    """
    marks = _MARKS.intersection(names)
    return any(pair <= marks for pair in _PAIRS)


class RunFolders:
    """The folders of runs and comparisons in an archive.

    Args:
        names: of its members, with slashes.

    Example:
        >>> runs = RunFolders(["a/1.png", "b/run.json", "b/model.safetensors", "b/curves.png"])
        >>> len(runs), "a/1.png" in runs, "b/curves.png" in runs
        (1, False, True)
    """

    def __init__(self, names: Iterable[str]) -> None:
        # Sorted, what a folder holds is found by halving: the names may be long and many.
        ordered = sorted(names)
        self._folders: list[str] = []
        for folder in sorted(name[: -len(key)] for name in ordered if (key := _key(name))):
            inside = (mark for mark in _MARKS if _has(ordered, folder + mark))
            if is_run(inside) and not self._folders_above(folder):
                self._folders.append(folder)

    def __len__(self) -> int:
        return len(self._folders)

    def __contains__(self, name: str) -> bool:
        return self._folders_above(name)

    @property
    def whole(self) -> bool:
        """Whether the archive is itself such a folder."""
        return self._folders == [""]

    def _folders_above(self, name: str) -> bool:
        # None is within another, so the last before the name is the only one that it can be in.
        at = bisect_left(self._folders, name)
        return any(name.startswith(folder) for folder in self._folders[max(0, at - 1) : at + 1])


def _key(name: str) -> str:
    """Returns the last part of a path if it is one that a run may be known by, or nothing."""
    last = name.rpartition("/")[2]
    return last if last in _KEYS else ""


def _has(ordered: list[str], name: str) -> bool:
    """Returns whether there is a file or folder of this name."""
    at = bisect_left(ordered, name)
    if at < len(ordered) and ordered[at] == name:
        return True
    at = bisect_left(ordered, name + "/")
    return at < len(ordered) and ordered[at].startswith(name + "/")
