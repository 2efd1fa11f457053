"""What a checkpoint may hold, compared with what this run would have, before anything is touched.

A checksum tells damage, not forgery. An optimizer's fused step reads and writes as many values as
the parameter has, whatever the size of the state beside it, so a state of another shape would be
written past its end.
"""

import copy
import math
import sys
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from easyvae.core.seeds import RandomState
from easyvae.training.history import COLUMNS, Row


class Misfit(ValueError):
    """Something in a checkpoint that this run cannot have written; the message says what."""


@dataclass
class Progress:
    """Where a run stands: all of its state but the tensors."""

    epoch: int = 0  # completed
    batch: int = 0  # batches of the epoch under way that are done
    step: int = 0  # optimizer steps taken
    # Total, reconstruction, KL and number of images, added up over those batches.
    sums: list[float] = field(default_factory=lambda: [0.0] * 4)
    seconds: float = 0.0  # that the epoch under way has taken
    typical_norm: float | None = None  # running average of the gradient's norm, for clipping
    best: float | None = None  # lowest validation loss so far
    rows: list[Row] = field(default_factory=list)  # the history


def checkpoint_name(step: int) -> str:
    """Returns the name of the checkpoint after a step."""
    return f"step-{step:09}.safetensors"


def read_progress(record: Any, *, name: str, batches: int) -> Progress:
    """Reads where a run stands from the record in a checkpoint, whose name has the step.

    Refuses one in which a field is missing, of another type, out of its range, or contradicts the
    others, or the number of batches in an epoch of this run.
    """

    def check(field_name: str, sound: bool) -> None:
        if not sound:
            raise Misfit(f"its `{field_name}` is none of a run's")

    names = [f.name for f in fields(Progress)]
    if not isinstance(record, dict) or record.keys() != set(names):
        raise Misfit(f"its progress has not {', '.join(names)}")
    epoch, batch, step, sums, seconds, norm, best, rows = (record[n] for n in names)
    for count in ("epoch", "batch", "step"):
        check(count, type(record[count]) is int and record[count] >= 0)
    check("rows", isinstance(rows, list) and len(rows) == epoch)
    for number, row in enumerate(rows, start=1):
        check(f"rows[{number - 1}]", _is_row(row, number))
    check("batch", batch <= batches)  # all, before they are validated
    check("step", step == epoch * batches + batch and name == checkpoint_name(step))
    check("sums", isinstance(sums, list) and len(sums) == 4 and all(map(_is_number, sums)))
    check("sums", sums[3] >= batch if batch else not any(sums))
    check("seconds", _is_number(seconds) and seconds >= 0)
    check("typical_norm", _is_number(norm) and norm >= 0 if step else norm is None)
    losses = [row["val_loss"] for row in rows if row["val_loss"] is not None]
    check("best", best == min(losses, default=None) and not isinstance(best, bool))
    # A file's names are sorted; a row's are in the order of the history's columns.
    return Progress(**{**record, "rows": [{name: row[name] for name in COLUMNS} for row in rows]})


def check_optimizer(record: Any, optimizer: Optimizer, *, steps: int, own_rate: bool) -> None:
    """Refuses a state that this run's optimizer could not have after so many steps.

    What it could have is seen from a copy that takes a step. With a rate of its own the optimizer
    is the user's, whose options a schedule may change.
    """
    whole = isinstance(record, dict) and record.keys() == {"state", "param_groups"}
    if not (whole and isinstance(record["state"], dict)):
        raise Misfit("it has no optimizer's state")
    _check_groups(record["param_groups"], optimizer, own_rate)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    wanted = _after_a_step(optimizer)
    # Other packages' optimizers may take up more state after some steps.
    strict = type(optimizer).__module__.startswith(("torch.optim.", "easyvae."))
    for index, state in record["state"].items():
        place = f"the optimizer's state of parameter {index!r}"
        if type(index) is not int or not 0 <= index < len(parameters):
            raise Misfit(f"{place} is of none")
        example = None if wanted is None else wanted.get(index, {})
        if not isinstance(state, dict) or (strict and example and state.keys() != example.keys()):
            raise Misfit(f"{place} has other names")
        for name, value in state.items():
            if example is None or name not in example:
                fault = _fault_without_example(value, parameters[index], strict=strict)
            else:
                fault = _fault_beside_example(value, example[name])
            fault = fault or _fault_of_value(name, value, steps)
            if fault:
                raise Misfit(f"{place}, {name!r}, {fault}")


def _check_groups(groups: Any, optimizer: Optimizer, own_rate: bool) -> None:
    wanted = optimizer.state_dict()["param_groups"]
    if not isinstance(groups, list) or len(groups) != len(wanted):
        raise Misfit("its optimizer has other groups")
    for number, (group, want) in enumerate(zip(groups, wanted, strict=True)):
        if not isinstance(group, dict) or group.get("params") != want["params"]:
            raise Misfit(f"its optimizer's group {number} has other parameters")
        for name in {**want, **group}:
            changes = name == "lr" or own_rate
            if name in want and name in group:
                sound = group[name] == want[name] and type(group[name]) is type(want[name])
                sound = sound or (changes and _is_alike(group[name], want[name]))
            else:  # schedules note down where they began
                sound = changes and name not in want and _is_number(group[name])
            if not sound:
                raise Misfit(f"its optimizer's group {number} has another `{name}`")


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


def _fault_beside_example(value: Any, example: Any) -> str | None:
    """Returns how a value is of another kind than the one that this run would have."""
    if isinstance(example, Tensor):
        if not isinstance(value, Tensor):
            return "is no tensor"
        if (value.shape, value.dtype) != (example.shape, example.dtype):
            kinds = (f"{t.dtype} {tuple(t.shape)}" for t in (value, example))
            return " instead of ".join(kinds)
        return None
    if type(value) is not type(example):
        return f"is a {type(value).__name__} instead of a {type(example).__name__}"
    if isinstance(example, int | float | str | None) or _is_alike(value, example):
        return None
    return "is of another kind"


def _fault_without_example(value: Any, parameter: Tensor, *, strict: bool) -> str | None:
    """Returns what is wrong with a value that nothing of this run is like."""
    if strict:
        return "does not belong there"
    if isinstance(value, Tensor):
        return None if value.shape in (parameter.shape, ()) else f"is {tuple(value.shape)}"
    return None if value is None or isinstance(value, str) or _is_number(value) else "is no number"


def _fault_of_value(name: str, value: Any, steps: int) -> str | None:
    """Returns how a value is none that training can lead to."""
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
    """Compares the kinds of two options; whatever is no fraction must be equal."""
    if isinstance(b, list | tuple) and isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(_is_alike, a, b))
    if isinstance(b, Tensor) and isinstance(a, Tensor):
        return a.shape == b.shape and a.dtype == b.dtype and bool(a.isfinite().all())
    if isinstance(b, float):
        return _is_number(a)
    return type(a) is type(b) and bool(a == b)


def _is_number(value: Any) -> bool:
    # NaN is below nothing, and an integer of 400 digits above all floats.
    return type(value) in (int, float) and abs(value) <= sys.float_info.max


def _is_row(row: Any, epoch: int) -> bool:
    if not isinstance(row, dict) or row.keys() != set(COLUMNS):
        return False
    unvalidated = all(row[name] is None for name in COLUMNS if name.startswith("val_"))
    figures = [n for n in COLUMNS if not (unvalidated and n.startswith("val_"))]
    return (
        type(row["epoch"]) is int
        and row["epoch"] == epoch
        and all(_is_number(row[name]) for name in figures)
    )
