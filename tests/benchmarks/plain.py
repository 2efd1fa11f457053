"""The plain recipe: what most people write today, as the other side of the benchmarks.

Eager float32, LeakyReLU, Kaiming init, a sigmoid and then the summed binary cross-entropy, Adam
at 0.001, batches of 64 indexed from a uint8 tensor in memory. Nothing of easyvae is used.
"""

import itertools
import time
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BATCH_SIZE = 64
LR = 1e-3


class PlainVAE(nn.Module):
    """The usual network; `extra_activation` adds one between the last layer and the sigmoid."""

    def __init__(
        self,
        channels: Sequence[int],
        latent: int,
        image_size: int = 64,
        in_channels: int = 3,
        *,
        extra_activation: bool = False,
    ) -> None:
        super().__init__()
        widths = [in_channels, *channels]
        self.grid = (channels[-1], *[image_size // 2 ** len(channels)] * 2)
        down: list[nn.Module] = []
        for below, above in itertools.pairwise(widths):
            down += [nn.Conv2d(below, above, 4, 2, 1), nn.LeakyReLU()]
        features = self.grid[0] * self.grid[1] * self.grid[2]
        self.encoder = nn.Sequential(*down, nn.Flatten())
        self.mean = nn.Linear(features, latent)
        self.log_var = nn.Linear(features, latent)
        self.expand = nn.Linear(latent, features)
        up: list[nn.Module] = []
        for above, below in zip(widths[:0:-1], widths[-2::-1], strict=True):
            up += [nn.ConvTranspose2d(above, below, 4, 2, 1), nn.LeakyReLU()]
        self.decoder = nn.Sequential(*(up if extra_activation else up[:-1]))
        for layer in [*self.encoder, *self.decoder]:
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        features = self.encoder(x)
        return self.mean(features), self.log_var(features)

    def decode(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.decoder(F.leaky_relu(self.expand(z)).view(-1, *self.grid)))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, log_var = self.encode(x)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        return self.decode(z), mean, log_var

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        return self.decode(self.encode(x)[0])


def plain_loss(outputs: Sequence[Tensor], x: Tensor, beta: float) -> Tensor:
    """The loss as it is usually written, per image."""
    reconstruction, mean, log_var = outputs[:3]
    error = F.binary_cross_entropy(reconstruction, x, reduction="sum")
    divergence = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
    return (error + beta * divergence) / len(x)


def train_plain(
    model: nn.Module,
    images: Tensor,
    *,
    beta: float,
    seed: int,
    keep_on: Callable[[int, float], bool],
) -> None:
    """Trains on uint8 images until `keep_on(epochs, seconds)` is false; its time is not counted.

    `model(x)` returns the reconstruction, the mean and the log-variance first.
    """
    torch.manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)
    epoch, seconds = 0, 0.0
    while keep_on(epoch, seconds):
        model.train()
        started = time.perf_counter()
        for indices in torch.randperm(len(images)).split(BATCH_SIZE):
            x = images[indices].float() / 255
            loss = plain_loss(model(x), x, beta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        epoch, seconds = epoch + 1, seconds + time.perf_counter() - started
