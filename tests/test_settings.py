"""What a run is made of: two that differ are told apart, and two that do not are not."""

import functools
import json
import math
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from easyvae import BetaLoss
from easyvae.losses import LaplacianPyramid
from easyvae.schedules import Cyclical, LinearWarmup
from easyvae.settings import Description, compare

SCALE = 2.0


def described(value: Any) -> Any:
    """Describes a value as run.json would have it."""
    return json.loads(json.dumps(Description().of("loss", value)))


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
        "from easyvae.settings import Description\n"
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
