"""The latents of a whole set, computed once per model and kept beside the decoded pictures."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from easyvae.core.tensor_file import TensorFile
from easyvae.data import Pictures
from easyvae.data.cache import keep, read_kept
from easyvae.latents import GaussianMixture, eval_mode, reparameterize
from easyvae.model import VAE

PIECE = 128
"""Pictures that are encoded at a time: a request waits for one such piece at most."""
_SAMPLES = 10_000  # pictures whose posteriors are sampled, for a mixture
_COMPONENTS = 10


def identify(model: VAE, pictures: Pictures) -> str:
    """Returns a hash of a model's weights and of a set: what is cached is kept under it."""
    # Not by `config`, which has no words for a factory: by what it has made.
    parts = [repr(part) for part in model.modules() if not list(part.children())]
    digest = hashlib.sha256(repr((repr(model), parts)).encode())
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"\n{name}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
    digest.update(pictures.fingerprint.encode())
    return digest.hexdigest()[:32]


class TensorCache:
    """Tensors in the cache folder, see `data.cache`; where nothing can be kept, nothing is."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, name: str, shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor] | None:
        """Returns the tensors of a name if they are float32, have these shapes and are finite."""
        wanted = {key: (torch.float32, shape) for key, shape in shapes.items()}

        def read(file: TensorFile) -> dict[str, Tensor] | None:
            if {key: (e.dtype, e.shape) for key, e in file.entries.items()} != wanted:
                return None
            tensors = file.read()
            return tensors if all(bool(t.isfinite().all()) for t in tensors.values()) else None

        return read_kept(self._folder / f"{name}.safetensors", read)

    def save(self, name: str, tensors: dict[str, Tensor]) -> None:
        """Keeps tensors, whole or not at all."""
        with suppress(OSError):
            keep(self._folder / f"{name}.safetensors", tensors, {"kind": "mixer"})


def open_latents(
    model: VAE,
    pictures: Pictures,
    cache: TensorCache,
    name: str,
    progress: Callable[[int], None],
) -> tuple[Tensor, Tensor]:
    """Returns the latents of a set from the cache, or computes and keeps them.

    Args:
        model: The model.
        pictures: The set, N pictures.
        cache: Where they are kept.
        name: What `identify` returns.
        progress: Told after each piece how many pictures are done; what it raises ends the work.

    Returns:
        The posterior means of all pictures, (N, D), and a posterior sample of each of some of
        them, evenly spaced, (n, D). Float32, on the CPU.
    """
    step = -(-len(pictures) // _SAMPLES)
    shapes: dict[str, tuple[int, ...]] = {
        "means": (len(pictures), model.latent),
        "samples": (-(-len(pictures) // step), model.latent),
    }
    name = f"latents-{name}"
    kept = cache.load(name, shapes)
    if kept is None:
        kept = {key: torch.empty(shape) for key, shape in shapes.items()}
        generator = torch.Generator().manual_seed(0)
        for start in range(0, len(pictures), PIECE):
            rows = slice(start, start + PIECE)
            with eval_mode(model), torch.no_grad():
                mean, log_var = model.encode(pictures.images[rows])
            mean, log_var = mean.float().cpu(), log_var.float().cpu()
            kept["means"][rows] = mean
            drawn = reparameterize(mean, log_var, generator=generator)
            first = -start % step  # of this piece, the pictures whose number `step` divides
            some = drawn[first::step]
            row = (start + first) // step
            kept["samples"][row : row + len(some)] = some
            progress(min(start + PIECE, len(pictures)))
        if not all(bool(t.isfinite().all()) for t in kept.values()):
            raise ValueError("the model's latents of these pictures are not all finite numbers")
        cache.save(name, kept)
    progress(len(pictures))
    return kept["means"], kept["samples"]


def open_mixture(samples: Tensor, cache: TensorCache, name: str) -> GaussianMixture:
    """Returns the mixture of a set's latents, float32, from the cache, or fits and keeps it.

    Args:
        samples: What `open_latents` returns, (n, D).
        cache: Where it is kept.
        name: What `identify` returns.
    """
    latent = samples.shape[1]
    components = max(1, min(_COMPONENTS, len(samples) // 20))
    shapes: dict[str, tuple[int, ...]] = {
        "weights": (components,),
        "means": (components, latent),
        "scale_tril": (components, latent, latent),
    }
    name = f"mixture-{name}"
    kept = cache.load(name, shapes)
    if kept is None or not _are_shares(kept["weights"]):
        # Seconds, where there are many dimensions.
        fitted = GaussianMixture.fit(samples, components)
        kept = {key: getattr(fitted, key).float() for key in shapes}
        cache.save(name, kept)
    return GaussianMixture(kept["weights"], kept["means"], kept["scale_tril"])


def _are_shares(weights: Tensor) -> bool:
    """Returns whether these can be a mixture's weights: drawing from others raises."""
    return bool((weights >= 0).all()) and abs(float(weights.sum()) - 1) < 1e-3
