"""What a step with known half-ways costs over a plain one that decodes as many pictures.

    python tests/benchmarks/bench_warp.py

A step with warps has 16 pictures, each of them bent to and fro, and a plain one has 32. Both train
by `fit` and take turns, epoch by epoch, in one process: so what else the machine does meets both.
"""

import argparse

import torch
from harness import Figures, main, measure, middle, spread, write

MODELS = {
    "3x64x64, the demo's": ([16, 32, 64, 128], 128),
    "3x64x64": ([32, 64, 128, 256], 128),
}


def turns(arguments: argparse.Namespace) -> Figures:
    """Measures the time of a step of both kinds, in milliseconds, epoch by epoch."""
    from easyvae import VAE, BetaLoss, fit
    from easyvae.data import Warp
    from easyvae.kittens import draw_kittens

    images = torch.from_numpy(draw_kittens(arguments.images)[0])
    channels, latent = MODELS[arguments.model]
    plain_model = VAE(channels, latent)
    options = {"loss": BetaLoss(0.1), "validation": None, "progress": False, "start": "random"}
    plain: list[float] = []

    def train_plainly(state: object) -> None:
        history = fit(plain_model, images, epochs=1, batch_size=32, warp=None, **options)
        plain.append(32_000 / history.rows[-1]["images_per_second"])

    history = fit(
        VAE(channels, latent),
        images,
        epochs=arguments.turns + 1,  # the first one warms up
        batch_size=16,
        warp=Warp(until=1.0),
        callbacks=[train_plainly],
        **options,
    )
    return {
        "warped": [16_000 / rate for rate in history["images_per_second"][1:]],
        "plain": plain[1:],
    }


def report(arguments: argparse.Namespace) -> None:
    """Measures both models and writes the table."""
    rows, record = [], {}
    for name in MODELS:
        options = ["--model", name, "--images", arguments.images, "--turns", arguments.turns]
        record[name] = measure("turns", *options)
        warped, plain = record[name]["warped"], record[name]["plain"]
        ratio = middle([a / b for a, b in zip(warped, plain, strict=True)])
        rows.append([name, spread(warped, 1), spread(plain, 1), f"{ratio:.2f}"])
    write("warp", ["model", "ms, with warps", "ms, plain", "ratio"], rows, record)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(MODELS), default="3x64x64")
    parser.add_argument("--images", type=int, default=640)
    parser.add_argument("--turns", type=int, default=8)
    main({"turns": turns}, report, parser)
