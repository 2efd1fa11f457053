"""What the benchmarks share: fresh processes that take turns, medians, tables, the machine.

A benchmark is a script with a `SIDES` table of functions that each measure one side and return
figures. `compare` runs every side in a process of its own, in turns, and collects the figures.
"""

import argparse
import atexit
import functools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easyvae.data import Pictures, load_pictures, split
from easyvae.kittens import draw_kittens

FOLDER = Path(__file__).parents[2] / "docs" / "benchmarks"
SOURCE = Path(__file__).parents[2] / "src"
MONAI, PYTHAE = "monai==1.6.1", "pythae==0.1.2"
MARK = "figures: "

Figures = dict[str, Any]
Side = Callable[[argparse.Namespace], Figures]


def main(
    sides: Mapping[str, Side],
    report: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
) -> None:
    """Runs the whole benchmark, or as a child process one of its sides."""
    parser.add_argument("--side", choices=list(sides), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        print(MARK + json.dumps(sides[arguments.side](arguments)), flush=True)
    else:
        report(arguments)


def measure(side: str, *options: object, python: str = sys.executable) -> Figures:
    """Runs one side of the calling script in a fresh process, and returns its figures."""
    script = sys.argv[0]
    command = [python, script, *map(str, options), "--side", side]
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    line = next(line for line in reversed(done.stdout.splitlines()) if line.startswith(MARK))
    figures: Figures = json.loads(line.removeprefix(MARK))
    print(
        f"  {side} {' '.join(map(str, options))}: {time.perf_counter() - began:.0f} s", flush=True
    )
    return figures


def take_turns(sides: Sequence[str], rounds: int, *options: object) -> dict[str, list[Figures]]:
    """Measures the sides in turns, `rounds` times each."""
    found: dict[str, list[Figures]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side in sides:
            found[side].append(measure(side, *options))
    return found


@functools.cache
def peer_python(*requirements: str) -> str:
    """Makes an environment with pinned peers on top of this one, and returns its interpreter."""
    folder = Path(tempfile.mkdtemp(prefix="peers-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    python = folder / "bin" / "python"
    ours = [path for path in sys.path if path.endswith("site-packages")]
    inside = next((folder / "lib").glob("python*/site-packages"))
    (inside / "outer.pth").write_text("\n".join([*ours, str(SOURCE)]) + "\n")
    constraint = folder / "constraint.txt"
    constraint.write_text(f"torch=={torch.__version__.partition('+')[0]}\n")
    install = [python, "-m", "pip", "install", "-q", "-c", constraint, *requirements]
    subprocess.run(install, check=True)
    return str(python)


def middle(values: Sequence[float]) -> float:
    """Returns the median."""
    return statistics.median(values)


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Shows a median and, in brackets, the least and the greatest value."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{middle(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def write(name: str, headings: Sequence[str], rows: Sequence[Sequence[object]], data: Any) -> None:
    """Writes a table for the docs, in Markdown, and all figures beside it, in JSON."""
    lines = [headings, ["---"] * len(headings), *rows]
    table = "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)
    print(f"\n{table}\n")
    FOLDER.mkdir(exist_ok=True)
    (FOLDER / f"{name}.md").write_text(table + "\n")
    record = {"machine": machine(), "figures": data}
    (FOLDER / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")


def machine() -> Figures:
    """Describes the machine: what the figures depend on."""
    known = getattr(torch.cpu, "get_capabilities", dict)()
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "bfloat16": bool(known.get("avx512_bf16") or known.get("amx_bf16") or known.get("bf16")),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": platform.system(),
        "matmul GFLOP/s": round(matmul_peak() / 1e9),
    }


def matmul_peak(dtype: torch.dtype = torch.float32, size: int = 2048) -> float:
    """Measures floating-point operations per second of a large matrix product: the best of ten."""
    a, b = torch.randn(2, size, size).to(dtype)
    times = []
    for _ in range(11):
        began = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - began)
    return 2 * size**3 / min(times)


def load_split(data: str, image_size: int = 64) -> tuple[Tensor, Tensor]:
    """Loads pictures without their copies: those to train on, and a tenth held out, in uint8.

    `data` is a folder or zip of colour pictures, `kittens:N`, or an .npz file with `x_train`,
    such as MNIST's.
    """
    if data.endswith(".npz"):
        images = torch.from_numpy(np.load(data)["x_train"])[:, None]
    elif data.startswith("kittens"):
        drawn = draw_kittens(int(data.partition(":")[2] or 8000), size=image_size)[0]
        images = torch.from_numpy(drawn)
    else:
        images = load_pictures(data, (3, image_size, image_size)).images
    train, held_out = split(Pictures(images), 0.1, seed=0)
    return images[train], images[held_out]


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    if path.exists():
        for line in path.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
