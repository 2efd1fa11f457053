"""What a run is made of: two that differ are told apart, and two that do not are not."""

import functools
import json
import math
import random
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from easyvae import BetaLoss
from easyvae.losses import Cyclical, LaplacianPyramid, LinearWarmup
from easyvae.training.description import Description
from easyvae.training.settings import compare

SCALE = 2.0


def described(value: Any) -> Any:
    """Describes a value as run.json would have it."""
    trained = value if isinstance(value, nn.Module) else None
    return json.loads(json.dumps(Description(trained, trained).of("loss", value)))


def ramp(top: float) -> Callable[[float], float]:
    return lambda progress: top * progress


def scaled(progress: float) -> float:
    return SCALE * progress


@dataclass
class Term:
    """A term of a user's own, with an attribute."""

    weight: float = 1.0

    def __call__(self, output: Any, x: Tensor) -> Tensor:
        return self.weight * (output.reconstruction - x).square().flatten(1).sum(1)


class Slotted:
    __slots__ = ("weight",)

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, output: Any, x: Tensor) -> Tensor:
        return x.flatten(1).sum(1)


class Sigma(nn.Module):
    """A term with a parameter and a buffer."""

    def __init__(self, size: int = 1, power: float = 2.0) -> None:
        super().__init__()
        self.log_sigma = nn.Parameter(torch.rand(size))
        self.register_buffer("count", torch.zeros(()))
        self.power = power

    def forward(self, output: Any, x: Tensor) -> Tensor:
        return (output.reconstruction - x).abs().pow(self.power).flatten(1).sum(1)


def power(exponent: float, output: Any, x: Tensor) -> Tensor:
    return (output.reconstruction - x).abs().pow(exponent).flatten(1).sum(1)


PAIRS: list[tuple[str, Any, Any]] = [
    ("beta in the seventh digit", lambda: BetaLoss(0.1234567), lambda: BetaLoss(0.1234568)),
    ("a large beta", lambda: BetaLoss(1000001.0), lambda: BetaLoss(1000002.0)),
    ("free bits", lambda: BetaLoss(free_bits=0.1234567), lambda: BetaLoss(free_bits=0.1234568)),
    ("the term", lambda: BetaLoss(reconstruction="mse"), lambda: BetaLoss(reconstruction="l1")),
    ("a closure", lambda: BetaLoss(ramp(0.5)), lambda: BetaLoss(ramp(0.25))),
    ("a constant", lambda: BetaLoss(lambda p: 0.5 * p), lambda: BetaLoss(lambda p: 0.25 * p)),
    (
        "the code",
        lambda: BetaLoss(lambda p: math.sqrt(p)),
        lambda: BetaLoss(lambda p: math.sin(p)),
    ),
    (
        "an inner function",
        lambda: BetaLoss(lambda p: max([0.1, p], key=lambda v: v)),
        lambda: BetaLoss(lambda p: max([0.1, p], key=lambda v: -v)),
    ),
    ("a default", lambda: BetaLoss(lambda p, a=1.0: a), lambda: BetaLoss(lambda p, a=2.0: a)),
    ("a schedule", lambda: BetaLoss(LinearWarmup(0.5)), lambda: BetaLoss(Cyclical(0.5))),
    (
        "a schedule's argument",
        lambda: BetaLoss(LinearWarmup(0.5, share=0.1234567)),
        lambda: BetaLoss(LinearWarmup(0.5, share=0.1234568)),
    ),
    (
        "a partial",
        lambda: BetaLoss(reconstruction=functools.partial(power, 2.0)),
        lambda: BetaLoss(reconstruction=functools.partial(power, 1.5)),
    ),
    (
        "an attribute",
        lambda: BetaLoss(reconstruction=Term(1.0)),
        lambda: BetaLoss(reconstruction=Term(1.0000001)),
    ),
    (
        "a slot",
        lambda: BetaLoss(reconstruction=Slotted(1.0)),
        lambda: BetaLoss(reconstruction=Slotted(2.0)),
    ),
    (
        "a bound method's object",
        lambda: BetaLoss(reconstruction=Term(1.0).__call__),
        lambda: BetaLoss(reconstruction=Term(2.0).__call__),
    ),
    (
        "a term of ours",
        lambda: BetaLoss(reconstruction=LaplacianPyramid(0.1234567)),
        lambda: BetaLoss(reconstruction=LaplacianPyramid(0.1234568)),
    ),
    (
        "a module's attribute",
        lambda: BetaLoss(reconstruction=Sigma(power=2.0)),
        lambda: BetaLoss(reconstruction=Sigma(power=1.0)),
    ),
    (
        "a parameter's shape",
        lambda: BetaLoss(reconstruction=Sigma(1)),
        lambda: BetaLoss(reconstruction=Sigma(2)),
    ),
    (
        "a tensor in a closure",
        lambda: BetaLoss(reconstruction=Term(torch.ones(3))),  # type: ignore[arg-type]  # what users do
        lambda: BetaLoss(reconstruction=Term(torch.zeros(3))),  # type: ignore[arg-type]  # likewise
    ),
]


@pytest.mark.parametrize(("make", "other"), [p[1:] for p in PAIRS], ids=[p[0] for p in PAIRS])
def test_losses_that_differ_are_told_apart(make: Any, other: Any) -> None:
    """Made twice a loss is the same, and another one is another."""
    assert described(make()) == described(make())
    assert described(make()) != described(other())


HEAD = """
import collections, dataclasses, enum, functools, logging, random, torch, types, typing, weakref
import numpy as np
from torch import nn
def term(output, x): return held
class Kind:
    def __call__(self, output, x): return self.w
"""
OWN = "class Own(Kind):\n    {}\nterm = Own()"
METHOD = "def __call__(self, *x): return @"
CHANGES = {
    "a class's attribute": OWN.format("w = @"),
    "a property": OWN.format("w = property(lambda self: @)"),
    "a static method": OWN.format("w = staticmethod(lambda: @)"),
    "a class's method": OWN.format("w = classmethod(lambda kind: @)"),
    "a cached property": OWN.format("w = functools.cached_property(lambda self: @)"),
    "a cached method": OWN.format("w = functools.lru_cache(lambda self: @)"),
    "a class that is read": "class K: w = @\nterm = lambda output, x: K.w",
    "an enumeration": "class K(enum.Enum): w = @\nterm = lambda output, x: K.w.value",
    "a function's attribute": "term.w = @",
    "a module's": "m = types.ModuleType('m'); m.w = @\nterm = lambda output, x: m.w",
    "a function of another module": f"class Own:\n    {METHOD}\n"
    "Own.__call__.__module__ = 'other'\nterm = Own()",
    "a library's closure": "term = torch.optim.swa_utils.get_ema_avg_fn(0.@)",
    "a name in a class's body": "k = @\ndef term(output, x):\n    class K: z = k",
    "a slot as one text": "class K:\n    __slots__ = 'weight'\nheld = K(); held.weight = @",
    "a private slot": "class K:\n    __slots__ = ('__w',)\nheld = K(); held._K__w = @",
    "a number with methods": f"class K(float):\n    {METHOD}\nterm = K(1)",
    "a named tuple": f"class K(typing.NamedTuple):\n    w: float\n    {METHOD}\nterm = K(1)",
    "a dict with methods": f"class K(dict):\n    {METHOD}\nterm = K()",
    "a dict's attribute": f"class K(dict):\n    {METHOD}\nterm = K(); term.w = @",
    "a method of a tensor": "held = torch.tensor([@.0]).add",
    "a tensor of complex numbers": "held = torch.tensor([1j, @]).conj()",
    "a sparse tensor": "held = (torch.eye(3) * @).to_sparse()",
    "a scalar of complex numbers": "held = np.complex64(@)",
    "a date": "held = np.datetime64('202@')",
    "a hook": "term = nn.Identity(); term.register_forward_hook(lambda *a: @)",
    "whether it trains": "term = nn.Sequential(nn.Dropout()); term[0].train(@ == 1)",
    "weights that nothing restores": "held = nn.Linear(1, 2); nn.init.constant_(held.weight, @)",
    "such weights in a list": "class K(nn.Module): pass\n"
    "term = K(); term.n = [nn.Linear(1, 2)]; nn.init.constant_(term.n[0].weight, @);"
    "nn.init.zeros_(term.n[0].bias)",
}
SAME = {
    "compiled": "term = torch.compile(nn.Linear(2, 2))",
    "a recurrent network": "term = nn.LSTM(2, 2)",
    "objects as keys": "held = {Kind(): 1}",
    "objects in an array": "held = np.array([{'a': 1}, (1,)], dtype=object)",
    "a logger": "held = logging.getLogger(__name__); logging.getLogger(__name__ + '.@')",
    "a weak reference": "held = weakref.ref(Kind)",
    "one of itself": "Kind.one = Kind(); term = Kind.one",
    "many objects": "held = [Kind() for _ in range(3000)]",
    "many modules": "held = [nn.Identity() for _ in range(3000)]",
    "many functions": "held = [functools.partial(lambda: 1) for _ in range(3000)]",
    "a long chain": "held = lambda: 1\n"
    "for _ in range(500): held = (lambda inner: lambda: inner())(held)",
    "a tensor without values": "held = torch.ones(3, device='meta')",
    "what was computed once": "class Own(Kind):\n"
    "    w = functools.cached_property(lambda self: 1)\nterm = Own()\nif @ == 2: term.w",
}


def made(source: str, number: int) -> Any:
    """Describes the term that a module of the user's makes, with a number in place of `@`."""
    module = types.ModuleType("users")
    exec(HEAD + source.replace("@", str(number)), vars(module))
    return described(BetaLoss(reconstruction=vars(module)["term"]))


@pytest.mark.parametrize("source", CHANGES.values(), ids=CHANGES.keys())
def test_what_a_term_is_made_of_is_looked_into(source: str) -> None:
    """Where another number is in it, of whatever kind of Python's things, it is another term."""
    torch.manual_seed(0)
    first = made(source, 1)
    torch.manual_seed(0)
    assert first == made(source, 1)
    torch.manual_seed(0)
    assert first != made(source, 2)


@pytest.mark.filterwarnings("ignore:.*script_method:DeprecationWarning")  # of torch's compiler
@pytest.mark.parametrize("source", SAME.values(), ids=SAME.keys())
def test_what_says_nothing_of_a_term_is_left_out(source: str) -> None:
    """Addresses, weights that a checkpoint has, what was computed, and more than can be told."""
    assert made(source, 1) == made(source, 2)


def test_functions_of_no_module_are_the_users() -> None:
    """Those that `exec` has made in a dictionary of its own have no module's name."""
    first, second = ({}, {})  # type: tuple[dict[str, Any], dict[str, Any]]
    exec("term = lambda output, x: 1", first)
    exec("term = lambda output, x: 2", second)
    assert described(first["term"]) != described(second["term"])


def test_what_is_imported_later_or_draws_at_random_is_said() -> None:
    """The one may not be there yet, the other changes with every use."""

    def late(progress: float) -> float:
        import users_own  # type: ignore[import-not-found]  # there is none

        return float(users_own.beta)

    description = Description()
    description.of("late", late)
    description.of("drawn", [random.Random(0)])
    assert description.unknown == ["late.users_own", "drawn[0]"]


def test_a_function_is_known_by_the_globals_that_it_reads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A constant of the module is a part of the schedule that uses it."""
    before = described(BetaLoss(scaled))
    monkeypatch.setattr(sys.modules[__name__], "SCALE", 3.0)
    now = described(BetaLoss(scaled))
    found = compare({"must_match": {"loss": before}}, {"must_match": {"loss": now}})
    assert "loss.schedule.SCALE (2.0, now 3.0)" in found


def test_what_is_trained_is_known_by_its_shape() -> None:
    """A checkpoint has its values, which are other ones after each step."""
    assert described(BetaLoss(reconstruction=Sigma())) == described(
        BetaLoss(reconstruction=Sigma())
    )


def test_what_cannot_be_looked_into_is_said() -> None:
    """An object without a Python side is known by its kind, and named."""
    description = Description()
    generator = torch.Generator()
    description.of("loss", BetaLoss(lambda p: float(generator.initial_seed())))
    assert description.unknown == ["loss.schedule.generator"]


def test_an_object_that_answers_no_question_is_described() -> None:
    """One whose `__getattr__` raises an error of its own is asked for nothing it may not have."""

    class Table:
        def __init__(self, weight: float) -> None:
            self.weight = weight

        def __getattr__(self, name: str) -> Any:
            return {}[name]

    assert described(Table(1.0)) != described(Table(2.0))


def test_an_endless_object_ends() -> None:
    """One that holds itself, and one that holds half the program, are described all the same."""
    around: list[Any] = []
    around.append(around)
    assert Description().of("x", around) == ["(itself)"]
    description = Description()
    description.of("x", [[0] for _ in range(10_000)])
    assert description.unknown


def test_numbers_keep_their_last_digit() -> None:
    """Of numpy's and torch's kinds too; those that JSON has no word for are words."""
    third = 1 / 3
    for value in (third, np.float64(third), torch.tensor(third, dtype=torch.float64)):
        assert described(value) == third
    assert described(math.inf) == "inf"
    assert described(math.nan) == described(math.nan) == "nan"


def test_the_same_in_every_process(tmp_path: Path) -> None:
    """A description is a function of the code alone: no address, no order of a set."""
    script = tmp_path / "script.py"
    script.write_text(
        "import json\n"
        "from easyvae import BetaLoss\n"
        "from easyvae.training.description import Description\n"
        "known = {'a', 'b', 'c', 'd'}\n"
        "def term(output, x):\n"
        "    return 1.0 if 'a' in {'x', 'y', 'z'} else known\n"
        "print(json.dumps(Description().of('loss', BetaLoss(reconstruction=term))))\n"
    )
    texts = {
        subprocess.run(
            [sys.executable, str(script)], capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    }
    assert len(texts) == 1
    assert "0x" not in texts.pop()


def test_differences_are_few_words() -> None:
    """Names that came and went, a group of many, digests and long values are put shortly."""
    before = {"frozen": [], "groups": [{"lr": 1.0}, {"lr": 1.0}], "data": "a", "long": "b" * 500}
    now = {"frozen": ["w"] * 9, "groups": [{"lr": 1.0}, {"lr": 2.0}], "data": "c", "long": "d"}
    found = compare({"must_match": before}, {"must_match": now})
    assert found[:3] == [
        "frozen (now with w, w, w and 6 more)",
        "groups[1].lr (1.0, now 2.0)",
        "data (other pictures than before)",
    ]
    assert len(found[3]) < 200
