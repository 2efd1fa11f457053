"""What each part of the recipe is worth: each is taken away in turn, with three seeds.

    python tests/benchmarks/bench_ablation.py cats.zip --mnist mnist.npz

Every run is one epoch of `fit`, on as many pictures as the table says, and is judged by the
held-out loss, `reconstruction + beta * KL` in nats per picture: the lower, the better. Only the
quality is compared, so the machine may be busy: `--jobs` runs go on at once, one thread each.
"""

import argparse
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext
from multiprocessing import get_context
from typing import Any
from unittest import mock

import torch
from bench_quality import judge
from harness import load_split, write
from torch import Tensor

from easyvae import VAE, BetaLoss, fit

Change = Callable[[], Any]

SEEDS = 3


def _adamw(rate: float) -> Change:
    """AdamW for all parameters, with the same schedule, from `rate` on."""

    def make(parameters: Sequence[Tensor], lr: float) -> torch.optim.Optimizer:
        return torch.optim.AdamW(parameters, lr=lr, betas=(0.9, 0.99), weight_decay=0)

    @contextmanager
    def changed() -> Iterator[None]:
        with (
            mock.patch("easyvae.training.loop.default_optimizer", make),
            mock.patch("easyvae.training.loop.DEFAULT_LR", rate),
        ):
            yield

    return changed


def _cosine(step: int, steps: int) -> float:
    return (1 + math.cos(math.pi * (step + 1) / (steps + 1))) / 2


def _patched(name: str, value: Any) -> Change:
    return lambda: mock.patch(name, value)


VARIANTS: dict[str, tuple[dict[str, Any], dict[str, Any], Change]] = {
    "the recipe": ({}, {}, nullcontext),
    "random start": ({}, {"start": "random"}, nullcontext),
    "AdamW at 0.001": ({}, {}, _adamw(1e-3)),
    "AdamW at 0.0003": ({}, {}, _adamw(3e-4)),
    "dense layers at the full rate": (
        {},
        {},
        _patched("easyvae.training.optim._share", lambda p: 1.0),
    ),
    "constant rate": (
        {},
        {},
        _patched("easyvae.training.trainer.lr_factor", lambda step, steps: 1.0),
    ),
    "no warm-up": ({}, {}, _patched("easyvae.training.trainer.lr_factor", _cosine)),
    "twice the rate": ({}, {"lr": 4e-3}, nullcontext),
    "half the rate": ({}, {"lr": 1e-3}, nullcontext),
    "batches of 64": ({}, {"batch_size": 64}, nullcontext),
    "leaky ReLU": ({"activation": "leaky_relu"}, {}, nullcontext),
    # Where weights are random, the first steps have more to spoil.
    "random start, no warm-up": (
        {},
        {"start": "random"},
        _patched("easyvae.training.trainer.lr_factor", _cosine),
    ),
    "batch norm": ({"norm": "batch"}, {}, nullcontext),
    "batch norm, no warm-up": (
        {"norm": "batch"},
        {},
        _patched("easyvae.training.trainer.lr_factor", _cosine),
    ),
}


def run(
    train: Tensor, held_out: Tensor, channels: list[int], latent: int, beta: float, name: str
) -> list[float]:
    """Trains a variant with each seed, and returns the held-out losses."""
    found = []
    for seed in range(SEEDS):
        building, fitting, change = VARIANTS[name]
        torch.manual_seed(seed)
        model = VAE(
            channels,
            latent,
            image_size=train.shape[-1],
            in_channels=train.shape[1],
            **building,
        )
        options = {"epochs": 1, "validation": None, "progress": False, "seed": seed}
        options["warp"] = None
        with change():
            fit(model, train, loss=BetaLoss(beta), **{**options, **fitting})
        found.append(judge(model, held_out, beta)["loss"])
    return found


def main() -> None:
    """Runs all variants on all sets, and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", help="a folder or zip of colour pictures")
    parser.add_argument("--mnist", help="an .npz file with x_train")
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--pictures", type=int, default=2500)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    sets: list[tuple[str, Tensor, Tensor, list[int], int]] = []
    if arguments.data:
        train, held_out = load_split(arguments.data)
        train = train[: arguments.pictures]
        sets.append(("pictures", train, held_out, [32, 64, 128, 256], 500))
    train, held_out = load_split("kittens:3300")
    sets.append(("kittens", train, held_out, [16, 32, 64, 128], 64))
    if arguments.mnist:
        train, held_out = load_split(arguments.mnist)
        sets.append(("MNIST", train[:10000], held_out[:1000], [32, 64], 32))
    cases = [(*items, beta) for items in sets for beta in (0.005, 1.0)]
    rows, record = [], {}
    with ProcessPoolExecutor(
        arguments.jobs, get_context("spawn"), torch.set_num_threads, (arguments.threads,)
    ) as pool:
        found = {
            (name, number): pool.submit(run, *case[1:], name)
            for name in arguments.only
            for number, case in enumerate(cases)
        }
        for name in arguments.only:
            cells = [name]
            for number, (title, *_, beta) in enumerate(cases):
                losses = found[name, number].result()
                record[f"{name}; {title}; {beta}"] = losses
                cells.append(f"{statistics.mean(losses):.1f} ± {statistics.stdev(losses):.1f}")
            rows.append(cells)
            print(" | ".join(cells), flush=True)
    titles = [f"{title} ({len(train)}), beta {beta:g}" for title, train, *_, beta in cases]
    write("ablation", ["variant", *titles], rows, record)


if __name__ == "__main__":
    main()
