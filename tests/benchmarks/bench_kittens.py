"""Prints how many kittens `draw_kittens` draws in a second: the median of several runs.

By the clock on the wall and by the time on the processor: they differ on a busy machine. For one
core: `OMP_NUM_THREADS=1 taskset -c 1 python tests/benchmarks/bench_kittens.py`.
"""

import statistics
import time

from easyvae.kittens import draw_kittens

RUNS = 7
PICTURES = {64: 1024, 128: 256, 256: 64}  # size -> pictures in one run

for size, count in PICTURES.items():
    draw_kittens(count, size=size)  # the first run pays for the memory
    wall, processor = [], []
    for run in range(RUNS):
        began = time.perf_counter(), time.process_time()
        draw_kittens(count, size=size, seed=run)
        wall.append(count / (time.perf_counter() - began[0]))
        processor.append(count / (time.process_time() - began[1]))
    rates = statistics.median(wall), statistics.median(processor)
    print(f"{size:4} px: {rates[0]:5.0f} pictures/s, {rates[1]:5.0f} per processor second")
