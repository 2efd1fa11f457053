"""Remedies against blur, each trained for the same time: error, likeness, sharpness, pictures.

    python tests/benchmarks/bench_blur.py pictures.zip --minutes 30 --picture blur.png

Each remedy is a change of the same model or loss. `fit` is given the number of epochs that comes
nearest to the time, by the rate of a first run on a few pictures. The time is the processor's, so
that what else the machine does counts little; each run has one thread. `--jobs` of them go on at
once.

Judged are the reconstructions of the posterior means, on pictures that no run has seen. The
sharpness is their Laplacian energy as a share of the originals'. Noise counts as sharp, so look at
the pictures too: originals in the first row, and a row for each remedy in the table's order.
"""

import argparse
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import torch
from harness import Figures, load_split, write
from torch import Tensor

from easyvae import VAE, BetaLoss, fit
from easyvae.losses import LaplacianPyramid, kl_divergence
from easyvae.metrics import mse, sharpness, ssim
from easyvae.plots import save_images

MODEL: dict[str, Any] = {"channels": [32, 64, 128, 256], "latent": 500}
SHOWN = 10
TRIED = 1280  # pictures of the run that tells the rate


REMEDIES: dict[str, tuple[dict[str, Any], Any]] = {
    "bce": ({}, "bce"),
    "mse": ({}, "mse"),
    "l1": ({}, "l1"),
    "gaussian": ({}, "gaussian"),
    "pyramid 1": ({}, LaplacianPyramid(1)),
    "pyramid 3": ({}, LaplacianPyramid(3)),
    "texture 0.5": ({}, LaplacianPyramid(0, texture=0.5)),
    "pyramid 1, texture 0.5": ({}, LaplacianPyramid(1, texture=0.5)),
    "pyramid 1, texture 1": ({}, LaplacianPyramid(1, texture=1)),
    "latent 250": ({"latent": 250}, "bce"),
    "latent 1000": ({"latent": 1000}, "bce"),
    "residual blocks": ({"residual_blocks": 1}, "bce"),
    "residual blocks in large stages": ({"residual_blocks": [1, 1, 0, 0]}, "bce"),
    "half as many channels again": ({"channels": [48, 96, 192, 384]}, "bce"),
}


def train(images: Tensor, name: str, beta: float, epochs: int) -> tuple[VAE, float, float]:
    """Trains with a remedy, and returns the seconds that it took in all, and an epoch's."""
    changes, term = REMEDIES[name]
    torch.manual_seed(0)
    began, clock = time.process_time(), time.perf_counter()
    model = VAE(**{**MODEL, **changes}, image_size=images.shape[-1], in_channels=images.shape[1])
    loss = BetaLoss(beta, reconstruction=term)
    options = {"validation": None, "warp": None, "progress": False}
    history = fit(model, images, loss=loss, epochs=epochs, **options)
    seconds = time.process_time() - began
    share = seconds / (time.perf_counter() - clock)  # of the clock's time that was the processor's
    epoch = sum(row["seconds"] for row in history) / epochs * share
    return model, seconds, epoch


def run(
    images: Tensor, held_out: Tensor, name: str, beta: float, minutes: float
) -> tuple[Figures, Tensor]:
    """Trains with a remedy until the time is up, and returns figures and a few pictures."""
    few = images[:TRIED]
    _, seconds, epoch = train(few, name, beta, 1)
    epochs = max(1, round((60 * minutes - seconds + epoch) / epoch * len(few) / len(images)))
    model, seconds, _ = train(images, name, beta, epochs)
    pictures = model.reconstruct(held_out)
    model.eval()
    with torch.no_grad():
        kl = kl_divergence(*model.encode(held_out)).sum(1)
    figures = {
        "epochs": epochs,
        "seconds": seconds,
        "mse": float(mse(pictures, held_out).mean()),
        "ssim": float(ssim(pictures, held_out).mean()),
        "sharpness": sharpness(pictures, held_out),
        "kl": float(kl.mean()),
    }
    return figures, pictures[:SHOWN]


def main() -> None:
    """Runs the remedies, and writes the table and the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="kittens:8000")
    parser.add_argument("--minutes", type=float, default=30, help="for each remedy")
    parser.add_argument("--beta", type=float, default=0.005)
    parser.add_argument("--only", nargs="+", choices=list(REMEDIES), default=list(REMEDIES))
    parser.add_argument("--picture")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    images, held_out = load_split(arguments.data)
    rows, record, shown = [], {}, [held_out[:SHOWN].float() / 255]
    with ProcessPoolExecutor(
        arguments.jobs, get_context("spawn"), torch.set_num_threads, (1,)
    ) as pool:
        found = {
            name: pool.submit(run, images, held_out, name, arguments.beta, arguments.minutes)
            for name in arguments.only
        }
        for name in arguments.only:
            figures, pictures = found[name].result()
            record[name] = figures
            shown.append(pictures)
            rows.append(
                [
                    name,
                    figures["epochs"],
                    f"{figures['seconds']:.0f}",
                    f"{figures['mse']:.5f}",
                    f"{figures['ssim']:.3f}",
                    f"{figures['sharpness']:.2f}",
                    f"{figures['kl']:.0f}",
                ]
            )
            print(" | ".join(map(str, rows[-1])), flush=True)
            if arguments.picture:  # now, so that a run that is stopped leaves one
                save_images(torch.cat(shown), arguments.picture, columns=SHOWN, scale=2)
    headings = ["remedy", "epochs", "processor seconds", "mse", "SSIM", "sharpness", "KL"]
    write("blur", headings, rows, {"options": vars(arguments), "remedies": record})


if __name__ == "__main__":
    main()
