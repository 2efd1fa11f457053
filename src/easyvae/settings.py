"""What a run is made of, written down so that another one can be told from it.

A run may go on only as what it began: `describe` turns a loss, a term or a schedule of the user's
own into plain values that JSON can hold, numbers to their last digit and functions by what they
do. `compare` names what differs.
"""

import dis
import enum
import functools
import hashlib
import json
import math
import sys
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

_MOST_PARTS = 2000
"""Values that one description may have: beyond, whatever is described holds half the program."""
_LISTED = 3
_LIBRARIES = frozenset({"easyvae", "numpy", "torch", *sys.stdlib_module_names} - {"__main__"})
"""Their functions are known by their names: what they do is told by their versions."""
_PLAIN = (torch.dtype, torch.device, torch.memory_format, Path, enum.Enum, bytes, complex)
_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


class Description:
    """Turns values into JSON, and notes what it could not look into.

    Attributes:
        unknown: The names of what is known by its name only: two of a kind look alike.

    Example:
        >>> from easyvae.schedules import LinearWarmup
        >>> Description().of("schedule", LinearWarmup(0.5))
        {'class': 'LinearWarmup', 'beta': 0.5, 'share': 0.25}
    """

    def __init__(self) -> None:
        """Has described nothing yet."""
        self.unknown: list[str] = []
        self._parts = 0
        self._open: set[int] = set()

    def of(self, name: str, value: Any) -> Any:
        """Describes a value; `name` is what to call it if it cannot be looked into."""
        if isinstance(value, float | np.floating):
            number = float(value)
            return number if math.isfinite(number) else str(number)
        if value is None or isinstance(value, bool | int | str):
            return value
        self._parts += 1
        if self._parts > _MOST_PARTS or id(value) in self._open:
            return self._unknown(name, value) if self._parts > _MOST_PARTS else "(itself)"
        self._open.add(id(value))
        try:
            return self._inside(name, value)
        finally:
            self._open.discard(id(value))

    def _inside(self, name: str, value: Any) -> Any:
        if isinstance(value, Tensor | np.ndarray | np.generic):
            return _array(value)
        if isinstance(value, Mapping):
            return {str(key): self.of(f"{name}.{key}", item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.of(f"{name}[{i}]", item) for i, item in enumerate(value)]
        if isinstance(value, set | frozenset):
            return sorted((self.of(name, item) for item in value), key=json.dumps)
        if isinstance(value, type):
            return {"class": _name_of(value), **self._methods(name, value)}
        if isinstance(value, _PLAIN):
            return str(value)
        if isinstance(value, functools.partial):
            bound = {"arguments": value.args, "options": value.keywords}
            return {"partial": self.of(name, value.func), **self.of(name, bound)}
        if isinstance(value, types.MethodType):
            return {"method": value.__name__, "of": self.of(name, value.__self__)}
        if isinstance(value, types.FunctionType):
            return self._function(name, value)
        if isinstance(value, types.ModuleType):
            return value.__name__
        if isinstance(value, nn.Module):
            return self._module(name, value)
        slots = [s for kind in type(value).__mro__ for s in getattr(kind, "__slots__", ())]
        if hasattr(value, "__dict__") or slots:
            held = {s: getattr(value, s) for s in slots if hasattr(value, s)}
            held |= getattr(value, "__dict__", {})
            return self.of(name, type(value)) | self.of(name, held)
        if isinstance(value, types.BuiltinFunctionType) and value.__self__ is not None:
            return value.__qualname__  # math.cos, torch.sigmoid
        return self._unknown(name, value)

    def _unknown(self, name: str, value: Any) -> str:
        if name not in self.unknown:
            self.unknown.append(name)
        return _name_of(type(value))

    def _function(self, name: str, function: types.FunctionType) -> Any:
        """Describes a function by its code, and by all that it takes from around it."""
        if _is_library(function.__module__):
            return _name_of(function)
        code = function.__code__
        cells = function.__closure__ or ()
        closure = {
            free: self.of(f"{name}.{free}", _content(cell))
            for free, cell in zip(code.co_freevars, cells, strict=True)
        }
        around = {
            used: self.of(f"{name}.{used}", function.__globals__[used])
            for used in sorted(_globals_of(code))
            if used in function.__globals__
        }
        defaults = self.of(name, [function.__defaults__, function.__kwdefaults__])
        return {
            "function": function.__qualname__,
            "code": _digest(repr(_code(code))),
            **({"defaults": defaults} if any(defaults) else {}),
            **closure,
            **around,
        }

    def _methods(self, name: str, kind: type) -> dict[str, Any]:
        """Describes the code of a user's own class."""
        found = {
            f"{method}()": self.of(f"{name}.{method}", function)
            for owner in reversed(kind.__mro__)
            if not _is_library(owner.__module__)
            for method, function in sorted(vars(owner).items())
            if isinstance(function, types.FunctionType) and function.__module__ == owner.__module__
        }
        return {"methods": found} if found else {}

    def _module(self, name: str, module: nn.Module) -> Any:
        """Describes a module's attributes, and the shapes of what is trained or restored."""
        held = {k: v for k, v in vars(module).items() if k not in _OF_EVERY_MODULE}
        saved = module.state_dict(keep_vars=True)
        tensors = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        return (
            self.of(name, type(module))
            | self.of(name, held)
            | {k: _kind(t) if k in saved else self.of(f"{name}.{k}", t) for k, t in tensors}
            | {k: self.of(f"{name}.{k}", child) for k, child in module.named_children()}
        )


def shape_of(model: nn.Module) -> str:
    """Returns the layers of a model, one in a line, as torch shows any module."""
    return nn.Module.__repr__(model)


def describe_layers(model: nn.Module, description: Description) -> dict[str, Any]:
    """Describes a model of which its config does not tell all: a subclass, or with other layers.

    Args:
        model: The model.
        description: Notes what cannot be looked into.
    """
    own = {
        name: description.of(f"layers.{name}", module)
        for name, module in model.named_modules()
        if name and not _is_library(type(module).__module__)
    }
    kind: dict[str, Any] = description.of("layers", type(model))
    return kind | {"layers": _digest(shape_of(model))} | own


def describe_optimizer(
    optimizer: Optimizer, names: Mapping[int, str], description: Description
) -> dict[str, Any]:
    """Describes an optimizer, and each group by its parameters and what it has of its own.

    Args:
        optimizer: The optimizer.
        names: The parameters' names, by `id`.
        description: Notes what cannot be looked into.
    """
    defaults = description.of("optimizer", optimizer.defaults)
    groups = []
    for number, group in enumerate(optimizer.param_groups):
        options = {key: value for key, value in group.items() if key != "params"}
        # Where a schedule of the user's own changes the rate, torch notes where it began.
        options["lr"] = options.pop("initial_lr", options.get("lr"))
        own = description.of(f"optimizer_groups[{number}]", options)
        differing = {k: v for k, v in own.items() if k not in defaults or v != defaults[k]}
        groups.append({"parameters": [names[id(p)] for p in group["params"]], **differing})
    return {
        "optimizer": type(optimizer).__name__,
        "optimizer_options": defaults,
        "optimizer_groups": groups,
    }


def compare(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Returns what differs between two runs' settings, each as a few words.

    Args:
        before: The settings of the run that is there, as they have been read.
        now: Those of the run that would go on.

    Example:
        >>> compare({"must_match": {"seed": 0}}, {"must_match": {"seed": 5}})
        ['seed (0, now 5)']
    """
    now = json.loads(json.dumps(now))  # as they would have been read: tuples are lists there
    old, new = before["must_match"], now["must_match"]
    differing = [name for name in new if old.get(name) != new[name]]
    share = before.get("validation_share"), now.get("validation_share")
    # With another split the two parts differ in any case, which says nothing of the pictures.
    if share[0] != share[1] or "seed" in differing:
        differing = [name for name in differing if name not in ("data", "validation")]
    found = [text for name in differing for text in _differences(name, old.get(name), new[name])]
    if share[0] != share[1]:
        found += _differences("validation", *share)
    return found


def _differences(name: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**before, **now}:
            if before.get(key) != now.get(key):
                yield from _differences(f"{name}.{key}", before.get(key), now.get(key))
    elif isinstance(before, list) and isinstance(now, list) and _are_names([*before, *now]):
        gone, new = ([x for x in a if x not in b] for a, b in ((before, now), (now, before)))
        parts = [f"{word} {_some(part)}" for word, part in (("without", gone), ("with", new))]
        words = " and ".join(part for part in parts if not part.endswith(" "))
        yield f"{name} (now {words or 'in another order'})"
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (a, b) in enumerate(zip(before, now, strict=True)):
            if a != b:
                yield from _differences(f"{name}[{number}]", a, b)
    elif name in ("data", "validation") and (isinstance(before, str) or isinstance(now, str)):
        yield f"{name} (other pictures than before)"
    elif name.endswith(".code"):
        yield f"{name.removesuffix('.code')} (another function)"
    elif name == "layers.layers":
        yield "layers (others than before)"
    else:
        yield f"{name} ({_short(before)}, now {_short(now)})"


def _are_names(values: list[Any]) -> bool:
    return bool(values) and all(isinstance(value, str) for value in values)


def _some(names: list[str]) -> str:
    more = len(names) - _LISTED
    return ", ".join(names[:_LISTED]) + (f" and {more} more" if more > 0 else "")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}..."


def _array(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    array = value.detach().cpu().contiguous() if isinstance(value, Tensor) else value
    if isinstance(array, Tensor):
        if array.numel() == 1 and array.dtype != torch.bfloat16:
            return Description().of("", array.item())
        raw = array.reshape(-1).view(torch.uint8).numpy().tobytes()
    else:
        raw = np.ascontiguousarray(array).tobytes()
    return f"{array.dtype} {tuple(array.shape)} {_digest(raw)}"


def _kind(t: Tensor) -> str:
    """Returns what must match of a tensor that a checkpoint holds: not what it has learned."""
    return f"{t.dtype} {tuple(t.shape)}"


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is bound later, or never
        return None


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """Returns what a function does, without where it stands in which file."""
    return (
        code.co_code,
        code.co_argcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        [_constant(value) for value in code.co_consts],
    )


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # the order of a set of texts changes from run to run
        return sorted(map(repr, value))
    return value


def _globals_of(code: types.CodeType) -> Iterable[str]:
    """Returns the names that a function, and any inside it, look up in its module."""
    names = {
        step.argval for step in dis.get_instructions(code) if step.opname.startswith("LOAD_GLOBAL")
    }
    inner = (value for value in code.co_consts if isinstance(value, types.CodeType))
    return names.union(*map(_globals_of, inner))


def _is_library(module: str | None) -> bool:
    return (module or "builtins").partition(".")[0] in _LIBRARIES


def _name_of(thing: Any) -> str:
    """Returns a class's or function's name; ours are known without their place."""
    module = getattr(thing, "__module__", None) or "builtins"
    ours = module in ("builtins", "__main__") or module.partition(".")[0] == "easyvae"
    return thing.__qualname__ if ours else f"{module}.{thing.__qualname__}"


def _digest(data: bytes | str) -> str:
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()[:16]
