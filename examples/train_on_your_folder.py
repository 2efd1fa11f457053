"""Trains a model on a folder or zip of pictures; run it again to go on where it was stopped.

python examples/train_on_your_folder.py path/to/pictures

Without a folder it writes one of kittens and trains on that.
"""

import sys
from pathlib import Path

import torch

from easyvae import VAE, BetaLoss, fit
from easyvae.data import load_pictures
from easyvae.kittens import draw_kittens
from easyvae.plots import plot_reconstructions, save_images

FOLDER = ""  # the first argument, or else a new folder of kittens
KITTENS = 2000
IMAGE_SIZE = 64
CHANNELS = [32, 64, 128, 256]
LATENT = 64
BETA = 0.1
EPOCHS = 6
DEVICE = "cpu"
OUT = Path("runs/folder")

folder = Path(sys.argv[1] if len(sys.argv) > 1 else FOLDER or "kittens")
if not folder.exists() and folder == Path("kittens"):
    folder.mkdir()
    kittens, _ = draw_kittens(KITTENS, size=IMAGE_SIZE)
    for number, kitten in enumerate(torch.from_numpy(kittens)):
        save_images(kitten[None], folder / f"{number:05}.png")

torch.manual_seed(0)
model = VAE(CHANNELS, LATENT, image_size=IMAGE_SIZE)
print(model)
pictures = load_pictures(folder, model.input_shape, flip=True)
print(pictures.report)
history = fit(model, pictures, loss=BetaLoss(BETA), epochs=EPOCHS, device=DEVICE, out=OUT)

best = VAE.load(OUT, device=DEVICE)
some = pictures.images[:10]
history.plot().savefig(OUT / "curves.png")
plot_reconstructions(some, best.reconstruct(some)).savefig(OUT / "reconstructions.png")
print(f"wrote model.safetensors, curves.png and reconstructions.png to {OUT}")
