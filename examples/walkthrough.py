"""The whole tour in cells: build, train, look, mix, move about. Nothing but kittens is needed."""

# %% What there is to choose
from pathlib import Path

import torch

from easyvae import VAE, BetaLoss, fit, interpolate
from easyvae.kittens import COATS, draw_kittens
from easyvae.latents import attribute_direction, edit, embed, mix, principal_directions, traverse
from easyvae.plots import (
    plot_images,
    plot_interpolation,
    plot_reconstructions,
    save_animation,
    save_images,
)

KITTENS = 3000
CHANNELS = [32, 64, 128, 256]
LATENT = 64
BETA = 0.1
EPOCHS = 5
DEVICE = "cpu"
OUT = Path("walkthrough")
OUT.mkdir(exist_ok=True)

# %% The data: kittens, and the factors that each was drawn from
pictures, factors = draw_kittens(KITTENS)
images = torch.from_numpy(pictures)  # (3000, 3, 64, 64), uint8
unseen = torch.from_numpy(draw_kittens(10, start=KITTENS)[0])
print([COATS[code].name for code in factors["coat"][:5]])
plot_images(images[:40], columns=10)

# %% A model: each number in CHANNELS is a layer that halves the picture
torch.manual_seed(0)
model = VAE(CHANNELS, LATENT)
print(model)

# %% Training: a tenth of the kittens is held out; the folder keeps model, figures and checkpoint
history = fit(model, images, loss=BetaLoss(BETA), epochs=EPOCHS, device=DEVICE, out=OUT / "run")
history.plot().savefig(OUT / "curves.png")
print(history)

# %% Reconstructions of kittens that it has not seen
figure = plot_reconstructions(unseen, model.reconstruct(unseen))
figure.savefig(OUT / "reconstructions.png")

# %% One kitten into another
frames = interpolate(model, unseen[0], unseen[1], steps=10)
plot_interpolation(frames).savefig(OUT / "interpolation.png")
save_animation(frames, OUT / "interpolation.gif", scale=4)

# %% Several at once: one picture that is a third of each
third = mix(model, unseen[:3], [1, 1, 1])
save_images(torch.cat([unseen[:3] / 255, third[None].cpu()]), OUT / "mix.png", scale=2)

# %% Traversals: one latent at a time, from -3 to 3. The ones that vary most say most
latents = embed(model, images)  # (3000, 64)
busiest = latents.var(0).argsort(descending=True)[:4].tolist()
rows = torch.stack([traverse(model, unseen[0], dimension, steps=9) for dimension in busiest])
plot_interpolation(rows.transpose(0, 1)).savefig(OUT / "traversals.png")

# %% Sliders: the directions along which the kittens differ most, in standard deviations
sliders = principal_directions(latents, count=4)  # (4, 64)
amounts = torch.linspace(-3, 3, 9)
rows = torch.stack([edit(model, unseen[0], slider, amounts) for slider in sliders])
plot_interpolation(rows.transpose(0, 1)).savefig(OUT / "sliders.png")

# %% Attributes: what the known factors have to do with the latents
rows = []
for name in ("yaw", "light_x", "zoom"):
    factor = torch.from_numpy(factors[name])
    high, low = factor > factor.quantile(0.8), factor < factor.quantile(0.2)
    direction = attribute_direction(latents[high], latents[low])
    rows.append(edit(model, unseen[0], direction, torch.linspace(-2, 2, 9)))
plot_interpolation(torch.stack(rows, dim=1)).savefig(OUT / "attributes.png")

# %% Attribute arithmetic: a kitten, less the mean ginger one, plus the mean black one
coats = [coat.name for coat in COATS]
ginger = latents[torch.from_numpy(factors["coat"] == coats.index("ginger"))]
black = latents[torch.from_numpy(factors["coat"] == coats.index("black"))]
example = images[int((factors["coat"] == coats.index("ginger")).argmax())]
darker = edit(model, example, attribute_direction(black, ginger), torch.linspace(0, 1, 5))
save_images(darker, OUT / "ginger-to-black.png", scale=2)

# %% New kittens, straight from the prior. A BETA far below 0.1 leaves gaps there
generator = torch.Generator(DEVICE).manual_seed(0)
samples = model.sample(20, temperature=0.8, generator=generator)
save_images(samples, OUT / "samples.png", columns=10, scale=2)

print(f"wrote {len(list(OUT.glob('*.*')))} pictures, and the run folder run, to {OUT}")
