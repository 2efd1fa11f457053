"""Trains models that differ in beta, side by side, and writes a report on them.

The same script again goes on where it was stopped.
"""

import torch

from easyvae import VAE, BetaLoss
from easyvae.comparison import compare
from easyvae.kittens import draw_kittens

PICTURES = None  # a folder or zip of yours; None draws kittens
KITTENS = 4000
BETAS = [2, 1, 0.5, 0.05, 0.005]
CHANNELS = [16, 32, 64, 128]
LATENT = 64
EPOCHS = 4
OUT = "betas"

data = PICTURES or torch.from_numpy(draw_kittens(KITTENS)[0])
torch.manual_seed(0)
small = VAE(CHANNELS[:2], LATENT)  # fewer layers, at the beta of a plain VAE
found = compare(
    data,
    {"fewer layers, beta 1": (small, BetaLoss(1))},
    betas=BETAS,
    channels=CHANNELS,
    latent=LATENT,
    epochs=EPOCHS,
    out=OUT,
)
print(found)
print(f"wrote {found.save()}, with the pictures and models beside it")
