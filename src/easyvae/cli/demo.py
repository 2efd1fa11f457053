"""Draw kittens, train on them for a minute or two, and leave pictures and a model."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from easyvae.cli.common import BETA, DEMO, add_device, add_seed
from easyvae.cli.train import write_curves

if TYPE_CHECKING:
    from easyvae.model import VAE

KITTENS, EPOCHS, HELD_OUT = 7000, 6, 0.05
CHANNELS, LATENT, LR = (16, 32, 64, 128), 128, 3e-3
COMPONENTS = 16  # few, for the mixes
UNTIL = 0.55  # of the steps with warps: the rest is for sharpness
TEMPERATURE = 0.8  # a short training leaves the outskirts of the prior rough


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae demo`."""
    parser.add_argument("--out", default=DEMO, metavar="DIR", help="where to leave it")
    add_seed(parser)
    add_device(parser)


def _check_folder(out: Path, model: "VAE") -> None:
    """Refuses another run's folder: the demo starts anew each time."""
    from easyvae.training.run_folder import read_run

    before = read_run(out)
    if before is not None and before.model != model.config:
        raise ValueError(f"--out (={str(out)!r}) holds another run; choose another folder")


def run(args: argparse.Namespace) -> None:
    """Draws, trains, and writes the pictures."""
    import torch

    from easyvae.data import Pictures, Warp
    from easyvae.data.built_in import open_kittens
    from easyvae.kittens import draw_kittens
    from easyvae.latents import interpolate
    from easyvae.losses import BetaLoss
    from easyvae.model import VAE
    from easyvae.plots import pair_rows, save_animation, save_images
    from easyvae.training import fit

    out = Path(args.out)
    print(f"drawing {KITTENS:,} kittens ...")
    first = args.seed == 0  # which `kittens` stands for: easyvae app finds them drawn
    drawn = open_kittens(KITTENS, 64) if first else draw_kittens(KITTENS, seed=args.seed)[0]
    images = torch.from_numpy(drawn)
    torch.manual_seed(args.seed)
    model = VAE(CHANNELS, LATENT)
    _check_folder(out, model)
    history = fit(
        model,
        Pictures(images, origin=f"kittens:{KITTENS}" if first else None),
        loss=BetaLoss(BETA),
        epochs=EPOCHS,
        validation=HELD_OUT,
        seed=args.seed,
        device=args.device,
        out=out,
        resume=False,
        lr=LR,
        warp=Warp(components=COMPONENTS, until=UNTIL),
    )
    unseen = torch.from_numpy(draw_kittens(10, seed=args.seed, start=KITTENS)[0])
    rows = pair_rows(unseen, model.reconstruct(unseen))
    frames = interpolate(model, unseen[0], unseen[1], steps=10)
    generator = torch.Generator(next(model.parameters()).device).manual_seed(args.seed)
    samples = model.sample(40, temperature=TEMPERATURE, generator=generator)
    save_images(rows, out / "reconstructions.png", columns=10, scale=2)
    save_images(frames, out / "mix.png", scale=2)
    save_animation(frames, out / "mix.gif", scale=4)
    save_images(samples, out / "samples.png", columns=10, scale=2)
    curves = write_curves(history, out)
    print(f"{out / 'reconstructions.png'}  kittens it has not seen, and how it draws them")
    print(f"{out / 'mix.png'}, mix.gif  one kitten turns into another")
    print(f"{out / 'samples.png'}  new kittens")
    if curves:
        print(f"{curves}  the training")
    print(f"{out / 'model.safetensors'}  the model")
    folder = "" if args.out == DEMO else f" --model {out}"
    print(f"now play with it: easyvae app{folder}")
