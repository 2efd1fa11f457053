"""Mixing, changing and moving pictures by way of their latents.

`N` is a batch, `D` the latent size, `S` a number of frames and `K` a number of pictures.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from easyvae.latents.paths import as_numbers, blend, lerp, slerp

Path: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


class Autoencoder(Protocol):
    """What these tools need of a model.

    `encode` may return a tensor, a tuple whose first item is the mean, or anything with a tensor
    `.mean`, such as a `Posterior` or a `torch.distributions.Normal`.
    """

    def encode(self, x: Tensor, /) -> Any:
        """Maps images (N, C, *spatial) to latents or to distributions over them."""

    def decode(self, z: Tensor, /) -> Tensor:
        """Maps latents (N, D) to images (N, C, *spatial)."""


def interpolate(
    model: Autoencoder,
    a: Tensor,
    b: Tensor,
    steps: int = 10,
    *,
    method: Literal["slerp", "lerp"] | Path = "slerp",
) -> Tensor:
    """Turns one picture into another in `steps` frames, both ends included.

    The path runs between the means of the two posteriors. The first and the last frame are the
    model's reconstructions of `a` and `b`, bit for bit. Deterministic, without gradient, and in
    eval mode for the call.

    Args:
        model: Any model with `encode` and `decode`.
        a: The picture to start from: (C, *spatial), or a batch (N, C, *spatial); float in the
            data's range, or uint8. For a model without an `input_shape` three dimensions are
            one picture, anything else a batch.
        b: The picture to end with, the same shape.
        steps: Number of frames, at least 1; one alone is the reconstruction of `a`.
        method: "slerp", "lerp" or a callable `(a, b, t)` with latents (N, D) and `t` (S,) that
            returns (S, N, D).

    Returns:
        The frames, (steps, *a.shape).

    Raises:
        ValueError: If `steps` is below 1, the shapes differ, or `method` is unknown.
        TypeError: If `a` or `b` is not a tensor.

    Example:
        >>> from easyvae import VAE
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> interpolate(model, torch.rand(3, 16, 16), torch.rand(3, 16, 16), steps=5).shape
        torch.Size([5, 3, 16, 16])
    """
    path = _as_path(method)
    steps = _as_count("steps", steps)
    _check_tensor("a", a)
    _check_tensor("b", b)
    if a.shape != b.shape:
        raise ValueError(
            f"`a` {tuple(a.shape)} and `b` {tuple(b.shape)} must have one shape; "
            "resize one of them first"
        )
    single = is_single(model, a)
    with eval_mode(model), torch.no_grad():
        # Each end is encoded and decoded in a call of its own, as `reconstruct` does it: in
        # another batch the kernels may round otherwise.
        ends = [_mean(model.encode(x[None] if single else x)) for x in (a, b)]
        frames = [model.decode(z) for z in ends[:steps]]
        if steps > 2:
            z_a, z_b = (z.flatten(1) for z in ends)
            t = torch.linspace(0, 1, steps, device=z_a.device, dtype=torch.float64)
            z = path(z_a, z_b, t[1:-1])  # (steps - 2, N, D)
            images = _decode(model, z.reshape(-1, *ends[0].shape[1:]), ends[0].ndim)
            frames[1:1] = images.unflatten(0, (steps - 2, -1)).unbind()
    film = torch.stack(frames)
    return film[:, 0] if single else film


def mix(
    model: Autoencoder,
    pictures: Tensor,
    weights: Tensor | Sequence[float],
    *,
    method: Literal["slerp", "lerp"] = "slerp",
) -> Tensor:
    """Mixes any number of pictures by weights.

    Args:
        model: Any model with `encode` and `decode`.
        pictures: The K pictures, (K, C, *spatial), float in the data's range or uint8.
        weights: One weight per picture, (K,), or S sets of them, (S, K); see `blend`.
        method: "slerp" or "lerp".

    Returns:
        One picture (C, *spatial), or S of them (S, C, *spatial). A picture that has all the
        weight comes out as its reconstruction.

    Raises:
        ValueError: If the weights do not fit the pictures.

    Example:
        >>> from easyvae import VAE
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> mix(model, torch.rand(3, 3, 16, 16), [0.5, 0.25, 0.25]).shape
        torch.Size([3, 16, 16])
    """
    points = embed(model, pictures)
    mixed = blend(points.flatten(1), weights, method=method)  # as `interpolate` has it
    return _decode(model, mixed.unflatten(-1, points.shape[1:]), points.ndim)


def traverse(
    model: Autoencoder, picture: Tensor, dimension: int, *, steps: int = 9, span: float = 3.0
) -> Tensor:
    """Changes one latent dimension of a picture and leaves the others as they are.

    Args:
        model: Any model with `encode` and `decode`.
        picture: (C, *spatial), float in the data's range or uint8.
        dimension: Which latent dimension, 0 to D - 1; a negative one counts from the end.
        steps: Number of frames, at least 1.
        span: The dimension goes from `-span` to `span`, in standard deviations of the prior.

    Returns:
        The frames, (steps, C, *spatial).

    Raises:
        ValueError: If the latent has no such dimension or `steps` is below 1.
        TypeError: If `dimension` is not an integer.

    Example:
        >>> from easyvae import VAE
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> traverse(model, torch.rand(3, 16, 16), dimension=2, steps=5).shape
        torch.Size([5, 3, 16, 16])
    """
    steps = _as_count("steps", steps)
    z = embed(model, picture[None])
    if isinstance(dimension, bool) or not hasattr(dimension, "__index__"):
        raise TypeError(f"`dimension` (={dimension!r}) must be an integer")
    if not -z.shape[-1] <= dimension < z.shape[-1]:
        raise ValueError(f"`dimension` (={dimension}) must be below the latent size {z.shape[-1]}")
    line = z.repeat(steps, *(1,) * (z.ndim - 1))
    values = torch.linspace(-span, span, steps, device=z.device, dtype=z.dtype)
    line[..., dimension] = values.reshape(-1, *(1,) * (z.ndim - 2))
    return _decode(model, line, z.ndim)


def edit(
    model: Autoencoder,
    picture: Tensor,
    directions: Tensor,
    amounts: float | Tensor | Sequence[float],
) -> Tensor:
    """Moves a picture's latent along directions: `decode(mean + amounts @ directions)`.

    Args:
        model: Any model with `encode` and `decode`.
        picture: (C, *spatial), float in the data's range or uint8.
        directions: (K, D), as `principal_directions` returns them, or one alone, (D,), as
            `attribute_direction` does.
        amounts: How far along each, (K,), or S sets, (S, K); for one direction alone a number,
            or S of them, (S,).

    Returns:
        One picture (C, *spatial), or S of them (S, C, *spatial).

    Raises:
        ValueError: If the directions do not fit the latent, or the amounts the directions.

    Example:
        >>> from easyvae import VAE
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> sliders = principal_directions(torch.randn(100, 4), count=3)
        >>> edit(model, torch.rand(3, 16, 16), sliders, [1.0, 0.0, -2.0]).shape
        torch.Size([3, 16, 16])
    """
    z = embed(model, picture[None])
    amount = as_numbers("amounts", amounts, z.dtype, z.device)
    if directions.ndim == 1:
        directions, amount = directions[None], amount[..., None]
    directions = directions.to(z)
    if directions.ndim != 2 or directions.shape[1] != z[0].numel():
        raise ValueError(
            f"`directions` {tuple(directions.shape)} must be (K, D) with D = {z[0].numel()}"
        )
    if amount.ndim not in (1, 2) or amount.shape[-1] != len(directions):
        raise ValueError(
            f"`amounts` {tuple(amount.shape)} must have one amount for each of "
            f"{len(directions)} directions"
        )
    moved = z[0].flatten() + amount @ directions
    return _decode(model, moved.unflatten(-1, z.shape[1:]), z.ndim)


def principal_directions(latents: Tensor, count: int = 6) -> Tensor:
    """Finds the directions along which a set's latents vary most.

    Each comes with a length of one standard deviation along it, so that a slider from -3 to 3
    covers nearly all of the set. The largest component of each is positive.

    Args:
        latents: (n, D), the latents of at least two pictures, see `embed`.
        count: How many directions, at most `D` and `n - 1`.

    Returns:
        (count, D), the longest first, orthogonal to one another.

    Raises:
        ValueError: If there are too few latents or dimensions for `count`.

    Example:
        >>> cloud = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> principal_directions(cloud, count=1).round(decimals=2)
        tensor([[2.4500, 0.0000]])

    Reference:
        E. Harkonen et al., "GANSpace", 2020, https://arxiv.org/abs/2004.02546
    """
    count = _as_count("count", count)
    if latents.ndim != 2 or count > min(latents.shape[1], latents.shape[0] - 1):
        raise ValueError(
            f"`latents` {tuple(latents.shape)} must be (n, D) with n > `count` (={count}) and "
            "D at least `count`"
        )
    centred = (latents - latents.mean(0)).to(torch.float64 if latents.is_cpu else torch.float32)
    _, lengths, rows = torch.linalg.svd(centred, full_matrices=False)
    rows = rows[:count]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    scale = lengths[:count, None] / (len(latents) - 1) ** 0.5
    directions: Tensor = (rows * largest.sign() * scale).to(latents.dtype)
    return directions


def attribute_direction(with_it: Tensor, without_it: Tensor) -> Tensor:
    """Returns the direction of an attribute: a group's mean latent minus another group's.

    Args:
        with_it: Latents of pictures that have the attribute, (n, D).
        without_it: Latents of pictures that lack it, (m, D).

    Returns:
        (D,). Added to the latent of a picture that lacks the attribute, it gives it.

    Raises:
        ValueError: If a group is empty or the latent sizes differ.

    Example:
        >>> attribute_direction(torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 1.0]]))
        tensor([2., 0.])
    """
    for name, group in (("with_it", with_it), ("without_it", without_it)):
        if group.ndim != 2 or len(group) == 0 or group.shape[1] != with_it.shape[1]:
            raise ValueError(
                f"`{name}` {tuple(group.shape)} must be (n, D), n at least 1, D as in the other"
            )
    return with_it.mean(0) - without_it.mean(0)


def embed(model: Autoencoder, pictures: Tensor, *, batch_size: int = 256) -> Tensor:
    """Returns the posterior means of any number of pictures, in bounded memory.

    Args:
        model: Any model with `encode`.
        pictures: (n, C, *spatial), float in the data's range or uint8, n at least 1.
        batch_size: How many go through the encoder at a time.

    Returns:
        (n, D), without gradient, computed in eval mode.

    Raises:
        ValueError: If there are no pictures or `batch_size` is below 1.

    Example:
        >>> from easyvae import VAE
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> embed(model, torch.rand(10, 3, 16, 16)).shape
        torch.Size([10, 4])
    """
    batch_size = _as_count("batch_size", batch_size)
    _check_tensor("pictures", pictures)
    if len(pictures) == 0:
        raise ValueError("`pictures` must hold at least one picture")
    with eval_mode(model), torch.no_grad():
        return torch.cat([_mean(model.encode(x)) for x in pictures.split(batch_size)])


@contextmanager
def eval_mode(model: object) -> Iterator[None]:
    """Puts a model in eval mode and leaves every module's training flag as it was found."""
    modules = list(model.modules()) if isinstance(model, nn.Module) else []
    flags = [module.training for module in modules]
    for module in modules:
        module.training = False
    try:
        yield
    finally:
        for module, flag in zip(modules, flags, strict=True):
            module.training = flag


def is_single(model: object, x: Tensor) -> bool:
    """Tells whether `x` is one picture rather than a batch of them."""
    shape = getattr(model, "input_shape", None)
    return getattr(x, "ndim", None) == (3 if shape is None else len(shape))


def _decode(model: Autoencoder, z: Tensor, batch_ndim: int, *, batch_size: int = 256) -> Tensor:
    """Decodes a batch of latents, or one latent, in bounded memory."""
    single = z.ndim < batch_ndim
    with eval_mode(model), torch.no_grad():
        parts = [model.decode(part) for part in (z[None] if single else z).split(batch_size)]
    images = torch.cat(parts)
    return images[0] if single else images


def _mean(posterior: Any) -> Tensor:
    """Finds the mean in whatever a model's `encode` returns."""
    if isinstance(posterior, Tensor):
        return posterior
    mean = getattr(posterior, "mean", None)
    if mean is None and isinstance(posterior, tuple):
        mean = posterior[0]
    if not isinstance(mean, Tensor):
        raise TypeError(
            f"`model.encode` returned {type(posterior).__name__}; it must return a tensor, a "
            "tuple that starts with the mean, or an object with a tensor `.mean`"
        )
    return mean


def _check_tensor(name: str, x: Tensor) -> None:
    if not isinstance(x, Tensor):
        raise TypeError(f"`{name}` must be a tensor, not {type(x).__name__}; try torch.as_tensor")


def _as_path(method: str | Path) -> Path:
    if callable(method):
        return method
    paths: dict[str, Path] = {"slerp": slerp, "lerp": lerp}
    if method not in paths:
        raise ValueError(f"`method` (={method!r}) must be 'slerp', 'lerp' or a callable (a, b, t)")
    return paths[method]


def _as_count(name: str, value: int) -> int:
    # The one check of an integer that this module needs: it imports nothing of ours.
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < 1:
        raise ValueError(f"`{name}` (={value!r}) must be an integer of at least 1")
    return value.__index__()
