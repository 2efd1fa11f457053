"""What importing the names of `easyvae` but `fit` adds to `import torch`, in fresh processes.

Run `python tests/benchmarks/bench_import.py`. The promise is at most 50 ms in the median. It is
timed after `import torch` in the same process: the difference between two processes would be lost
in how much the import of torch varies.
"""

import statistics
import subprocess
import sys

ROUNDS = 10
TIMED = """
import time
start = time.perf_counter()
import torch
between = time.perf_counter()
from easyvae import VAE, BetaLoss, History, interpolate
print(between - start, time.perf_counter() - between)
"""


def main() -> None:
    """Prints both medians and their spread."""
    rounds = []
    for _ in range(ROUNDS + 1):
        command = [sys.executable, "-c", TIMED]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        rounds.append([1000 * float(word) for word in done.stdout.split()])
    warm = rounds[1:]  # the first round reads the files from the disk
    for name, times in zip(("torch", "easyvae"), zip(*warm, strict=True), strict=True):
        middle = statistics.median(times)
        print(f"{name:8} {middle:6.0f} ms  ({min(times):.0f} to {max(times):.0f})")


if __name__ == "__main__":
    main()
