"""Draws the picture of docs/half-way.md, and prints figures: `python docs/make_halfway.py`.

The model of `easyvae demo`, trained with and without known half-ways: some three minutes.
"""

from pathlib import Path

import torch

from easyvae import VAE, BetaLoss, fit, interpolate
from easyvae.cli.demo import CHANNELS, COMPONENTS, EPOCHS, KITTENS, LATENT, LR
from easyvae.data import Warp
from easyvae.kittens import draw_kitten_pairs, draw_kittens
from easyvae.metrics import halfway_score
from easyvae.plots import save_images

BETA, SEED, PAIRS, FRAMES = 0.1, 0, 300, 9
OUT = Path(__file__).parent / "images" / "halfway.png"

images = draw_kittens(KITTENS, seed=SEED)[0]
drawn = draw_kitten_pairs(PAIRS, seed=2**31)
first, second, truth = (torch.from_numpy(each) / 255 for each in drawn)
far = (first - second).square().flatten(1).mean(1)[:20].topk(2).indices.tolist()  # of twenty

rows = []
for warp in (None, Warp(components=COMPONENTS)):
    torch.manual_seed(SEED)
    model = VAE(CHANNELS, LATENT)
    fit(
        model,
        images,
        loss=BetaLoss(BETA),
        epochs=EPOCHS,
        lr=LR,
        validation=None,
        warp=warp,
        seed=SEED,
    )
    model.cpu()
    ends = model.reconstruct(first), model.reconstruct(second)
    fade, rebuilt = (ends[0] + ends[1]) / 2, model.reconstruct(truth)
    for method in ("lerp", "slerp"):
        middle = interpolate(model, first, second, steps=3, method=method)[1]
        found = halfway_score(middle, fade, rebuilt, truth)
        print(f"{warp}, {method}: score {found.score:.2f}, error {found.mix:.4f}")
    error = (torch.cat(ends) - torch.cat([first, second])).square().mean()
    print(f"{warp}: error of the ends {error:.4f}")
    rows.append([interpolate(model, first[i], second[i], steps=FRAMES) for i in far])
sheet = []
for place, pair in enumerate(far):
    blank = torch.ones(FRAMES // 2, *first.shape[1:])
    sheet += [row[place] for row in rows]
    sheet.append(torch.cat([blank, truth[pair : pair + 1], blank]))
save_images(torch.cat(sheet), OUT, columns=FRAMES)
print(f"wrote {OUT}")
