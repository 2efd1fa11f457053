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


@pytest.fixture(scope="module")
def quick(chosen_precision: str) -> dict[str, Any]:
    """A little of both, in one start of the script, which takes longer than the kills."""
    return kill_runs(chosen_precision, "--quick", seconds=600)


def check_random(figures: dict[str, Any], kills: int) -> None:
    """The comparison itself is the script's: it ends with an error if a run has another end."""
    assert figures["kills"] == kills
    assert figures["most steps lost"] <= 6
    if kills >= 100:
        assert figures["kills by moment"]["in a save"] >= 10


def check_operations(figures: dict[str, Any], stride: int) -> None:
    assert figures["operations"] >= 20
    assert figures["kills"] >= 20 // stride


def check_one(figures: dict[str, Any], kills: int) -> None:
    assert figures["kills"] == kills
    assert figures["slowest end after a kill, s"] < 60


def test_killed_at_random_moments(quick: dict[str, Any]) -> None:
    """After each SIGKILL no file is damaged, one interval is lost at most, the end is equal."""
    check_random(quick["random"], 5)


def test_killed_at_operations_on_files(quick: dict[str, Any]) -> None:
    """Killed before every seventh of them, or in the middle of a write: the same."""
    check_operations(quick["operations"], 7)


@pytest.mark.slow
def test_killed_200_times(chosen_precision: str) -> None:
    """At random moments, ten times at least in the middle of a save."""
    figures = kill_runs(chosen_precision, "--kills", "200", seconds=6000)
    check_random(figures, 200)


@pytest.mark.slow
def test_killed_at_every_operation_on_a_file(chosen_precision: str) -> None:
    """Killed before each write, flush, renaming and removal, and in the middle of each write."""
    check_operations(kill_runs(chosen_precision, "--operations", "1", seconds=1200), 1)


@pytest.mark.slow
def test_two_processes_killed_50_times(chosen_precision: str) -> None:
    """Both at a time."""
    pytest.importorskip("accelerate")
    arguments = ("--processes", "2", "--kills", "50")
    assert kill_runs(chosen_precision, *arguments, seconds=3000)["kills"] == 50


@pytest.mark.slow
def test_one_of_two_processes_killed_20_times(chosen_precision: str) -> None:
    """One at a time."""
    pytest.importorskip("accelerate")
    arguments = ("--processes", "2", "--one", "--kills", "20")
    check_one(kill_runs(chosen_precision, *arguments, seconds=1500), 20)
