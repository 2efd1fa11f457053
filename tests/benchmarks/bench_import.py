"""What `import easyvae` adds to `import torch`, in fresh processes that take turns.

Run `python tests/benchmarks/bench_import.py`. The promise is at most 50 ms in the median.
"""

import statistics
import subprocess
import sys

ROUNDS = 10
STATEMENTS = {"torch": "import torch", "easyvae": "import torch; import easyvae"}
TIMED = "import time; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def milliseconds(statement: str) -> float:
    """Times a statement in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", TIMED.format(statement)], capture_output=True, text=True, check=True
    )
    return 1000 * float(done.stdout)


def main() -> None:
    """Prints both medians, their spread, and the difference."""
    times: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(ROUNDS + 1):
        for name, statement in STATEMENTS.items():
            times[name].append(milliseconds(statement))
    medians = {}
    for name, values in times.items():
        warm = sorted(values[1:])  # the first round reads the files from the disk
        medians[name] = statistics.median(warm)
        print(f"{name:8} {medians[name]:7.0f} ms  ({warm[0]:.0f} to {warm[-1]:.0f})")
    print(f"added    {medians['easyvae'] - medians['torch']:7.0f} ms")


if __name__ == "__main__":
    main()
