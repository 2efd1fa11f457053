"""Run folders: model, history, settings, and checkpoints from which a run goes on exactly."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from easyvae.checks import as_path
from easyvae.files import ModelFileError as ModelFileError  # part of this module's interface
from easyvae.files import check_tensors, read_json, read_tensors, write_file, write_tensors
from easyvae.history import COLUMNS, History, Row
from easyvae.locks import drop_lock, take_lock
from easyvae.model import VAE

VERSION = 1
MAX_HEADER = 100_000_000
"""Largest header of a checkpoint, in bytes: it holds the history of all epochs."""


@dataclass
class Progress:
    """Where a run stands: all of its state but the tensors.

    Attributes:
        epoch: Epochs completed.
        batch: Batches of the epoch under way that are done.
        step: Optimizer steps taken.
        sums: Total, reconstruction, KL and number of images, added up over those batches.
        seconds: Time that the epoch under way has taken.
        typical_norm: Running average of the gradient's norm, for clipping.
        best: Lowest validation loss so far.
        rows: The history.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    seconds: float = 0.0
    typical_norm: float | None = None
    best: float | None = None
    rows: list[Row] = field(default_factory=list)


class RunFolder:
    """The folder of one run, held by one process at a time.

    It holds `model.safetensors` (the best model on validation, else the last), `history.csv`,
    `run.json` (the settings) and `checkpoints/` (the newest complete state). Each file is
    written beside its target and renamed: it is complete or as it was before.

    Args:
        path: The folder; it is made if need be.
        owner: Whether this process is the one that writes.
    """

    def __init__(self, path: str | os.PathLike[str], *, owner: bool = True) -> None:
        """Looks at nothing yet."""
        self.path = as_path("out", path)
        self.model_path = self.path / "model.safetensors"
        self._checkpoints = self.path / "checkpoints"
        self._owner = owner
        self._lock: IO[bytes] | None = None

    def __enter__(self) -> Self:
        """Keeps other processes out until this one leaves or ends, however it ends.

        Raises:
            ValueError: If another process is training here, or `path` is a file.
        """
        if not self._owner:
            return self
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"`out` (={str(self.path)!r}) is a file; it must be a folder")
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = take_lock(self.path / ".lock")
        except BlockingIOError:
            raise ValueError(
                f"`out` (={str(self.path)!r}) is in use by another process; wait for it to end, "
                "or choose another folder"
            ) from None
        try:
            for name in ("run.json", "history.csv", "model.safetensors", "checkpoints/step-*"):
                folder, _, file = name.rpartition("/")
                for leftover in (self.path / folder).glob(f".{file}.*.tmp"):
                    leftover.unlink(missing_ok=True)
        except BaseException:
            drop_lock(self._lock)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        """Lets other processes in."""
        if self._lock is not None:
            drop_lock(self._lock)

    def open(self, settings: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
        """Begins a run with these settings, or makes sure that they are those of the run there.

        Returns:
            The settings of the run that was there, or `None`.

        Raises:
            ValueError: If the run there has other settings; the message names them.
            ModelFileError: If `run.json` is damaged.
        """
        if not resume:
            self._clear()
        before = self._settings()
        if before is not None:
            _compare(self.path, before, settings)
        elif any(self._checkpoints.glob("step-*.safetensors")):
            raise ValueError(
                f"`out` (={str(self.path)!r}) holds checkpoints but no run.json to tell what "
                "they are of; choose another folder, or pass `resume=False` (--fresh)"
            )
        text = json.dumps(settings, indent=2) + "\n"
        write_file(self.path / "run.json", text.encode())
        return before

    def _settings(self) -> dict[str, Any] | None:
        path = self.path / "run.json"
        try:
            settings = read_json(path)
        except FileNotFoundError:
            return None
        if not isinstance(settings.get("must_match"), dict):
            raise ModelFileError(path, "is not a run's settings")
        return settings

    def _clear(self) -> None:
        """Removes what an earlier run left, and nothing else.

        The settings last: as long as there is a checkpoint, there is something to compare.
        """
        for path in (
            *self._checkpoints.glob("step-*.safetensors"),
            self.model_path,
            self.path / "history.csv",
            self.path / "run.json",
        ):
            path.unlink(missing_ok=True)

    def save_model(self, model: VAE) -> None:
        """Writes the model for use."""
        if self._owner:
            model.save(self.model_path)

    def save(self, progress: Progress, model: nn.Module, optimizer: Optimizer) -> None:
        """Writes a checkpoint, and then removes the one before.

        Raises:
            TypeError: If the optimizer's state holds what neither a tensor nor JSON can hold.
            OSError: If it cannot be written; the one before is still there.
        """
        if not self._owner:
            return
        tensors: dict[str, Tensor] = {}
        metadata = {
            "kind": "checkpoint",
            "version": VERSION,
            "progress": asdict(progress),
            "model": _pack("model", model.state_dict(), tensors),
            "optimizer": _pack("optimizer", optimizer.state_dict(), tensors),
        }
        path = self._checkpoints / f"step-{progress.step:09}.safetensors"
        write_tensors(path, tensors, metadata, max_header=MAX_HEADER)
        self._remove_others(path)
        History(progress.rows).to_csv(self.path / "history.csv")

    def _remove_others(self, path: Path) -> None:
        for other in self._checkpoints.glob("step-*.safetensors"):
            if other != path:
                other.unlink(missing_ok=True)

    def restore(self, model: nn.Module, optimizer: Optimizer) -> Progress | None:
        """Puts the newest complete checkpoint into a model and its optimizer.

        Returns:
            Where the run stood, or `None` if there is no checkpoint.

        Raises:
            ModelFileError: If the newest is damaged and there is no other, or does not fit.
        """
        fault: ModelFileError | None = None
        for path in sorted(self._checkpoints.glob("step-*.safetensors"), reverse=True):
            try:
                tensors, metadata = read_tensors(path, max_header=MAX_HEADER)
            except ModelFileError as error:
                fault = fault or error
                continue
            if (metadata.get("kind"), metadata.get("version")) != ("checkpoint", VERSION):
                raise ModelFileError(
                    path,
                    f"is a {metadata.get('kind')} of version {metadata.get('version')}, and this "
                    f"easyvae reads checkpoints of version {VERSION}: upgrade easyvae",
                )
            try:  # all that can fail comes before the model is touched
                progress = Progress(**metadata["progress"])
                progress.rows = [_in_order(row) for row in progress.rows]
                state = _unpack(metadata["model"], tensors)
                check_tensors(path, state, model.state_dict())
                optimizer.load_state_dict(_unpack(metadata["optimizer"], tensors))
            except ModelFileError:
                raise
            except Exception as error:  # whole, and not what any run has written
                raise ModelFileError(path, f"does not fit this run ({error!r})") from error
            model.load_state_dict(state)
            _match_layouts(optimizer)
            if self._owner:  # what a kill after this checkpoint may have left undone
                History(progress.rows).to_csv(self.path / "history.csv")
                self._remove_others(path)
            return progress
        if fault is not None:
            raise fault
        return None


def _compare(path: Path, before: dict[str, Any], now: dict[str, Any]) -> None:
    now = json.loads(json.dumps(now))  # as it would have been read: tuples are lists there
    old, new = before["must_match"], now["must_match"]
    differing = [name for name in new if old.get(name) != new[name]]
    share = before.get("validation_share"), now["validation_share"]
    # With another split the two parts differ in any case, which says nothing of the pictures.
    if share[0] != share[1] or "seed" in differing:
        differing = [name for name in differing if name not in ("data", "validation")]
    found = [_difference(name, old.get(name), new[name]) for name in differing]
    if share[0] != share[1]:
        found.append(_difference("validation", *share))
    if found:
        pairs = ", ".join(found)
        raise ValueError(
            f"`out` (={str(path)!r}) holds a run that differs in {pairs}; choose another folder, "
            "or pass `resume=False` (--fresh) to start anew and lose that run"
        )


def _difference(name: str, before: Any, now: Any) -> str:
    if isinstance(before, dict) and isinstance(now, dict):
        both = {key: (before.get(key), now.get(key)) for key in {**before, **now}}
        pairs = {key: pair for key, pair in both.items() if pair[0] != pair[1]}
        return ", ".join(_difference(f"{name}.{key}", *pair) for key, pair in pairs.items())
    if name in ("data", "validation") and (isinstance(before, str) or isinstance(now, str)):
        return f"{name} (other pictures than before)"
    return f"{name} ({before!r}, now {now!r})"


def _in_order(row: Row) -> Row:
    """Gives a row's names the order of the history's columns; a file's are sorted."""
    return {name: row[name] for name in COLUMNS}  # type: ignore[literal-required,return-value]


def _pack(prefix: str, value: Any, tensors: dict[str, Tensor]) -> Any:
    """Turns nested state into JSON, and puts its tensors aside under names."""
    if isinstance(value, Tensor):
        tensors[prefix] = value
        return {"tensor": prefix}
    if isinstance(value, Mapping):
        items = [[key, _pack(f"{prefix}.{key}", item, tensors)] for key, item in value.items()]
        return {"dict": items}
    if isinstance(value, list | tuple):
        packed = [_pack(f"{prefix}.{i}", item, tensors) for i, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": packed}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"{prefix} is {type(value).__name__}, which a checkpoint cannot hold; an optimizer's "
        "state must be tensors, numbers, strings, lists, tuples and dicts"
    )


def _unpack(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items


def _match_layouts(optimizer: Optimizer) -> None:
    """Lays moments out in memory as their parameters are: fused kernels read them side by side."""
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if isinstance(value, Tensor) and value.shape == parameter.shape:
                state[key] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
