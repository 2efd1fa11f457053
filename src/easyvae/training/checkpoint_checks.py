"""What a checkpoint may hold, compared with what this run would have, before anything is touched.

A checksum tells damage, not forgery. An optimizer's fused step reads and writes as many values as
the parameter has, whatever the size of the state beside it, so a state of another shape would be
written past its end.
"""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from easyvae.core.files import ModelFileError
from easyvae.core.seeds import RandomState
from easyvae.training.history import COLUMNS, Row


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


def read_progress(path: Path, record: Any, *, batches: int) -> Progress:
    """Reads the record of where a run stands.

    Args:
        path: The checkpoint, for errors; its name has the step.
        record: What it holds.
        batches: Batches in an epoch of this run.

    Raises:
        ModelFileError: If a field is missing, of another type, out of its range, or contradicts
            the others; it names the field.
    """

    def check(name: str, sound: bool) -> None:
        if not sound:
            raise ModelFileError(path, f"does not fit this run: its `{name}` is none of a run's")

    if not isinstance(record, dict) or record.keys() != {f.name for f in fields(Progress)}:
        raise ModelFileError(path, f"does not fit this run: its progress has not {_names()}")
    for name in ("epoch", "batch", "step"):
        check(name, type(record[name]) is int and record[name] >= 0)
    rows, sums = record["rows"], record["sums"]
    check("rows", isinstance(rows, list) and len(rows) == record["epoch"])
    for number, row in enumerate(rows, start=1):
        check(f"rows[{number - 1}]", _is_row(row) and row["epoch"] == number)
    check("batch", record["batch"] <= batches)  # all, before they are validated
    check("step", record["step"] == record["epoch"] * batches + record["batch"])
    check("step", path.name == checkpoint_name(record["step"]))
    check("sums", isinstance(sums, list) and len(sums) == 4 and all(map(_is_number, sums)))
    check("sums", record["batch"] > 0 or not any(sums))
    check("sums", record["batch"] == 0 or sums[3] >= record["batch"])
    check("seconds", _is_number(record["seconds"]) and record["seconds"] >= 0)
    norm, best = record["typical_norm"], record["best"]
    check("typical_norm", norm is None if record["step"] == 0 else _is_number(norm) and norm >= 0)
    losses = [row["val_loss"] for row in rows if row["val_loss"] is not None]
    check("best", best == min(losses, default=None) and not isinstance(best, bool))
    # A file's names are sorted; a row's are in the order of the history's columns.
    record = record | {"rows": [{name: row[name] for name in COLUMNS} for row in rows]}
    return Progress(**record)


def checkpoint_name(step: int) -> str:
    """Returns the name of the checkpoint after a step."""
    return f"step-{step:09}.safetensors"


def check_optimizer(
    path: Path, found: Any, optimizer: Optimizer, *, steps: int, own_rate: bool
) -> None:
    """Makes sure that an optimizer's state is one that this run's optimizer could have.

    What it could have is seen from a copy that takes a step.

    Args:
        path: The checkpoint, for errors.
        found: The state that it holds, as `Optimizer.state_dict` has it.
        optimizer: This run's optimizer; it stays as it is.
        steps: Steps that the run has taken.
        own_rate: Whether the optimizer is the user's, whose options a schedule may change.

    Raises:
        ModelFileError: If not; it names what differs.
    """
    whole = isinstance(found, dict) and found.keys() == {"state", "param_groups"}
    if not (whole and isinstance(found["state"], dict)):
        raise ModelFileError(path, "does not fit this run: it has no optimizer's state")
    _check_groups(path, found["param_groups"], optimizer, own_rate)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    wanted = _after_a_step(optimizer)
    # Other packages' optimizers may take up more state after some steps.
    strict = type(optimizer).__module__.startswith(("torch.optim.", "easyvae."))
    for index, state in found["state"].items():
        place = f"the optimizer's state of parameter {index!r}"
        if type(index) is not int or not 0 <= index < len(parameters):
            raise ModelFileError(path, f"does not fit this run: {place} is of none")
        example = None if wanted is None else wanted.get(index, {})
        if not isinstance(state, dict) or (strict and example and state.keys() != example.keys()):
            raise ModelFileError(path, f"does not fit this run: {place} has other names")
        for name, value in state.items():
            if example is None or name not in example:
                fault = _is_odd(value, parameters[index], strict=strict)
            else:
                fault = _differs(value, example[name])
            fault = fault or _is_out_of_range(name, value, steps)
            if fault:
                raise ModelFileError(path, f"does not fit this run: {place}, {name!r}, {fault}")


def _check_groups(path: Path, found: Any, optimizer: Optimizer, own_rate: bool) -> None:
    wanted = optimizer.state_dict()["param_groups"]
    if not isinstance(found, list) or len(found) != len(wanted):
        raise ModelFileError(path, "does not fit this run: its optimizer has other groups")
    for number, (group, want) in enumerate(zip(found, wanted, strict=True)):
        place = f"does not fit this run: its optimizer's group {number}"
        if not isinstance(group, dict) or group.get("params") != want["params"]:
            raise ModelFileError(path, f"{place} has other parameters")
        for name in {**want, **group}:
            changes = name == "lr" or own_rate
            if name in want and name in group:
                sound = group[name] == want[name] and type(group[name]) is type(want[name])
                sound = sound or (changes and _is_alike(group[name], want[name]))
            else:  # schedules note down where they began
                sound = changes and name not in want and _is_number(group[name])
            if not sound:
                raise ModelFileError(path, f"{place} has another `{name}`")


def _after_a_step(optimizer: Optimizer) -> dict[int, dict[str, Any]] | None:
    """Returns the state that an optimizer has after a step, or `None` if a copy can take none."""
    try:
        twin = copy.deepcopy(optimizer)
        for group in twin.param_groups:
            for p in group["params"]:
                p.grad = torch.zeros_like(p) if p.requires_grad else None
        with RandomState(0).active():
            twin.step()
        state: dict[int, dict[str, Any]] = twin.state_dict()["state"]
    except Exception:  # an optimizer of any package: what it needs beyond gradients is its own
        return None
    return state


def _differs(value: Any, like: Any) -> str | None:
    """Says how a value is of another kind than the one that this run would have."""
    if isinstance(like, Tensor):
        if not isinstance(value, Tensor):
            return "is no tensor"
        if (value.shape, value.dtype) != (like.shape, like.dtype):
            kinds = (f"{t.dtype} {tuple(t.shape)}" for t in (value, like))
            return " instead of ".join(kinds)
        return None
    if type(value) is not type(like):
        return f"is a {type(value).__name__} instead of a {type(like).__name__}"
    if isinstance(like, int | float | str | None):
        return None
    return None if _is_alike(value, like) else "is of another kind"


def _is_odd(value: Any, parameter: Tensor, *, strict: bool) -> str | None:
    """Says what is wrong with a value that nothing of this run is like."""
    if strict:
        return "does not belong there"
    if isinstance(value, Tensor):
        return None if value.shape in (parameter.shape, ()) else f"is {tuple(value.shape)}"
    return None if value is None or isinstance(value, str) or _is_number(value) else "is no number"


def _is_out_of_range(name: str, value: Any, steps: int) -> str | None:
    """Says how a value is none that training can lead to."""
    if isinstance(value, Tensor):
        if value.is_floating_point() and not value.isfinite().all():
            return "is not finite"
        if "sq" in name and value.numel() and float(value.min()) < 0:
            return "is a negative average of squares"
    elif isinstance(value, float) and not math.isfinite(value):
        return "is not finite"
    if name == "step":
        count = float(value)
        if not (count.is_integer() and 0 <= count <= steps):
            return f"is {count:g} after {steps} steps"
    return None


def _is_alike(a: Any, b: Any) -> bool:
    """Tells whether two options are of one kind; whatever is no fraction must be equal."""
    if isinstance(b, list | tuple) and isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_is_alike, a, b))
    if isinstance(b, Tensor) and isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(a.isfinite().all())
    if isinstance(b, float) and not isinstance(b, bool):
        return _is_number(a)
    return type(a) is type(b) and bool(a == b)


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and _is_finite(float, value)
    )


def _is_finite(convert: Any, value: Any) -> bool:
    try:
        return math.isfinite(convert(value))
    except OverflowError:  # an integer of 400 digits
        return False


def _is_row(row: Any) -> bool:
    if not isinstance(row, dict) or row.keys() != set(COLUMNS) or type(row["epoch"]) is not int:
        return False
    figures: Mapping[str, Any] = {k: v for k, v in row.items() if k != "epoch"}
    validation = [v for k, v in figures.items() if k.startswith("val_")]
    if all(v is None for v in validation):
        figures = {k: v for k, v in figures.items() if not k.startswith("val_")}
    return all(map(_is_number, figures.values()))


def _names() -> str:
    return ", ".join(asdict(Progress()))
