"""Time to quality: how long `fit` takes to be as good as the plain recipe after some epochs.

    python tests/benchmarks/bench_quality.py cats.zip --epochs 10 40

Each side trains in a process of its own. The plain recipe is trained once, for the most epochs
asked for, and its held-out error is taken after each epoch, at no cost to its time. `fit` is run
whole, with its own schedule, for the fewest epochs that are enough. The time of `fit` is that of
the whole call, with all it does before the first step and its own validation left out
(`validation=None`; both sides are judged on the same pictures, which neither has seen).
"""

import argparse
import functools
import time
from collections.abc import Callable
from typing import Any

import torch
from harness import MONAI, Figures, load_split, main, measure, middle, peer_python, spread, write
from plain import PlainVAE, train_plain
from torch import Tensor

from easyvae import VAE, BetaLoss, fit


def judge(model: torch.nn.Module, held_out: Tensor, beta: float) -> Figures:
    """Measures the error of the means' reconstructions, and the negative ELBO per image."""
    model.eval()
    generator = torch.Generator().manual_seed(0)
    error = nats = 0.0
    with torch.no_grad():
        for images in held_out.split(200):
            x = images.float() / 255
            mean, log_var = model.encode(x)
            error += float((model.decode(mean) - x).square().flatten(1).mean(1).sum())
            z = mean + torch.exp(log_var / 2) * torch.randn(mean.shape, generator=generator)
            r = model.decode(z).clamp(1e-7, 1 - 1e-7)
            nats += float(torch.nn.functional.binary_cross_entropy(r, x, reduction="sum"))
            nats += beta * float((mean**2 + log_var.exp() - 1 - log_var).sum()) / 2
    return {"mse": error / len(held_out), "loss": nats / len(held_out)}


def _curve(arguments: argparse.Namespace, build: Callable[..., Any]) -> Figures:
    train, held_out = load_split(arguments.data, arguments.image_size)
    torch.manual_seed(arguments.seed)
    model = build(arguments.channels, arguments.latent, train.shape[-1], train.shape[1])
    curve: list[Figures] = []

    def keep_on(epoch: int, seconds: float) -> bool:
        if epoch:
            curve.append({"seconds": seconds, **judge(model, held_out, arguments.beta)})
        return epoch < max(arguments.epochs)

    train_plain(model, train, beta=arguments.beta, seed=arguments.seed, keep_on=keep_on)
    return {"curve": curve}


def plain(arguments: argparse.Namespace) -> Figures:
    """Trains by the plain recipe."""
    return _curve(arguments, PlainVAE)


def original(arguments: argparse.Namespace) -> Figures:
    """Trains by the recipe that the kittens began with: an activation before the sigmoid."""
    return _curve(arguments, functools.partial(PlainVAE, extra_activation=True))


def monai(arguments: argparse.Namespace) -> Figures:
    """Trains MONAI's network of the same channels in the plain recipe's loop."""
    from monai.networks.nets import VarAutoEncoder

    class Network(torch.nn.Module):
        """Its `encode` is a layer of its own, so it needs a module around it."""

        def __init__(self, *options: Any) -> None:
            super().__init__()
            self.inner = VarAutoEncoder(*options)

        def forward(self, x: Tensor) -> tuple[Tensor, ...]:
            return self.inner(x)

        def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.inner.encode_forward(x)

        def decode(self, z: Tensor) -> Tensor:
            return self.inner.decode_forward(z, use_sigmoid=True)

    def build(channels: list[int], latent: int, size: int, colours: int) -> Network:
        strides = [2] * len(channels)
        return Network(2, (colours, size, size), colours, latent, channels, strides)

    return _curve(arguments, build)


def ours(arguments: argparse.Namespace) -> Figures:
    """Calls `fit` with its defaults."""
    train, held_out = load_split(arguments.data, arguments.image_size)
    torch.manual_seed(arguments.seed)
    began = time.perf_counter()
    model = VAE(
        arguments.channels,
        arguments.latent,
        image_size=train.shape[-1],
        in_channels=train.shape[1],
    )
    fit(
        model,
        train,
        loss=BetaLoss(arguments.beta),
        epochs=arguments.epochs[0],
        validation=None,
        warp=None,
        seed=arguments.seed,
        progress=False,
    )
    seconds = time.perf_counter() - began
    return {"seconds": seconds, **judge(model, held_out, arguments.beta)}


SIDES = {"plain": plain, "original": original, "monai": monai, "ours": ours}


def report(arguments: argparse.Namespace) -> None:
    """Trains all sides and writes the table."""
    fixed = [arguments.data, "--channels", *arguments.channels, "--latent", arguments.latent]
    fixed += ["--beta", arguments.beta, "--image-size", arguments.image_size]
    metric, digits = ("mse", 4) if arguments.metric == "mse" else ("loss", 2)
    rows, record = [], {}
    runs: dict[int, list[Figures]] = {}
    for recipe in arguments.against:
        python = {"python": peer_python(MONAI)} if recipe == "monai" else {}
        curve = measure(recipe, *fixed, "--epochs", max(arguments.epochs), **python)["curve"]
        for target in arguments.epochs:
            goal = curve[target - 1]

            def reached(epochs: int, goal: Figures = goal) -> bool:
                if epochs not in runs:
                    runs[epochs] = [
                        measure("ours", *fixed, "--epochs", epochs, "--seed", seed)
                        for seed in range(arguments.rounds)
                    ]
                return max(run[metric] for run in runs[epochs]) <= goal[metric]

            epochs = 1
            while not reached(epochs) and epochs < target:
                epochs *= 2
            low = epochs // 2
            while reached(epochs) and epochs - low > 1:
                middle_one = (low + epochs) // 2
                low, epochs = (low, middle_one) if reached(middle_one) else (middle_one, epochs)
            seconds = [run["seconds"] for run in runs[epochs]]
            ratio = goal["seconds"] / middle(seconds)
            rows.append(
                [
                    f"{recipe}, {target} epochs",
                    f"{goal[metric]:.{digits}f}",
                    f"{goal['seconds']:.0f}",
                    epochs,
                    spread([run[metric] for run in runs[epochs]], digits),
                    spread(seconds, 1),
                    f"{ratio:.1f}" if reached(epochs) else "not reached",
                ]
            )
        record[recipe] = curve
    record["fit"] = {str(epochs): found for epochs, found in runs.items()}
    headings = ["against", metric, "seconds", "epochs of `fit`", metric, "seconds", "ratio"]
    write(arguments.name, headings, rows, record)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", nargs="?", default="kittens:8000")
    parser.add_argument("--channels", type=int, nargs="+", default=[32, 64, 128, 256])
    parser.add_argument("--latent", type=int, default=500)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--beta", type=float, default=0.005)
    parser.add_argument("--epochs", type=int, nargs="+", default=[10])
    parser.add_argument("--against", nargs="+", default=["plain"], choices=[*SIDES][:-1])
    parser.add_argument("--metric", choices=["mse", "loss"], default="mse")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--name", default="quality")
    main(SIDES, report, parser)
