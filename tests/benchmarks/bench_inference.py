"""Inference: pictures per second of decoding and mixing, a mix on one core, memory of a large set.

    python tests/benchmarks/bench_inference.py

The plain model and easyvae's, of the same layers, each run in a process of their own: they decode
512 latents, and turn one picture into another in ten steps. The plain mix encodes both pictures,
goes from mean to mean in a straight line and decodes the ten latents at once. The latency is that
of the same mix on one core. The memory is what `reconstruct` takes for 10,000 uint8 pictures
beyond those pictures and its result, as Linux counts it.
"""

import argparse
import time
from collections.abc import Callable

import torch
from bench_memory import CHANNELS, LATENT, megabytes
from harness import Figures, main, measure, middle, spread, take_turns, write
from plain import PlainVAE
from torch import Tensor

from easyvae import VAE, interpolate
from easyvae.kittens import draw_kittens

LATENTS = 512
STEPS = 10
PICTURES = 10_000


def _seconds(call: Callable[[], object], times: int) -> list[float]:
    """Times a call again and again, after a few calls that pay for memory and the like."""
    for _ in range(3):
        call()
    found = []
    for _ in range(times):
        began = time.perf_counter()
        call()
        found.append(time.perf_counter() - began)
    return found


def _kittens() -> tuple[Tensor, Tensor]:
    a, b = torch.from_numpy(draw_kittens(2)[0]).float() / 255
    return a, b


def _rates(decode: Callable[[Tensor], Tensor], mix: Callable[[], Tensor]) -> Figures:
    z = torch.randn(LATENTS, LATENT)
    with torch.no_grad():
        decoding = middle(_seconds(lambda: decode(z), 7))
    mixing = middle(_seconds(mix, 50))
    torch.set_num_threads(1)
    latency = [1000 * seconds for seconds in _seconds(mix, 50)]
    return {
        "decode": LATENTS / decoding,
        "mix": STEPS / mixing,
        "latency": middle(latency),
        "latencies": latency,
    }


def plain(arguments: argparse.Namespace) -> Figures:
    """Runs the plain model."""
    torch.manual_seed(0)
    model = PlainVAE(CHANNELS, LATENT).eval()
    a, b = _kittens()

    @torch.no_grad()
    def mix() -> Tensor:
        start, end = model.encode(torch.stack([a, b]))[0]
        return model.decode(torch.lerp(start, end, torch.linspace(0, 1, STEPS)[:, None]))

    return _rates(model.decode, mix)


def ours(arguments: argparse.Namespace) -> Figures:
    """Runs easyvae's model."""
    torch.manual_seed(0)
    model = VAE(CHANNELS, LATENT).eval()
    a, b = _kittens()
    return _rates(model.decode, lambda: interpolate(model, a, b, steps=STEPS))


def memory(arguments: argparse.Namespace) -> Figures:
    """Reconstructs many pictures; the result is as large as that many float32 pictures."""
    model = VAE(CHANNELS, LATENT)
    pictures = torch.randint(0, 256, (PICTURES, *model.input_shape), dtype=torch.uint8)
    before = megabytes("VmHWM")
    result = model.reconstruct(pictures)
    size = result.numel() * result.element_size() / 2**20
    return {"megabytes": megabytes("VmHWM") - before - size, "result": size}


def report(arguments: argparse.Namespace) -> None:
    """Measures the sides in turns, and writes the table."""
    runs = take_turns(["plain", "ours"], arguments.rounds)
    memories = [measure("memory") for _ in range(arguments.rounds)]
    rows = []
    for name, label, digits in (
        ("decode", f"decode {LATENTS} latents, pictures/s", 0),
        ("mix", f"mix in {STEPS} steps, pictures/s", 0),
        ("latency", f"mix in {STEPS} steps on one core, ms", 1),
    ):
        theirs, own = ([run[name] for run in runs[side]] for side in ("plain", "ours"))
        ratio = f"{middle(own) / middle(theirs):.2f}"
        rows.append([label, spread(theirs, digits), spread(own, digits), ratio])
    taken = spread([run["megabytes"] for run in memories])
    rows.append([f"reconstruct {PICTURES:,} pictures, MB beyond the result", "", taken, ""])
    write("inference", ["", "plain", "easyvae", "ratio"], rows, {**runs, "memory": memories})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    main({"plain": plain, "ours": ours, "memory": memory}, report, parser)
