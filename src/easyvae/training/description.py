"""Values as JSON can hold them: numbers to their last digit, and functions by what they do.

So a loss, a term or a schedule of the user's own can be told from another one.
"""

import dis
import enum
import functools
import hashlib
import json
import logging
import math
import random
import sys
import types
import weakref
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

_MOST_PARTS = 5000
"""Values that one description may have: beyond, whatever is described holds half the program."""
_DEEPEST = 100
_LIBRARIES = frozenset({"easyvae", "numpy", "torch", *sys.stdlib_module_names} - {"__main__"})
"""Their functions are known by their names: what they do is told by their versions."""
_PLAIN = (torch.dtype, torch.device, torch.memory_format, Path, complex)
_METHODS = (types.MethodType, types.BuiltinFunctionType)
_PLACES = (types.ModuleType, type)
_WRAPPERS = (staticmethod, classmethod, property, functools.cached_property)
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")
_CODE = "code argcount kwonlyargcount flags names varnames freevars exceptiontable".split()
_LOADS = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
# The last is what the first weights of a VAE add up to, which differs where nobody has seeded.
OF_EVERY_MODULE = frozenset({*vars(nn.Module()), "_drawn"})


class Description:
    """Turns values into JSON, and notes what it could not look into.

    Args:
        trained: What a checkpoint restores and `fit` sets to training: of its tensors only the
            kind counts, not what they have learned.
        loss: The part of it whose modules train or not as the user has set them.

    Attributes:
        unknown: The names of what is known by its name only: two of a kind look alike.

    Example:
        >>> from easyvae.losses import LinearWarmup
        >>> Description().of("schedule", LinearWarmup(0.5))
        {'class': 'LinearWarmup', 'beta': 0.5, 'share': 0.25}
    """

    def __init__(self, trained: nn.Module | None = None, loss: nn.Module | None = None) -> None:
        self.unknown: list[str] = []
        self._parts = 0
        self._open: set[int] = set()
        self._names: set[str] = set()  # that the function under way uses
        restored = {} if trained is None else trained.state_dict(keep_vars=True)
        self._restored = {id(t) for t in restored.values() if isinstance(t, Tensor)}
        modules = set() if trained is None else set(map(id, trained.modules()))
        self._set_by_fit = modules - (set() if loss is None else set(map(id, loss.modules())))

    def of(self, name: str, value: Any) -> Any:
        """Describes a value; `name` is what to call it if it cannot be looked into."""
        if isinstance(value, float | np.floating) and _is_library(type(value).__module__):
            number = float(value)
            return number if math.isfinite(number) else str(number)
        if value is None or type(value) in (bool, int, str):
            return value
        self._parts += 1
        if self._parts > _MOST_PARTS or len(self._open) > _DEEPEST:
            return self._unknown(name, value)
        if id(value) in self._open:
            return "(itself)"
        self._open.add(id(value))
        try:
            return self._inside(name, value)
        finally:
            self._open.discard(id(value))

    def _inside(self, name: str, value: Any) -> Any:
        if isinstance(value, Tensor | np.ndarray | np.generic):
            return self._array(name, value)
        if isinstance(value, type):
            return {"class": _name_of(value), **self._members(name, value)}
        if isinstance(value, enum.Enum):
            return {"member": str(value), "value": self.of(name, value.value)}
        if isinstance(value, _PLAIN):
            return str(value)
        if isinstance(value, bytes):
            return str(value) if len(value) <= 100 else f"bytes {digest(value)}"
        if isinstance(value, logging.Logger):  # which knows all others
            return value.name
        if isinstance(value, random.Random):
            return self._unknown(name, value)
        if isinstance(value, weakref.ref):
            return self.of(name, value())
        if isinstance(value, functools.partial):
            bound = {"arguments": value.args, "options": value.keywords}
            return {"partial": self.of(name, value.func), "of": self.of(name, bound)}
        if isinstance(value, _WRAPPERS):
            inner = ("fget", "fset") if isinstance(value, property) else ("__func__", "func")
            held = [getattr(value, part, None) for part in inner]
            return [type(value).__name__, *(self.of(name, f) for f in held if f is not None)]
        if isinstance(value, types.FunctionType):
            return self._function(name, value)
        owner = value.__self__ if isinstance(value, _METHODS) else None
        if isinstance(value, types.BuiltinFunctionType) and isinstance(owner, _PLACES):
            return value.__qualname__  # math.cos, torch.sigmoid
        if owner is not None:
            return {"method": value.__name__, "of": self.of(name, owner)}
        if isinstance(value, types.ModuleType):
            return self._python_module(name, value)
        if isinstance(value, nn.Module):
            return self._module(name, value)
        return self._object(name, value)

    def _object(self, name: str, value: Any) -> Any:
        """Describes a container, an object of any class, or one that is both."""
        items: Any = None
        if isinstance(value, Mapping):
            items = {self._key(name, k): self.of(f"{name}.{k}", v) for k, v in value.items()}
        elif isinstance(value, list | tuple):
            items = [self.of(f"{name}[{i}]", item) for i, item in enumerate(value)]
        elif isinstance(value, set | frozenset):
            items = sorted((self.of(name, item) for item in value), key=json.dumps)
        elif isinstance(value, str | int | float):  # of a class derived from it
            items = str(value)
        if items is not None and _is_library(type(value).__module__):
            return items
        # As pickle finds it: slots too, private and inherited ones.
        state = object.__getstate__(value)
        parts = state if isinstance(state, tuple) else (state,)
        held = {k: v for part in parts for k, v in (part or {}).items()}
        if not held and items is None and not hasattr(value, "__dict__"):
            slots = any(vars(kind).get("__slots__") for kind in type(value).__mro__)
            if not slots and _is_library(type(value).__module__):
                return self._unknown(name, value)
        described = self._attributes(name, value, held)
        return described if items is None else {**described, "items": items}

    def _attributes(self, name: str, value: Any, held: Mapping[str, Any]) -> dict[str, Any]:
        """Describes an object's class, and what it holds except for what it can compute anew."""
        kind = self.of(name, type(value))
        own = {
            key: self.of(f"{name}.{key}", item)
            for key, item in held.items()
            if not isinstance(getattr(type(value), key, None), functools.cached_property)
        }
        return {**(kind if isinstance(kind, dict) else {"class": kind}), **own}

    def _key(self, name: str, key: Any) -> str:
        if key is None or isinstance(key, str | int | float):
            return str(key)
        return json.dumps(self.of(name, key), sort_keys=True)

    def _array(self, name: str, value: Any) -> Any:
        if isinstance(value, np.generic):
            item = value.item()
            return item if isinstance(item, bool | int | str) else f"{value.dtype} {value!r}"
        kind = f"{value.dtype} {tuple(value.shape)}"
        if id(value) in self._restored:
            return kind
        if isinstance(value, Tensor):
            try:
                t = value.detach().cpu()
                t = t.to_dense() if t.layout is not torch.strided else t
                t = t.resolve_conj().resolve_neg().contiguous()
                if t.numel() == 1:
                    return self.of(name, t.item())
                raw = t.reshape(-1).view(torch.uint8).numpy().tobytes()
            except (RuntimeError, NotImplementedError, TypeError):  # on no device, quantized, ...
                return self._unknown(name, value)
        elif value.dtype.hasobject:  # its memory is addresses
            return [kind, self.of(name, value.tolist())]
        else:
            raw = np.ascontiguousarray(value).tobytes()
        return f"{kind} {digest(raw)}"

    def _unknown(self, name: str, value: Any) -> str:
        if name not in self.unknown:
            self.unknown.append(name)
        return _name_of(type(value))

    def _function(self, name: str, function: types.FunctionType) -> Any:
        """Describes a function by its code, and by all that it takes from around it."""
        code = function.__code__
        cells = function.__closure__ or ()
        # One without a module was made by `exec`, and so is the user's own.
        library = function.__module__ is not None and _is_library(function.__module__)
        made = not library or "<locals>" in function.__qualname__
        closure = {
            free: self.of(f"{name}.{free}", _content(cell))
            for free, cell in zip(code.co_freevars, cells, strict=True)
            if made
        }
        if library:
            return {"function": _name_of(function), **closure} if closure else _name_of(function)
        outer, self._names = self._names, {n for part in _code_in(code) for n in part.co_names}
        around = {
            used: self.of(f"{name}.{used}", function.__globals__[used])
            for used in sorted(_operands(code, *_LOADS))
            if used in function.__globals__
        }
        self._names = outer
        for module in sorted(_operands(code, "IMPORT_NAME")):
            if not _is_library(module):  # which may not have been imported yet
                self._unknown(f"{name}.{module}", module)
        defaults = self.of(name, [function.__defaults__, function.__kwdefaults__])
        return {
            "function": function.__qualname__,
            "code": digest(repr(_code(code))),
            **({"defaults": defaults} if any(defaults) else {}),
            **closure,
            **around,
            **{key: self.of(f"{name}.{key}", value) for key, value in vars(function).items()},
        }

    def _python_module(self, name: str, module: types.ModuleType) -> Any:
        """Describes what the function that is being described may take from a module."""
        if _is_library(module.__name__):
            return module.__name__
        used = {
            key: self.of(f"{name}.{key}", vars(module)[key])
            for key in sorted(self._names & vars(module).keys())
        }
        return {"module": module.__name__, **used}

    def _members(self, name: str, kind: type) -> dict[str, Any]:
        """Describes the methods and attributes of a user's own class."""
        members = {
            key + "()" * callable(item): self.of(f"{name}.{key}", item)
            for owner in reversed(kind.__mro__)
            if not _is_library(owner.__module__)
            for key, item in sorted(vars(owner).items())
            if _is_member(key, item)
        }
        return {"members": members} if members else {}

    def _module(self, name: str, module: nn.Module) -> Any:
        """Describes a module's attributes and hooks, and what it is made of."""
        if "_orig_mod" in module._modules:  # by `torch.compile`, with attributes of the moment
            return {"compiled": self.of(name, module._modules["_orig_mod"])}
        held = {k: v for k, v in vars(module).items() if k not in OF_EVERY_MODULE}
        hooks = {k: [*vars(module)[k].values()] for k in _HOOKS if vars(module).get(k)}
        parts = {**module._parameters, **module._buffers, **module._modules}
        idle = not module.training and id(module) not in self._set_by_fit
        return {
            **self._attributes(name, module, {**held, **hooks}),
            **({"training": False} if idle else {}),
            **{k: self.of(f"{name}.{k}", part) for k, part in parts.items()},
        }


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # a name that is bound later, or never
        return None


def _code(code: types.CodeType) -> tuple[Any, ...]:
    """Returns what a function does, without where it stands in which file."""
    parts = (getattr(code, f"co_{part}") for part in _CODE)
    return (*parts, list(map(_constant, code.co_consts)))


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return _code(value)
    if isinstance(value, frozenset):  # the order of a set of texts changes from run to run
        return sorted(map(repr, value))
    return value


def _code_in(code: types.CodeType) -> Iterator[types.CodeType]:
    """Yields a function's code and that of any inside it."""
    yield code
    for value in code.co_consts:
        if isinstance(value, types.CodeType):
            yield from _code_in(value)


def _operands(code: types.CodeType, *operations: str) -> set[str]:
    """Returns the names that a function, and any inside it, uses in such instructions."""
    return {
        step.argval
        for part in _code_in(code)
        for step in dis.get_instructions(part)
        if step.opname.startswith(operations)
    }


def _is_member(key: str, item: Any) -> bool:
    # A class's attribute that is the user's, and none that Python itself puts there.
    if key.startswith("__") and key.endswith("__"):
        return isinstance(item, types.FunctionType | staticmethod | classmethod | property)
    # Slots and the fields of named tuples are what their objects hold.
    descriptor = hasattr(type(item), "__get__") and not isinstance(item, property)
    return key != "_abc_impl" and not (descriptor and not hasattr(item, "__dict__"))


def _is_library(module: str | None) -> bool:
    # Of Python, or of a package that is installed.
    package = (module or "builtins").partition(".")[0]
    if package in _LIBRARIES:
        return True
    file = getattr(sys.modules.get(package), "__file__", None) or ""
    return not {"site-packages", "dist-packages"}.isdisjoint(Path(file).parts)


def _name_of(thing: Any) -> str:
    """Returns a class's or function's name; ours are known without their place."""
    module = getattr(thing, "__module__", None) or "builtins"
    ours = module in ("builtins", "__main__") or module.partition(".")[0] == "easyvae"
    return thing.__qualname__ if ours else f"{module}.{thing.__qualname__}"


def digest(data: bytes | str) -> str:
    """Returns the first 64 bits of a hash, as text."""
    return hashlib.sha256(data if isinstance(data, bytes) else data.encode()).hexdigest()[:16]
