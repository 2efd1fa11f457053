"""A VAE for volumes: three dimensions of different sizes, 16x20x24 voxels.

Each volume holds a soft blob of its own place, size and shape. Slices through a mix show one
becoming another.
"""

from pathlib import Path

import torch

from easyvae import VAE, BetaLoss, fit, interpolate
from easyvae.plots import save_images

VOLUMES = 1500
SIZE = (16, 20, 24)
CHANNELS = [16, 32, 64]
LATENT = 12
BETA = 0.1
EPOCHS = 8
STEPS = 8
DEVICE = "cpu"
OUT = Path("volumes")


def draw_blobs(count: int, seed: int) -> torch.Tensor:
    """Draws blobs, (count, 1, *SIZE), from 0 to 1."""
    generator = torch.Generator().manual_seed(seed)
    axes = [torch.linspace(-1, 1, size) for size in SIZE]
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"))  # (3, 16, 20, 24)
    centre = torch.rand(count, 3, 1, 1, 1, generator=generator) - 0.5
    radius = 0.25 + 0.35 * torch.rand(count, 3, 1, 1, 1, generator=generator)
    distance = ((grid - centre) / radius).square().sum(1, keepdim=True).sqrt()
    return torch.sigmoid(8 * (1 - distance))


torch.manual_seed(0)
model = VAE(CHANNELS, LATENT, image_size=SIZE, in_channels=1)
print(model)
history = fit(
    model, draw_blobs(VOLUMES, seed=0), loss=BetaLoss(BETA), epochs=EPOCHS, device=DEVICE
)

a, b = draw_blobs(2, seed=34)  # two that are far apart
frames = interpolate(model, a, b, steps=STEPS)  # (8, 1, 16, 20, 24)
slices = frames[:, :, 2::4].transpose(1, 2)  # (8, 4, 1, 20, 24): four slices of each volume
OUT.mkdir(exist_ok=True)
save_images(slices.flatten(0, 1), OUT / "mix.png", columns=slices.shape[1], scale=4)
model.save(OUT / "volumes.safetensors")
print(f"wrote mix.png (a row per step, slices side by side) and volumes.safetensors to {OUT}")
