"""Turns one picture into another: a strip, and an animation that runs there and back.

The model is trained on kittens once and then kept; give a model of your own as MODEL.
"""

from pathlib import Path

import torch

from easyvae import VAE, BetaLoss, fit, interpolate
from easyvae.data import read_image
from easyvae.kittens import draw_kittens
from easyvae.plots import save_animation, save_images

MODEL = Path("kittens.safetensors")  # or a run folder; it is made if it is not there
PICTURES: list[str] = []  # two files of yours, or else two kittens
KITTENS = 2000
EPOCHS = 4
STEPS = 12
DEVICE = "cpu"
OUT = Path("mix")

if not MODEL.exists():
    torch.manual_seed(0)
    model = VAE(channels=[32, 64, 128, 256], latent=64)
    kittens, _ = draw_kittens(KITTENS)
    fit(model, kittens, loss=BetaLoss(beta=0.1), epochs=EPOCHS, device=DEVICE)
    model.save(MODEL)

model = VAE.load(MODEL, device=DEVICE)
if PICTURES:
    a, b = (torch.from_numpy(read_image(path, model.input_shape)) for path in PICTURES)
else:
    a, b = torch.from_numpy(draw_kittens(2, size=model.input_shape[1], start=KITTENS)[0])

OUT.mkdir(exist_ok=True)
straight = interpolate(model, a, b, STEPS)  # (12, 3, 64, 64), as the model was trained to go
arc = interpolate(model, a, b, STEPS, method="slerp")  # more contrast, less near to the truth
save_images(torch.cat([straight, arc]), OUT / "lerp-and-slerp.png", columns=STEPS, scale=2)
save_animation(straight, OUT / "mix.gif", scale=4)
print(f"wrote {OUT / 'lerp-and-slerp.png'} and {OUT / 'mix.gif'}")
