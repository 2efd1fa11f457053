"""What a model must offer, and how the latent tools use it: in eval mode, in bounded memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from easyvae.core.checks import as_int, check_floats, check_same_shape, check_tensor


class Posterior(NamedTuple):
    """The normal distribution that an encoder gives each image: `q(z|x)`.

    Attributes:
        mean: Means, (N, D).
        log_var: Natural logarithms of the variances, (N, D).
    """

    mean: Tensor
    log_var: Tensor


def reparameterize(
    mean: Tensor, log_var: Tensor, *, generator: torch.Generator | None = None
) -> Tensor:
    """Samples a normal distribution so that gradients reach its mean and its variance.

        z = mean + exp(log_var / 2) * eps,    eps ~ N(0, I)

    Args:
        mean: Any shape, usually (N, D).
        log_var: The same shape.
        generator: Source of the noise, on the tensors' device; the global one by default.

    Returns:
        A sample of the shape and dtype of `mean`, infinite where it lies beyond the dtype's range:
        training has to notice.

    Raises:
        TypeError: If `mean` or `log_var` is not a float tensor.
        ValueError: If their shapes differ.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> reparameterize(torch.zeros(2, 3), torch.zeros(2, 3), generator=g).shape
        torch.Size([2, 3])

    Reference:
        D. Kingma and M. Welling, "Auto-Encoding Variational Bayes", 2013,
        https://arxiv.org/abs/1312.6114
    """
    check_floats("mean", mean)
    check_floats("log_var", log_var)
    check_same_shape(("mean", "log_var"), mean, log_var)
    eps = torch.empty_like(mean).normal_(generator=generator)
    # A noise of 0 times an infinite deviation would be NaN.
    deviation = torch.exp(log_var / 2).clamp(max=torch.finfo(log_var.dtype).max)
    return mean + deviation * eps


class Autoencoder(Protocol):
    """What these tools need of a model.

    `encode` may return a tensor, a tuple whose first item is the mean, or anything with a tensor
    `.mean`, such as a `Posterior` or a `torch.distributions.Normal`.
    """

    def encode(self, x: Tensor, /) -> Any:
        """Maps images (N, C, *spatial) to latents or to distributions over them."""

    def decode(self, z: Tensor, /) -> Tensor:
        """Maps latents (N, D) to images (N, C, *spatial)."""


def embed(
    model: Autoencoder,
    pictures: Tensor,
    *,
    batch_size: int = 256,
    sample: bool = False,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Returns the latents of any number of pictures, in bounded memory.

    Args:
        model: Any model with `encode`. For samples it must return a log-variance too: as the
            second item of a tuple or as `.log_var`, or the variance as `.variance`.
        pictures: (n, C, *spatial), float in the data's range or uint8, n at least 1.
        batch_size: How many go through the encoder at a time; the samples' noise does not depend
            on it.
        sample: Draw one sample of each picture's posterior, rather than take its mean.
        generator: Source of the samples' noise, on the model's device; the global one by default.

    Returns:
        (n, D), without gradient, computed in eval mode.

    Raises:
        ValueError: If there are no pictures, or `batch_size` is below 1 or has a fraction.
        TypeError: If `pictures` is not a tensor, or there is no variance for samples.

    Example:
        >>> from easyvae import VAE
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> embed(model, torch.rand(10, 3, 16, 16)).shape
        torch.Size([10, 4])
    """
    batch_size = as_int("batch_size", batch_size)
    check_tensor("pictures", pictures)
    if len(pictures) == 0:
        raise ValueError("`pictures` must hold at least one picture")
    means, log_vars = [], []
    with eval_mode(model), torch.no_grad():
        for x in pictures.split(batch_size):
            posterior = model.encode(x)
            means.append(posterior_mean(posterior))
            if sample:
                log_vars.append(_posterior_log_var(posterior))
        mean = torch.cat(means)
        return reparameterize(mean, torch.cat(log_vars), generator=generator) if sample else mean


@contextmanager
def eval_mode(model: object) -> Iterator[None]:
    """Puts a model in eval mode and leaves every module's training flag as it was found."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    flags = {module: module.training for module in modules}
    for module in flags:
        module.training = False
    try:
        yield
    finally:
        for module, flag in flags.items():
            module.training = flag


def is_single(model: object, x: Tensor) -> bool:
    """Tells whether `x` is one picture rather than a batch of them.

    One of another shape than the model's `input_shape` is not, so that errors are about what was
    given, and not about a batch of it.
    """
    shape = getattr(model, "input_shape", None)
    if shape is None:
        return getattr(x, "ndim", None) == 3
    # First the number of dimensions: `torch.export` would take a comparison of a batch's size
    # with the number of channels for a fact about all batches.
    return getattr(x, "ndim", None) == len(shape) and bool(x.shape == tuple(shape))


def decode_all(model: Autoencoder, z: Tensor, batch_ndim: int, *, batch_size: int = 256) -> Tensor:
    """Decodes a batch of latents, or one latent, in bounded memory."""
    single = z.ndim < batch_ndim
    with eval_mode(model), torch.no_grad():
        parts = [model.decode(part) for part in (z[None] if single else z).split(batch_size)]
    images = torch.cat(parts)
    return images[0] if single else images


def posterior_mean(posterior: Any) -> Tensor:
    """Finds the mean in whatever a model's `encode` returns."""
    mean = posterior if isinstance(posterior, Tensor) else _part_of(posterior, "mean", 0)
    if not isinstance(mean, Tensor):
        raise TypeError(
            f"`model.encode` returned {type(posterior).__name__}; it must return a tensor, a "
            "tuple that starts with the mean, or an object with a tensor `.mean`"
        )
    return mean


def _part_of(posterior: Any, name: str, place: int) -> Any:
    part = getattr(posterior, name, None)
    in_tuple = part is None and isinstance(posterior, tuple) and len(posterior) > place
    return posterior[place] if in_tuple else part


def _posterior_log_var(posterior: Any) -> Tensor:
    """Finds the log-variance in whatever a model's `encode` returns."""
    log_var = _part_of(posterior, "log_var", 1)
    variance = getattr(posterior, "variance", None)  # a torch.distributions.Normal has it
    if log_var is None and isinstance(variance, Tensor):
        log_var = variance.log()
    if not isinstance(log_var, Tensor):
        raise TypeError(
            f"`model.encode` returned {type(posterior).__name__}; for `sample=True` it must "
            "return a tuple (mean, log_var), or an object with a tensor `.log_var` or `.variance`"
        )
    return log_var
