"""Memory: the peak of a training process, `fit` with its defaults against the plain recipe.

    python tests/benchmarks/bench_memory.py

Each side trains for one epoch in a process of its own, on kittens in a uint8 tensor. The figure is
the most memory that was ever resident, of the whole process, libraries and pictures included, as
Linux counts it. The third side shows what starting at the principal components takes: it is `fit`
again, from random weights.
"""

import argparse
from pathlib import Path

import torch
from harness import Figures, load_split, main, middle, spread, take_turns, write
from plain import PlainVAE, train_plain
from torch import Tensor

from easyvae import VAE, BetaLoss, fit

CHANNELS = [32, 64, 128, 256]
LATENT = 500
BETA = 0.005


def megabytes(field: str) -> float:
    """Reads what Linux knows of this process: `VmHWM`, `VmRSS`, `RssAnon`.

    `VmHWM` is the peak. That of `getrusage` would not do: it begins at the parent's.
    """
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise ValueError(f"the system keeps no {field}")


def _pictures(arguments: argparse.Namespace) -> Tensor:
    return load_split(f"kittens:{arguments.images}")[0]


def _figures(before: float) -> Figures:
    return {"before": before, "peak": megabytes("VmHWM")}


def plain(arguments: argparse.Namespace) -> Figures:
    """Trains by the plain recipe."""
    images = _pictures(arguments)
    before = megabytes("VmHWM")
    model = PlainVAE(CHANNELS, LATENT)
    train_plain(model, images, beta=BETA, seed=0, keep_on=lambda epoch, _: epoch < 1)
    return _figures(before)


def _ours(arguments: argparse.Namespace, *, start: str) -> Figures:
    images = _pictures(arguments)
    before = megabytes("VmHWM")
    torch.manual_seed(0)
    model = VAE(CHANNELS, LATENT)
    fit(model, images, loss=BetaLoss(BETA), epochs=1, progress=False, start=start, warp=None)
    return _figures(before)


def ours(arguments: argparse.Namespace) -> Figures:
    """Calls `fit` with its defaults."""
    return _ours(arguments, start="auto")


def from_random(arguments: argparse.Namespace) -> Figures:
    """Calls `fit` without the start at the principal components."""
    return _ours(arguments, start="random")


def report(arguments: argparse.Namespace) -> None:
    """Measures all sides in turns, and writes the table."""
    runs = take_turns(list(SIDES), arguments.rounds, "--images", arguments.images)
    peaks = {side: [run["peak"] for run in found] for side, found in runs.items()}
    rows = [
        [
            name,
            spread([run["before"] for run in runs[side]]),
            spread(peaks[side]),
            f"{middle(peaks[side]) / middle(peaks['plain']):.2f}",
        ]
        for side, name in (
            ("plain", "plain"),
            ("ours", "`fit`"),
            ("from_random", "`fit` from random weights"),
        )
    ]
    write("memory", ["", "peak before training, MB", "peak, MB", "ratio"], rows, runs)


SIDES = {"plain": plain, "ours": ours, "from_random": from_random}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    main(SIDES, report, parser)
