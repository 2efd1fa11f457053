"""Runs that are killed lose at most what came after their last checkpoint, and end the same."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = Path(__file__).with_name("kill_runs.py")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")


def kill_runs(precision: str, *arguments: str, seconds: float) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--precision", precision, *arguments],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    print(done.stdout)
    assert done.returncode == 0, done.stderr[-5000:]
    figures: dict[str, Any] = json.loads(done.stdout)
    return figures


@pytest.mark.parametrize("kills", [5, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_at_random_moments(kills: int, chosen_precision: str) -> None:
    """After each SIGKILL no file is damaged, at most one interval is lost, and the end is equal.

    The comparison itself is the script's: it ends with an error otherwise.
    """
    figures = kill_runs(chosen_precision, "--kills", str(kills), seconds=60 + 30 * kills)
    assert figures["kills"] == kills
    assert figures["most steps lost"] <= 6
    if kills >= 100:
        assert figures["kills by moment"]["in a save"] >= 10


@pytest.mark.parametrize("stride", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_every_operation_on_a_file(stride: int, chosen_precision: str) -> None:
    """Killed before each write, flush, renaming and removal, and in the middle of each write.

    In the bounded form, at every seventh of them.
    """
    figures = kill_runs(chosen_precision, "--operations", str(stride), seconds=1200)
    assert figures["operations"] >= 20
    assert figures["kills"] >= 20 // stride


@pytest.mark.parametrize("kills", [2, pytest.param(50, marks=pytest.mark.slow)])
def test_two_processes_killed_together(kills: int, chosen_precision: str) -> None:
    """Two processes that train together are killed, resumed, and end bit-identical."""
    pytest.importorskip("accelerate")
    arguments = ("--processes", "2", "--kills", str(kills))
    figures = kill_runs(chosen_precision, *arguments, seconds=120 + 60 * kills)
    assert figures["kills"] == kills


@pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])
def test_one_of_two_processes_killed(kills: int, chosen_precision: str) -> None:
    """The other one ends with an error within a minute, by itself; the run is then resumed."""
    pytest.importorskip("accelerate")
    arguments = ("--processes", "2", "--one", "--kills", str(kills))
    figures = kill_runs(chosen_precision, *arguments, seconds=120 + 60 * kills)
    assert figures["kills"] == kills
    assert figures["slowest end after a kill, s"] < 60
