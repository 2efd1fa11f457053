"""Draws the pictures of the documentation: `python docs/make_images.py`, a few minutes.

They are made by the library alone, from the kittens that it draws itself.
"""

from pathlib import Path

import torch

from easyvae import VAE, BetaLoss, fit, interpolate
from easyvae.kittens import draw_kittens
from easyvae.plots import save_images

CHANNELS = [32, 64, 128, 256]
LATENT = 64
BETA = 0.1
KITTENS = 8000
EPOCHS = 8
COLUMNS = 10
FIRST, LAST = 2, 6  # which of the unseen kittens the mix begins and ends with
SEED = 0
OUT = Path(__file__).parent / "images"

torch.manual_seed(SEED)
model = VAE(CHANNELS, LATENT)
fit(model, draw_kittens(KITTENS, seed=SEED)[0], loss=BetaLoss(BETA), epochs=EPOCHS, seed=SEED)

model.cpu()
unseen = torch.from_numpy(draw_kittens(COLUMNS, seed=SEED, start=KITTENS)[0]) / 255
pairs = torch.cat([unseen, model.reconstruct(unseen)])  # (20, 3, 64, 64): two rows of ten
strip = interpolate(model, unseen[FIRST], unseen[LAST], steps=COLUMNS)

OUT.mkdir(parents=True, exist_ok=True)
save_images(torch.cat([pairs, strip]), OUT / "kittens.png", columns=COLUMNS)
save_images(pairs, OUT / "reconstructions.png", columns=COLUMNS)
save_images(strip, OUT / "mix.png")
print(f"wrote kittens.png, reconstructions.png and mix.png to {OUT}")
