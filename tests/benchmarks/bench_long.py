"""A long run of equal time for both sides: error, sharpness, and the same ten pictures.

    python tests/benchmarks/bench_long.py pictures.zip --minutes 30 --picture long.png

`fit` is given the number of epochs that fits into the time at the rate of a first, short run. With
`--together` the sides run at the same time, on one core each. The
sharpness is the mean square of the Laplacian of the reconstructions, as a share of the originals'.
The picture has three rows: originals that neither side has seen, the plain recipe's
reconstructions, and `fit`'s.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from bench_quality import judge
from harness import Figures, load_split, main, measure, write
from plain import PlainVAE, train_plain
from torch import Tensor

from easyvae import VAE, BetaLoss, fit
from easyvae.plots import save_images

CHANNELS = [32, 64, 128, 256]
LATENT = 500
BETA = 0.005
SHOWN = 10


def laplacian_energy(images: Tensor) -> float:
    """Returns the mean square of the discrete Laplacian, over all colours."""
    kernel = torch.tensor([[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]])
    flat = images.flatten(0, 1).unsqueeze(1)  # (N * C, 1, H, W)
    return float(F.conv2d(flat, kernel.view(1, 1, 3, 3)).square().mean())


def _figures(model: Any, arguments: argparse.Namespace, held_out: Tensor) -> Figures:
    with torch.no_grad():
        pictures = torch.cat([model.reconstruct(x.float() / 255) for x in held_out.split(200)])
    torch.save(pictures[:SHOWN], Path(arguments.folder) / f"{arguments.side}.pt")
    sharpness = laplacian_energy(pictures) / laplacian_energy(held_out.float() / 255)
    return {**judge(model, held_out, BETA), "sharpness": sharpness}


def plain(arguments: argparse.Namespace) -> Figures:
    """Trains by the plain recipe until the time is up."""
    train, held_out = load_split(arguments.data)
    torch.manual_seed(0)
    model = PlainVAE(CHANNELS, LATENT)
    done: list[tuple[int, float]] = []

    def keep_on(epoch: int, seconds: float) -> bool:
        done.append((epoch, seconds))
        return seconds < 60 * arguments.minutes

    train_plain(model, train, beta=BETA, seed=0, keep_on=keep_on)
    epochs, seconds = done[-1]
    return {"epochs": epochs, "seconds": seconds, **_figures(model, arguments, held_out)}


def _fit(train: Tensor, epochs: int) -> tuple[VAE, float]:
    torch.manual_seed(0)
    began = time.perf_counter()
    model = VAE(CHANNELS, LATENT)
    options = {"validation": None, "warp": None, "progress": False}
    fit(model, train, loss=BetaLoss(BETA), epochs=epochs, **options)
    return model, time.perf_counter() - began


def ours(arguments: argparse.Namespace) -> Figures:
    """Calls `fit` with its defaults, for as many epochs as there is time for."""
    train, held_out = load_split(arguments.data)
    _, seconds = _fit(train, 1)
    epochs = max(1, int(60 * arguments.minutes / seconds))
    model, seconds = _fit(train, epochs)
    return {"epochs": epochs, "seconds": seconds, **_figures(model, arguments, held_out)}


def report(arguments: argparse.Namespace) -> None:
    """Runs both sides, and writes the table and the picture."""
    with tempfile.TemporaryDirectory() as folder:
        options = [arguments.data, "--minutes", arguments.minutes, "--folder", folder]
        sides = ("plain", "ours")
        if arguments.together:
            os.environ["OMP_NUM_THREADS"] = "1"  # of the children
        with ThreadPoolExecutor(2 if arguments.together else 1) as pool:
            figures = pool.map(lambda side: measure(side, *options), sides)
            found = dict(zip(sides, figures, strict=True))
        shown = [torch.load(Path(folder) / f"{side}.pt") for side in found]
    originals = load_split(arguments.data)[1][:SHOWN].float() / 255
    if arguments.picture:
        save_images(torch.cat([originals, *shown]), arguments.picture, columns=SHOWN, scale=2)
    rows = [
        [
            {"ours": "`fit`"}.get(side, side),
            figures["epochs"],
            f"{figures['seconds']:.0f}",
            f"{figures['mse']:.4f}",
            f"{figures['loss']:.1f}",
            f"{figures['sharpness']:.2f}",
        ]
        for side, figures in found.items()
    ]
    write("long", ["", "epochs", "seconds", "mse", "loss", "sharpness"], rows, found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="kittens:8000")
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--picture")
    parser.add_argument("--together", action="store_true", help="at the same time, a core each")
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    main({"plain": plain, "ours": ours}, report, parser)
