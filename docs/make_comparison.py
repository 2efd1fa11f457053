"""Makes the study of the documentation: `python docs/make_comparison.py`, some five minutes.

Six models are trained on kittens that the library draws itself. The figures and the table go into
the documentation; the report is left in `betas/`, and the same call goes on if it was stopped.
"""

from pathlib import Path

import torch

from easyvae import VAE, BetaLoss
from easyvae.comparison import compare
from easyvae.kittens import draw_kittens

BETAS = [2, 1, 0.5, 0.05, 0.005]
CHANNELS, LATENT = [16, 32, 64, 128], 64
KITTENS, EPOCHS = 5000, 4
SEED = 0
OUT = Path(__file__).parent / "images"

torch.manual_seed(SEED)
small = VAE(CHANNELS[:2], LATENT)  # the study's third model: fewer layers
found = compare(
    torch.from_numpy(draw_kittens(KITTENS, seed=SEED)[0]),
    {"fewer layers": (small, BetaLoss(1))},
    betas=BETAS,
    channels=CHANNELS,
    latent=LATENT,
    epochs=EPOCHS,
    seed=SEED,
    warp=None,
    out="betas",
)
found.save()
for name, figure in {
    "reconstructions": found.figure_reconstructions(6),
    "interpolations": found.figure_interpolations(2, 6),
    "samples": found.figure_samples(6),
    "rate-distortion": found.figure_rate_distortion(),
    "latents": found.figure_latents(),
}.items():
    figure.savefig(OUT / f"betas-{name}.jpg", dpi=100, pil_kwargs={"quality": 85})
(OUT / "betas.txt").write_text(f"{found}\n", encoding="utf-8")
print(found)
