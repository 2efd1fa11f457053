"""Run folders: model, history, settings, and checkpoints from which a run goes on exactly."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from easyvae.core.checks import as_path
from easyvae.core.files import ModelFileError as ModelFileError  # part of this module's interface
from easyvae.core.files import read_json, write_file
from easyvae.core.locks import drop_lock, take_lock
from easyvae.core.tensor_file import check_tensors, read_tensors, write_tensors
from easyvae.data import Images, Pictures, as_pictures
from easyvae.model import VAE
from easyvae.training.checkpoint_checks import (
    Misfit,
    Progress,
    check_optimizer,
    checkpoint_name,
    read_progress,
)
from easyvae.training.console import Console
from easyvae.training.distributed import SingleProcess
from easyvae.training.history import History
from easyvae.training.open_data import DataOpener
from easyvae.training.settings import RunRecord, compare, must_match

VERSION = 2
MAX_HEADER = 100_000_000
"""Largest header of a checkpoint, in bytes: it holds the history of all epochs."""


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
        self.path = as_path("out", path)
        self.model_path = self.path / "model.safetensors"
        self.history_path = self.path / "history.csv"
        self._settings_path = self.path / "run.json"
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
        self.path.mkdir(parents=True, exist_ok=True)
        try:
            self._lock = take_lock(self.path / ".lock")
        except BlockingIOError:
            raise ValueError(
                f"`out` (={str(self.path)!r}) is in use by another process; wait for it to end, "
                "or choose another folder"
            ) from None
        try:
            checkpoint = self._checkpoints / "step-*"
            for file in (self._settings_path, self.history_path, self.model_path, checkpoint):
                for leftover in file.parent.glob(f".{file.name}.*.tmp"):
                    leftover.unlink(missing_ok=True)
        except BaseException:
            drop_lock(self._lock)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            drop_lock(self._lock)

    def open(self, settings: dict[str, Any], *, resume: bool) -> dict[str, Any] | None:
        """Begins a run with these settings, or makes sure that they are those of the run there.

        Returns:
            The settings of the run that was there, or `None`.

        Raises:
            ValueError: If the run there has other settings, or only a part of a run is there; the
                message names what differs or is missing.
            ModelFileError: If `run.json` is damaged.
        """
        if not resume:  # settings last: as long as there is a checkpoint, they can be compared
            written = *self._saved(), self.model_path, self.history_path, self._settings_path
            for path in written:
                path.unlink(missing_ok=True)
        before = _read_settings(self._settings_path)
        differing = [] if before is None else compare(before, settings)
        if differing:
            raise ValueError(
                f"`out` (={str(self.path)!r}) holds a run that differs in {', '.join(differing)}; "
                "choose another folder, or pass `resume=False` (--fresh) to start anew and lose "
                "that run"
            )
        checkpoints = self._saved()
        held = [path.name for path in (self.model_path, self.history_path) if path.exists()]
        missing = "checkpoint to go on from"
        if before is None:
            held = ["checkpoints"] * bool(checkpoints) + held
            missing = "run.json to tell of what run"
        if held and not (before and checkpoints):
            raise ValueError(
                f"`out` (={str(self.path)!r}) holds {' and '.join(held)} but no {missing}; choose "
                "another folder, or pass `resume=False` (--fresh) to start anew and lose what is "
                "there"
            )
        self._checkpoints.mkdir(exist_ok=True)
        write_file(self._settings_path, (json.dumps(settings, indent=2) + "\n").encode())
        return before

    def _saved(self) -> list[Path]:
        """Lists the checkpoints, the newest first; a kill may have left more than one."""
        return sorted(self._checkpoints.glob("step-*.safetensors"), reverse=True)

    def save_model(self, model: VAE) -> None:
        """Writes the model for use."""
        if self._owner:
            model.save(self.model_path)

    def save(
        self, progress: Progress, model: nn.Module, loss: nn.Module, optimizer: Optimizer
    ) -> None:
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
            "loss": _pack("loss", loss.state_dict(), tensors),
            "optimizer": _pack("optimizer", optimizer.state_dict(), tensors),
        }
        path = self._checkpoints / checkpoint_name(progress.step)
        write_tensors(path, tensors, metadata, max_header=MAX_HEADER)
        self._complete(path, progress)

    def _complete(self, path: Path, progress: Progress) -> None:
        """Does what comes after a checkpoint: a kill may have left it undone."""
        for other in self._saved():
            if other != path:
                other.unlink(missing_ok=True)
        if progress.rows:
            History(progress.rows).to_csv(self.history_path)

    def restore(
        self,
        model: nn.Module,
        loss: nn.Module,
        optimizer: Optimizer,
        *,
        batches: int,
        own_rate: bool,
    ) -> Progress | None:
        """Puts the newest complete checkpoint into a model, its loss and its optimizer.

        Args:
            model: The model.
            loss: The loss, whose parameters and buffers are restored too.
            optimizer: The optimizer.
            batches: Batches in an epoch.
            own_rate: Whether the optimizer is the user's, whose options a schedule may change.

        Returns:
            Where the run stood, or `None` if there is no checkpoint.

        Raises:
            ModelFileError: If the newest is damaged and there is no other, or does not fit. Then
                nothing has been changed.
        """
        fault: ModelFileError | None = None
        for path in self._saved():
            try:
                tensors, metadata = read_tensors(path, max_header=MAX_HEADER)
            except ModelFileError as error:
                fault = fault or error
                continue
            _check_version(path, metadata)
            try:  # all that can fail comes before anything is touched
                model_state, loss_state, optimizer_state = (
                    _unpack(metadata[name], tensors) for name in ("model", "loss", "optimizer")
                )
                progress = read_progress(metadata["progress"], name=path.name, batches=batches)
                _check_state(path, model_state, model.state_dict())
                _check_state(path, loss_state, loss.state_dict())
                check_optimizer(optimizer_state, optimizer, steps=progress.step, own_rate=own_rate)
                optimizer.load_state_dict(optimizer_state)
            except ModelFileError:
                raise
            except Exception as error:  # whole, and not what this run has written
                reason = f": {error}" if isinstance(error, Misfit) else f" ({error!r})"
                raise ModelFileError(path, f"does not fit this run{reason}") from error
            model.load_state_dict(model_state)
            loss.load_state_dict(loss_state)
            _match_layouts(optimizer)
            if self._owner:
                self._complete(path, progress)
            return progress
        if fault is not None:
            raise fault
        return None


def check_apart(out: str | PathLike[str] | None, pictures: str | None) -> None:
    """Refuses the folder of the pictures themselves: a run's own would come to lie among them."""
    if out is None or pictures is None:
        return
    if Path(out).resolve() == Path(pictures).resolve():
        raise ValueError(
            f"`out` (={str(out)!r}) is the folder of the pictures; choose another one, beside "
            "them or in it"
        )


def _check_state(path: Path, state: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Compares a module's state: its tensors by their kinds, the rest (extra state) by name.

    What that rest may be is known to the module alone, whose `set_extra_state` it reaches.
    """
    parts = [{k: v for k, v in s.items() if isinstance(v, Tensor)} for s in (state, wanted)]
    check_tensors(path, *parts)
    if state.keys() != wanted.keys():
        raise Misfit("it has other extra states")


def _check_version(path: Path, metadata: Mapping[str, Any]) -> None:
    kind, version = metadata.get("kind"), metadata.get("version")
    if kind != "checkpoint":
        raise ModelFileError(path, f"holds a {kind}, not a checkpoint")
    if type(version) is not int or version != VERSION:
        newer = type(version) is int and version > VERSION
        advice = "upgrade easyvae" if newer else "pass `resume=False` (--fresh) to start anew"
        versions = f"version {version!r}, and this easyvae reads version {VERSION}"
        raise ModelFileError(path, f"is a checkpoint of {versions}: {advice}")


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


def _read_settings(path: Path) -> dict[str, Any] | None:
    """Reads a `run.json`, if there is one."""
    if not path.exists():
        return None
    settings = read_json(path)
    must_match(path, settings)
    return settings


def read_run(model: str | PathLike[str]) -> RunRecord | None:
    """Reads the settings of the run that a run folder holds, or a model file comes from, if any.

    Raises:
        ModelFileError: If they are damaged.
    """
    folder = Path(model)
    path = (folder.parent if folder.name == "model.safetensors" else folder) / "run.json"
    settings = _read_settings(path)
    return None if settings is None else RunRecord.of(path, settings)


class Division(NamedTuple):
    """What a run has made of a set of pictures; each part is in a random order."""

    training: Images
    held_out: Images | None  # `None` if it was trained on all of them


def divide_as_run(pictures: Pictures, run: RunRecord) -> Division | None:
    """Divides pictures, read as a run has read them, as it has done; `None` if they are others."""
    shape, count = tuple(pictures.images.shape[1:]), len(pictures)
    console = Console(enabled=False)
    opener = DataOpener(shape, 1, run.seed, False, SingleProcess("cpu"), console)
    if run.validation_share is not None:
        try:
            training, held_out = opener.open(pictures, run.validation_share)
        except ValueError:  # they cannot be divided so, as all copies of one picture
            return None
        if held_out is None or held_out.fingerprint() != run.validation:
            return None
        return Division(training.feed.sample(count), held_out.feed.sample(count))
    for flip in (False, True):  # the fingerprint tells whether pictures were mirrored
        training, _ = opener.open(as_pictures(pictures, shape, flip=flip), None)
        if training.fingerprint() == run.data:
            return Division(training.feed.sample(count), None)
    return None
