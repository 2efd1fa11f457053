"""Trains for some minutes on a small set, and tells how memory and open files grow.

    python tests/trust/slope.py --minutes 60

A checkpoint is written every half second, so an hour has some seven thousand of them. Resident
memory and the number of open file handles are noted after each; their slopes are fitted by least
squares over all but the first third of the time, in which caches fill. An epoch takes seconds: the
history grows by a row with each, which is no leak, and costs some 5 KB while it is written. The
exit code is 1 if memory grows by more than `--limit` MB in an hour, or handles grow at all. Some
minutes are too few to tell: over the first thousand checkpoints the allocator takes 3 MB more.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from easyvae import VAE, BetaLoss, fit
from easyvae.training import RunFolder
from easyvae.training import loop as training


class EnoughError(Exception):
    """The time is up."""


def resident() -> float:
    """Returns this process's resident memory, in bytes."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return float(pages * os.sysconf("SC_PAGE_SIZE"))


def handles() -> float:
    """Returns how many files this process has open."""
    return float(len(os.listdir("/proc/self/fd")))  # noqa: PTH208  # counted, not read


def watch(seconds: float, folder: Path) -> np.ndarray:
    """Trains, and returns a row per checkpoint: seconds, bytes, handles."""
    began = time.monotonic()
    rows: list[tuple[float, float, float]] = []
    save = RunFolder.save

    def look(*arguments: Any) -> None:
        save(*arguments)
        now = time.monotonic() - began
        rows.append((now, resident(), handles()))
        if now > seconds:
            raise EnoughError

    RunFolder.save = look  # type: ignore[method-assign]  # in a process of its own
    training.CHECKPOINT_SECONDS = 0.5

    torch.manual_seed(0)
    images = torch.randint(0, 256, (20_000, 3, 16, 16), dtype=torch.uint8)
    model = VAE([8, 16], 4, image_size=16)
    try:
        fit(
            model,
            images,
            loss=BetaLoss(0.1),
            epochs=10**6,
            out=folder / "run",
            progress=False,
            device="cpu",
        )
    except EnoughError:
        pass
    return np.array(rows)


def main() -> int:
    """Prints the slopes as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--limit", type=float, default=20, help="MB per hour that are no leak")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        rows = watch(60 * arguments.minutes, Path(folder))
    late = rows[rows[:, 0] > rows[-1, 0] / 3]
    memory, files = (float(np.polyfit(late[:, 0], late[:, i], 1)[0]) * 3600 for i in (1, 2))
    figures = {
        "minutes": round(rows[-1, 0] / 60, 1),
        "checkpoints": len(rows),
        "resident at a third of the time, MB": round(late[0, 1] / 1e6, 1),
        "resident at the end, MB": round(rows[-1, 1] / 1e6, 1),
        "memory, MB per hour": round(memory / 1e6, 2),
        "memory, bytes per checkpoint": round(
            float(np.polyfit(np.arange(len(late)), late[:, 1], 1)[0])
        ),
        "open files at the end": int(rows[-1, 2]),
        "open files per hour": round(files, 3),
    }
    print(json.dumps(figures, indent=2))
    return int(memory / 1e6 > arguments.limit or abs(files) > 1e-3)


if __name__ == "__main__":
    raise SystemExit(main())
