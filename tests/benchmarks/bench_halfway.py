"""How near the middle of a mix comes to what is truly half-way, after training of equal time.

    python tests/benchmarks/bench_halfway.py --photographs cats.zip --digits mnist.npz

Four sides: the plain recipe, `fit` without warps, `fit` as it is, and ACAI. Four worlds, each with
pairs that nobody has trained on and whose half-way picture is known:

- kittens, and the kitten of the averaged factors between two of one coat;
- lines from the centre to a circle (Berthelot et al., 2018): how far the pictures of a way of 16
  steps are from any line, by the cosine, and how far its largest step is from an even one;
- photographs, and digits: each bent, or turned and sheared, to and fro.

The score is that of `easyvae.metrics.halfway_score`. `fit` gets the epochs that fit into the time,
at the rate of a short run before. `--strips DIR` draws the ways between the most different pairs
of twenty, one side under the other.
"""

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from acai import ACAI, train_acai
from harness import Figures, load_split, main, measure, spread, write
from plain import PlainVAE, train_plain
from torch import Tensor

from easyvae import VAE, BetaLoss, fit, lerp, slerp
from easyvae.data import Pictures, Warp
from easyvae.evaluation.measures import known_pairs
from easyvae.kittens import draw_kitten_pairs
from easyvae.metrics import halfway_score
from easyvae.plots import save_images

PAIRS = 300
STEPS = 16  # of a way between two lines
PATHS = {"lerp": lerp, "slerp": slerp}


class Settings(NamedTuple):
    """The networks of a world: those of the plain recipe and of `fit`, and the width of ACAI's."""

    channels: list[int]
    latent: int
    beta: float
    width: int


SETTINGS = {
    "kittens": Settings([16, 32, 64, 128], 128, 0.1, 4),
    "lines": Settings([16, 32, 64], 16, 0.02, 2),
    "photographs": Settings([32, 64, 128, 256], 128, 0.1, 4),
    "digits": Settings([32, 64], 32, 0.1, 4),
}


def draw_lines(angles: Tensor, size: int = 32) -> Tensor:
    """Draws lines two pixels wide from the centre to a circle, (N, 1, size, size) in [0, 1]."""
    axis = torch.arange(size) - (size - 1) / 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    c, s = angles.cos().view(-1, 1, 1), angles.sin().view(-1, 1, 1)
    along = (x * c + y * s).clamp(0, size / 2 - 1)
    far = torch.hypot(x - along * c, y - along * s)
    return (1.5 - far).clamp(0, 1).unsqueeze(1)


def _turned(x: Tensor, angle: Tensor, shear: Tensor) -> Tensor:
    """Turns pictures by angles in radians and shears them, what lies beyond being dark."""
    c, s = angle.cos(), angle.sin()
    rows = torch.stack([c, shear * c - s, 0 * c, s, shear * s + c, 0 * c], 1).view(-1, 2, 3)
    grid = F.affine_grid(rows, list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


class World(NamedTuple):
    """What there is to train on, uint8, and pairs held out with what is half-way, in [0, 1]."""

    train: Tensor
    held_out: Tensor
    first: Tensor
    second: Tensor
    middle: Tensor


def open_world(arguments: argparse.Namespace) -> World:
    """Opens the world that is asked for; what is drawn for judging is the same for all seeds."""
    name, generator = arguments.world, torch.Generator().manual_seed(2**31)
    if name == "lines":
        angles = 2 * math.pi * torch.rand(10_000 + 2 * PAIRS, generator=generator)
        lines = draw_lines(angles)
        train = (lines[2 * PAIRS :] * 255).round().byte()
        first, second = lines[:PAIRS], lines[PAIRS : 2 * PAIRS]
        return World(train, (first * 255).round().byte(), first, second, (first + second) / 2)
    source = {"photographs": arguments.photographs, "digits": arguments.digits}.get(name)
    train, held_out = load_split(source or "kittens:7500")
    if name == "kittens":
        drawn = draw_kitten_pairs(PAIRS, seed=2**31)
        return World(train, held_out, *(torch.from_numpy(each).float() / 255 for each in drawn))
    if name == "photographs":
        return World(train, held_out, *known_pairs(Pictures(held_out), generator)["warped"])
    middle = held_out[:PAIRS].float() / 255
    angle = math.radians(20) * torch.randn(PAIRS, generator=generator)
    shear = 0.2 * torch.randn(PAIRS, generator=generator)
    ends = [_turned(middle, sign * angle, sign * shear) for sign in (1, -1)]
    return World(train, held_out, *ends, middle)


def _judge(
    arguments: argparse.Namespace,
    world: World,
    encode: Callable[[Tensor], Tensor],
    decode: Callable[[Tensor], Tensor],
) -> Figures:
    with torch.no_grad():
        a, b = encode(world.first), encode(world.second)
        rebuilt = decode(a), decode(b)
        ends = torch.cat(rebuilt) - torch.cat([world.first, world.second])
        error = sum(
            float((decode(encode(x)) - x).square().sum())
            for x in (batch.float() / 255 for batch in world.held_out.split(200))
        )
        found: Figures = {
            "ends": float(ends.square().mean()),
            "mse": error / world.held_out.numel(),
        }
        for name, path in PATHS.items():
            if arguments.world == "lines":
                found[name] = _judge_lines(decode, path(a, b, torch.linspace(0, 1, STEPS)))
                continue
            middle = decode(path(a, b, 0.5))
            fade, truth = sum(rebuilt) / 2, decode(encode(world.middle))
            score = halfway_score(middle, fade, truth, world.middle)
            found[name] = score._asdict()
        if arguments.strips:
            far = (world.first - world.second).square().flatten(1).mean(1)[:20].topk(4).indices
            ways = lerp(a[far], b[far], torch.linspace(0, 1, 9)).transpose(0, 1)
            frames = torch.stack([decode(way) for way in ways])
            torch.save(frames, Path(arguments.strips) / f"{arguments.world}-{arguments.side}.pt")
    return found


def _judge_lines(decode: Callable[[Tensor], Tensor], ways: Tensor) -> Figures:
    """Finds the line next to each picture of each way, (STEPS, N, D)."""
    angles = torch.arange(10_000) * (2 * math.pi / 10_000)
    lines = F.normalize(torch.cat([2 * draw_lines(a) - 1 for a in angles.split(1000)]).flatten(1))
    pictures = torch.cat([decode(z) for z in ways]).flatten(1)
    cosine, nearest = (F.normalize(2 * pictures - 1) @ lines.T).max(1)
    at = angles[nearest].view(STEPS, -1)
    steps = (at.diff(dim=0) + math.pi).remainder(2 * math.pi) - math.pi
    whole = steps.sum(0).abs()
    uneven = steps.abs().amax(0) / whole - 1 / (STEPS - 1)
    return {
        "distance": float((1 - cosine).mean()),
        "smoothness": float(uneven[whole > 1e-4].mean()),
    }


def plain(arguments: argparse.Namespace) -> Figures:
    """Trains by the plain recipe, to the end of the epoch in which the time is up."""
    world, settings = open_world(arguments), SETTINGS[arguments.world]
    torch.manual_seed(arguments.seed)
    shape = world.train.shape
    model = PlainVAE(settings.channels, settings.latent, shape[-1], shape[1])
    spent = 0.0

    def keep_on(epoch: int, seconds: float) -> bool:
        nonlocal spent
        spent = seconds
        return seconds < 60 * arguments.minutes

    train_plain(model, world.train, beta=settings.beta, seed=arguments.seed, keep_on=keep_on)
    model.eval()
    found = _judge(arguments, world, lambda x: model.encode(x)[0], model.decode)
    return {"seconds": spent, **found}


def _fit(arguments: argparse.Namespace, **options: Any) -> Figures:
    world, settings = open_world(arguments), SETTINGS[arguments.world]

    def train(images: Tensor, epochs: int) -> tuple[VAE, float]:
        torch.manual_seed(arguments.seed)
        shape = tuple(images.shape[2:])
        model = VAE(
            settings.channels, settings.latent, image_size=shape, in_channels=len(images[0])
        )
        began = time.perf_counter()
        fit(
            model,
            images,
            loss=BetaLoss(settings.beta),
            epochs=epochs,
            validation=None,
            seed=arguments.seed,
            progress=False,
            **options,
        )
        return model, time.perf_counter() - began

    few = world.train[:1600]
    train(few, 1)  # warms up
    once, more = train(few, 1)[1], train(few, 6)[1]
    epoch = (more - once) / 5 * len(world.train) / len(few)
    model, seconds = train(world.train, max(1, round((60 * arguments.minutes) / epoch)))
    model.eval()
    return {
        "seconds": seconds,
        **_judge(arguments, world, lambda x: model.encode(x).mean, model.decode),
    }


def unwarped(arguments: argparse.Namespace) -> Figures:
    """Calls `fit` without warps."""
    return _fit(arguments, warp=None)


def ours(arguments: argparse.Namespace) -> Figures:
    """Calls `fit` with its defaults, but that lines only turn, and by any angle."""
    if arguments.world == "lines":
        return _fit(arguments, warp=Warp(rotate=60, scale=0, shift=0, elastic=0))
    return _fit(arguments)


def acai(arguments: argparse.Namespace) -> Figures:
    """Trains ACAI. Digits get a dark border of two pixels, so that their size can be halved."""
    world, settings = open_world(arguments), SETTINGS[arguments.world]
    size = world.train.shape[-1]
    edge = -size % (2 * settings.width) // 2
    torch.manual_seed(arguments.seed)
    model = ACAI(size + 2 * edge, world.train.shape[1], width=settings.width)
    began = time.perf_counter()
    train_acai(
        model,
        F.pad(world.train, (edge,) * 4),
        seed=arguments.seed,
        lr=arguments.acai_lr,
        keep_on=lambda seconds: seconds < 60 * arguments.minutes,
    )
    seconds = time.perf_counter() - began

    def decode(z: Tensor) -> Tensor:
        return F.pad(model.decode(z), (-edge,) * 4)

    return {
        "seconds": seconds,
        **_judge(arguments, world, lambda x: model.encode(F.pad(x, (edge,) * 4)), decode),
    }


SIDES = {"plain": plain, "unwarped": unwarped, "ours": ours, "acai": acai}
TITLES = {
    "plain": "plain recipe",
    "unwarped": "`fit` without warps",
    "ours": "`fit`",
    "acai": "ACAI",
}


def report(arguments: argparse.Namespace) -> None:
    """Runs all sides in all worlds, and writes a table of each kind, and the strips."""
    worlds = ["kittens", "lines"]
    worlds += [name for name in ("photographs", "digits") if getattr(arguments, name)]
    found: dict[str, dict[str, list[Figures]]] = {}
    for world in [name for name in worlds if name in (arguments.worlds or worlds)]:
        options: list[object] = ["--world", world, "--minutes", arguments.minutes]
        options += ["--acai-lr", arguments.acai_lr]
        for name in ("photographs", "digits", "strips"):
            if getattr(arguments, name):
                options += [f"--{name}", getattr(arguments, name)]
        found[world] = {
            side: [measure(side, *options, "--seed", seed) for seed in range(arguments.seeds)]
            for side in SIDES
        }
        if arguments.strips:
            folder = Path(arguments.strips)
            shown = torch.stack([torch.load(folder / f"{world}-{side}.pt") for side in SIDES], 1)
            save_images(shown.flatten(0, 2), folder / f"{world}.png", columns=9, scale=2)
    name = arguments.name
    rows = [
        [
            world,
            TITLES[side],
            spread([run["seconds"] for run in runs]),
            spread([run["lerp"]["score"] for run in runs], 2),
            spread([run["slerp"]["score"] for run in runs], 2),
            *(spread([run[path]["mix"] for run in runs], 4) for path in PATHS),
            spread([run["ends"] for run in runs], 4),
            spread([run["mse"] for run in runs], 4),
        ]
        for world, sides in found.items()
        if world != "lines"
        for side, runs in sides.items()
    ]
    headings = ["", "", "seconds", "score, lerp", "slerp", "error, lerp", "slerp", "ends", "mse"]
    if rows:
        write(name, headings, rows, {k: v for k, v in found.items() if k != "lines"})
    if "lines" in found:
        rows = [
            [
                TITLES[side],
                spread([run["seconds"] for run in runs]),
                *(spread([run[path]["smoothness"] for run in runs], 3) for path in PATHS),
                *(spread([1e3 * run[path]["distance"] for run in runs], 2) for path in PATHS),
            ]
            for side, runs in found["lines"].items()
        ]
        headings = ["", "seconds", "smoothness, lerp", "slerp", "distance x 1000, lerp", "slerp"]
        write(f"{name}-lines", headings, rows, found["lines"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", help="a folder or zip of colour pictures")
    parser.add_argument("--digits", help="an .npz file with x_train")
    parser.add_argument("--worlds", nargs="+", choices=list(SETTINGS))
    parser.add_argument("--minutes", type=float, default=1.5)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--acai-lr", type=float, default=1e-4)
    parser.add_argument("--name", default="halfway")
    parser.add_argument("--strips", help="a folder for pictures of the ways")
    parser.add_argument("--world", help=argparse.SUPPRESS)
    parser.add_argument("--seed", type=int, default=0, help=argparse.SUPPRESS)
    main(SIDES, report, parser)
