"""Kills a training run at random moments, and resumes it each time, until it ends.

    python tests/trust/kill_runs.py --kills 200
    python tests/trust/kill_runs.py --kills 50 --processes 2
    python tests/trust/kill_runs.py --kills 50 --processes 2 --one
    python tests/trust/kill_runs.py --operations 1
    python tests/trust/kill_runs.py --quick

After each SIGKILL every file with a final name must be whole, and the newest checkpoint at most
one interval behind the step that the run had reached (half of the attempts write one after each
step, the others after each epoch of six). A run that comes to its end is compared with one that
was never disturbed: model file, checkpoint, history and list of files must be the same, bit for
bit. Then another one begins, until there have been as many kills as asked for.

With `--one`, one of two processes is killed, and the other must end with an error by itself.
With `--operations 1` a run is killed before each single operation on a file that it makes, and in
the middle of each write; with a larger number, before every so many. `--quick` does a little of
both in one start, for the tests.
"""

import argparse
import io
import json
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import torch
import victim

LONGEST_END = 60.0
"""Seconds within which a process has to notice that another one is dead."""


def by_chance(kills: int, processes: int, one: bool, seed: int, folder: Path) -> dict[str, Any]:
    """Kills at random moments, see above."""
    chance = random.Random(seed)
    for name in ("first", "whole"):  # the very first one takes longer
        began = time.monotonic()
        victim.finish(folder / name, processes)
    step = (time.monotonic() - began) / (victim.EPOCHS * victim.STEPS)
    wanted = victim.result(folder / "whole")
    victim.compare(folder / "first", wanted)
    phases: Counter[str] = Counter()
    runs, lost, slowest = 0, 0, 0.0
    out, before = folder / "run-0", 0
    while sum(phases.values()) < kills:
        every_step = chance.random() < 0.5
        children = victim.start(out, seconds=0.0 if every_step else 1e9, processes=processes)
        # By steps, not by the clock, or a busy machine would be killed at its start only.
        # Of two processes that have not met, only a time-out would tell of a death.
        goal = before + chance.randint(1 if one else 0, 8)
        while victim.seen()[0] < goal and goal > before and all(map(_alive, children)):
            time.sleep(step / 10)
        time.sleep(chance.uniform(0, 3 * step if goal > before else 9 * step))
        ended = not all(map(_alive, children))
        if not ended:
            victims = [chance.choice(children)] if one else children
            for child in victims:
                os.kill(child, signal.SIGKILL)
            died = time.monotonic()
            codes = {child: victim.wait(child, LONGEST_END) for child in children}
            slowest = max(slowest, time.monotonic() - died)
            if one and any(codes[child] <= 0 for child in children if child not in victims):
                # It may have been done with all its work, or have ended by itself.
                ended = victim.inspect(out) == victim.EPOCHS * victim.STEPS
                if not ended:
                    raise RuntimeError(f"the process left alone ended with {codes}")
            phases[victim.seen()[1]] += 1
        else:
            codes = {child: victim.wait(child, LONGEST_END) for child in children}
            if any(codes.values()):
                raise RuntimeError(f"nobody killed it, and it ended with {codes}")
        newest = victim.inspect(out)
        gone = max(0, victim.seen()[0] - newest)
        if newest < before or gone > (1 if every_step else victim.STEPS):
            raise RuntimeError(f"at {victim.seen()}, after {before}: only {newest} is left")
        before, lost = newest, max(lost, gone)
        if newest == victim.EPOCHS * victim.STEPS:
            victim.finish(out, processes)  # killed after the last checkpoint, it writes the rest
            victim.compare(out, wanted)
            runs, before = runs + 1, 0
            out = folder / f"run-{runs}"
    victim.finish(out, processes)
    victim.compare(out, wanted)
    return {
        "kills": sum(phases.values()),
        "complete runs, all bit-identical": runs + 1,
        "most steps lost": lost,
        "kills by moment": dict(phases),
        "slowest end after a kill, s": round(slowest, 2),
        "precision": victim.PRECISION,
        "seed": seed,
    }


def _alive(child: int) -> bool:
    status = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    return status is None


def by_operation(folder: Path, stride: int) -> dict[str, Any]:
    """Kills a run before each operation on a file, or every so many, and resumes it."""
    victim.EPOCHS = 2
    victim.finish(folder / "whole")
    wanted = victim.result(folder / "whole")
    for kills, number in enumerate(range(1, 10_000, stride)):
        out = folder / f"run-{number}"
        (child,) = victim.start(out, seconds=1e9, prepare=_killing(number))
        code = victim.wait(child, 300)
        victim.inspect(out)
        victim.finish(out)
        victim.compare(out, wanted)
        if code == 0:  # it has fewer operations than that
            return {"operations": number - stride, "kills": kills}
        if code != -signal.SIGKILL:
            raise RuntimeError(f"killed at operation {number}, it ended with {code}")
    raise RuntimeError("it never ends")


def _killing(last: int) -> Callable[[], None]:
    """Returns what makes this process kill itself at an operation on a file."""

    def prepare() -> None:
        count = 0

        def operation() -> None:
            nonlocal count
            count += 1
            if count == last:
                os.kill(os.getpid(), signal.SIGKILL)

        def counted(function: Callable[..., Any]) -> Callable[..., Any]:
            def call(*args: Any, **options: Any) -> Any:
                operation()
                return function(*args, **options)

            return call

        class HalfWriter(io.BufferedWriter):
            """Is killed with half of the data on disk."""

            def write(self, data: Any) -> int:
                super().write(data[: len(data) // 2])
                self.flush()
                operation()
                return super().write(data[len(data) // 2 :])

        opening = Path.open

        def open_half(self: Path, mode: str = "r", *args: Any, **options: Any) -> Any:
            if mode != "xb":
                return opening(self, mode, *args, **options)
            operation()
            return HalfWriter(io.FileIO(self, "x"))

        Path.open = open_half  # type: ignore[method-assign]  # in a process that dies of it
        for owner, name in ((os, "fsync"), (Path, "replace"), (Path, "unlink"), (Path, "mkdir")):
            setattr(owner, name, counted(getattr(owner, name)))

    return prepare


def quick(seed: int, folder: Path) -> dict[str, Any]:
    """Does a little of both."""
    parts = {name: folder / name for name in ("random", "operations")}
    for part in parts.values():
        part.mkdir()
    return {
        "random": by_chance(5, 1, False, seed, parts["random"]),
        "operations": by_operation(parts["operations"], 7),  # last: its runs are shorter
    }


def main() -> NoReturn:
    """Runs what the command line asks for, and prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--processes", type=int, default=1, choices=[1, 2])
    parser.add_argument("--one", action="store_true", help="kill one of two processes")
    parser.add_argument("--operations", type=int, help="kill at every so many file operations")
    parser.add_argument("--quick", action="store_true", help="a little of both")
    parser.add_argument("--precision", choices=["auto", "float32", "bfloat16"], default="auto")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    victim.PRECISION = arguments.precision
    if arguments.processes > 1:
        import accelerate  # noqa: F401  # once, here, not in each attempt
    # Not a `TemporaryDirectory`: each forked process would remove it at its own end.
    folder = Path(tempfile.mkdtemp())
    figures: dict[str, Any]
    try:
        if arguments.quick:
            figures = quick(arguments.seed, folder)
        elif arguments.operations:
            figures = by_operation(folder, arguments.operations)
        else:
            figures = by_chance(
                arguments.kills, arguments.processes, arguments.one, arguments.seed, folder
            )
    finally:
        shutil.rmtree(folder)
    print(json.dumps(figures, indent=2))
    raise SystemExit(0)


if __name__ == "__main__":
    main()
