"""A VAE for signals: one dimension, 4,096 samples, values of any size; two signals are mixed.

Each signal is a tone of a few periods under an envelope: its frequency, phase, place and width
are four numbers, so a few latents can hold it.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from easyvae import VAE, BetaLoss, fit, interpolate

SIGNALS = 1000
SAMPLES = 4096
CHANNELS = [16, 32, 32, 64, 64]
STRIDE = 4  # each layer makes a signal a quarter as long: 1024, 256, 64, 16, 4
KERNEL_SIZE = 8
LATENT = 16
BETA = 0.1
EPOCHS = 10
STEPS = 5
DEVICE = "cpu"
OUT = Path("signals")


def draw_signals(count: int, seed: int) -> torch.Tensor:
    """Draws wave packets, (count, 1, SAMPLES), from about -1 to 1."""
    generator = torch.Generator().manual_seed(seed)
    random = torch.rand(4, count, 1, generator=generator)
    frequency, phase = 2 + 3 * random[0], 2 * torch.pi * random[1]
    place, width = 0.35 + 0.3 * random[2], 0.1 + 0.1 * random[3]
    time = torch.linspace(0, 1, SAMPLES)
    envelope = torch.exp(-(((time - place) / width) ** 2) / 2)
    return (envelope * torch.sin(2 * torch.pi * frequency * time + phase))[:, None]


torch.manual_seed(0)
model = VAE(
    CHANNELS,
    LATENT,
    image_size=(SAMPLES,),
    in_channels=1,
    kernel_size=KERNEL_SIZE,
    stride=STRIDE,
    output="identity",  # signals are not bounded as pictures are
)
print(model)
loss = BetaLoss(BETA, reconstruction="mse")
history = fit(model, draw_signals(SIGNALS, seed=0), loss=loss, epochs=EPOCHS, device=DEVICE)

a, b = draw_signals(2, seed=1)  # not among those it was trained on
frames = interpolate(model, a, b, steps=STEPS).cpu()  # (5, 1, 4096)
error = (model.reconstruct(a).cpu() - a).square().mean().sqrt()
print(f"typical error of the reconstruction of a: {error:.3f}")

figure = Figure(figsize=(8, 1.2 * STEPS), layout="constrained")
for step, axes in enumerate(figure.subplots(STEPS, 1, sharex=True, sharey=True)):
    axes.plot(frames[step, 0], color="#2a6f97", label="model")
    if step in (0, STEPS - 1):
        axes.plot((b if step else a)[0], color="#d1495b", linewidth=0.8, label="signal")
        axes.legend(frameon=False, loc="upper right")
OUT.mkdir(exist_ok=True)
figure.savefig(OUT / "mix.png")
model.save(OUT / "signals.safetensors")
print(f"wrote mix.png and signals.safetensors to {OUT}")
