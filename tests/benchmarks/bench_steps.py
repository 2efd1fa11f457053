"""The rate of training: `fit` against a loop written by hand, the plain recipe and the peers.

    python tests/benchmarks/bench_steps.py [--peers]

Every side trains on the same drawn kittens. `fit` and the bare loop have the same settings, and
take turns, epoch by epoch, in one process: what the loop lacks is what `fit` costs. The others run
in processes of their own. Shares of the peak count the floating-point operations of a step's
forward and backward pass, and nothing else, and divide by the rate of a large matrix product
measured in the same process.
"""

import argparse
import time
from collections.abc import Callable

import torch
from harness import (
    MONAI,
    PYTHAE,
    Figures,
    main,
    matmul_peak,
    measure,
    middle,
    peer_python,
    spread,
    write,
)
from plain import PlainVAE, plain_loss
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

MODELS: dict[str, tuple[tuple[int, ...], list[int], int]] = {
    "3x64x64": ((3, 64, 64), [32, 64, 128, 256], 500),
    "1x28x28": ((1, 28, 28), [32, 64], 32),
}
BETA = 0.005


def _images(arguments: argparse.Namespace) -> Tensor:
    from easyvae.kittens import draw_kittens

    shape = MODELS[arguments.model][0]
    images = torch.from_numpy(draw_kittens(arguments.images, size=shape[-1])[0])
    return images[:, : shape[0]].contiguous()


def ours(arguments: argparse.Namespace) -> Figures:
    """Times `fit`, and after each of its epochs the shortest loop with the same settings.

    So the two take turns every few seconds, and what else the machine does meets both. The start
    of `fit` and what it does at an epoch's end are not among its steps.
    """
    from easyvae import VAE, BetaLoss, fit
    from easyvae.training import default_optimizer

    images = _images(arguments)
    shape, channels, latent = MODELS[arguments.model]
    model, twin = (
        VAE(channels, latent, image_size=shape[-1], in_channels=shape[0]) for _ in range(2)
    )
    optimizer, loss = default_optimizer(twin.parameters()), BetaLoss(BETA)
    bare: list[float] = []

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        loss(twin(x), x).backward()
        optimizer.step()

    def run_bare(state: object) -> None:
        began = time.perf_counter()
        for indices in torch.randperm(len(images)).split(arguments.batch_size):
            step(images[indices])
        bare.append(len(images) / (time.perf_counter() - began))

    history = fit(
        model,
        images,
        loss=loss,
        epochs=arguments.turns + 1,  # the first one warms up
        batch_size=arguments.batch_size,
        validation=None,
        warp=None,
        callbacks=[run_bare],
        progress=False,
    )
    count = FlopCounterMode(display=False)
    with count:
        x = images[: arguments.batch_size]
        loss(twin(x), x).backward()
    rates = history["images_per_second"]
    operations = count.get_total_flops() / arguments.batch_size
    return {
        "rates": rates[1:],
        "bare": bare[1:],
        "share": operations * middle(rates[1:]) / matmul_peak(),
        "operations": operations,
    }


def _plain_rate(model: nn.Module, arguments: argparse.Namespace) -> Figures:
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: Tensor) -> None:
        x = x.float() / 255
        optimizer.zero_grad()
        plain_loss(model(x), x, BETA).backward()
        optimizer.step()

    return {"rate": _rate(_images(arguments), arguments.batch_size, step)}


def plain(arguments: argparse.Namespace) -> Figures:
    """Times the plain recipe's steps."""
    shape, channels, latent = MODELS[arguments.model]
    return _plain_rate(PlainVAE(channels, latent, shape[-1], shape[0]), arguments)


def monai(arguments: argparse.Namespace) -> Figures:
    """Times MONAI's network of the same channels in the plain loop."""
    from monai.networks.nets import VarAutoEncoder

    shape, channels, latent = MODELS[arguments.model]
    strides = [2] * len(channels)
    model = VarAutoEncoder(2, shape, shape[0], latent, channels, strides)
    return _plain_rate(model, arguments)


def pythae(arguments: argparse.Namespace) -> Figures:
    """Times pythae's network for CelebA, which has one size and its own loss."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.nn.benchmarks.celeba import Decoder_Conv_AE_CELEBA, Encoder_Conv_VAE_CELEBA

    config = VAEConfig(input_dim=(3, 64, 64), latent_dim=MODELS[arguments.model][2])
    model = VAE(config, Encoder_Conv_VAE_CELEBA(config), Decoder_Conv_AE_CELEBA(config))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def step(x: Tensor) -> None:
        optimizer.zero_grad()
        model({"data": x.float() / 255}).loss.backward()
        optimizer.step()

    return {"rate": _rate(_images(arguments)[:256], arguments.batch_size, step)}


def _rate(images: Tensor, batch_size: int, step: Callable[[Tensor], None]) -> float:
    """Takes the steps of an epoch, after one to warm up, and returns images per second."""
    done = 0
    for epoch in range(2):
        began, done = time.perf_counter(), 0
        for indices in torch.randperm(len(images)).split(batch_size):
            step(images[indices])
            done += len(indices)
            if epoch == 0 and done > len(images) // 4:
                break
    return done / (time.perf_counter() - began)


def report(arguments: argparse.Namespace) -> None:
    """Measures all sides and writes the table."""
    rows, record = [], {}
    for name in MODELS:
        for batch_size in (32, 64):
            fixed = ["--model", name, "--batch-size", batch_size, "--images", arguments.images]
            fixed += ["--turns", arguments.turns]
            sides = {"ours": None, "plain": None}
            if arguments.peers and batch_size == 64 and name == "3x64x64":
                python = peer_python(MONAI, PYTHAE)
                sides |= {"monai": python, "pythae": python}
            found: dict[str, list[Figures]] = {side: [] for side in sides}
            for number in range(arguments.rounds):
                for side, python in sides.items():
                    if not (side == "pythae" and number):  # hundreds of seconds
                        options = {"python": python} if python else {}
                        found[side].append(measure(side, *fixed, **options))
            record[f"{name}, {batch_size}"] = found
            mine = found["ours"]
            pairs = [pair for run in mine for pair in zip(run["rates"], run["bare"], strict=True)]
            rates = {
                "`fit`": [rate for rate, _ in pairs],
                "bare loop": [bare for _, bare in pairs],
                **{side: [run["rate"] for run in found[side]] for side in sides if side != "ours"},
            }
            against = middle([rate / bare for rate, bare in pairs])
            for side, values in rates.items():
                bare_rate = middle(rates["bare loop"])
                ratio = against if side == "`fit`" else middle(values) / bare_rate
                share = spread([run["share"] for run in mine], 2) if side == "`fit`" else ""
                time_per_step = f"{1000 * batch_size / middle(values):.0f}"
                rows.append(
                    [name, batch_size, side, spread(values), time_per_step, f"{ratio:.3f}", share]
                )
    headings = ["model", "batch", "side", "images/s", "ms/step", "against bare", "share of peak"]
    write("steps", headings, rows, record)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=list(MODELS), default="3x64x64")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--images", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", action="store_true", help="also MONAI and pythae, installed")
    sides = {"ours": ours, "plain": plain, "monai": monai, "pythae": pythae}
    main(sides, report, parser)
