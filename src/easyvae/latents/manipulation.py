"""Mixing, changing and moving pictures by way of their latents.

`N` is a batch, `D` the latent size, `S` a number of frames and `K` a number of pictures.
"""

from collections.abc import Callable, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from easyvae.core.checks import as_int, as_numbers, check_same_shape, check_tensor
from easyvae.latents.autoencoder import (
    Autoencoder,
    decode_all,
    embed,
    eval_mode,
    is_single,
    posterior_mean,
)
from easyvae.latents.paths import blend, lerp, slerp

Path: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]


def interpolate(
    model: Autoencoder,
    a: Tensor,
    b: Tensor,
    steps: int = 10,
    *,
    method: Literal["slerp", "lerp"] | Path = "lerp",
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
        method: "lerp", the straight line, which training with warps makes known half-ways lie
            on; "slerp", the arc, which keeps more contrast and comes less near to what is truly
            half-way; or a callable `(a, b, t)` with latents (N, D) and `t` (S,) that returns
            (S, N, D).

    Returns:
        The frames, (steps, *a.shape).

    Raises:
        ValueError: If `steps` is below 1, the shapes differ, or `method` is unknown.
        TypeError: If `a` or `b` is not a tensor, or `steps` not a number.

    Example:
        >>> from easyvae import VAE
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> interpolate(model, torch.rand(3, 16, 16), torch.rand(3, 16, 16), steps=5).shape
        torch.Size([5, 3, 16, 16])
    """
    path = _as_path(method)
    steps = as_int("steps", steps)
    check_tensor("a", a)
    check_tensor("b", b)
    check_same_shape(("a", "b"), a, b, "; resize one of them first")
    single = is_single(model, a)
    with eval_mode(model), torch.no_grad():
        # Each end is encoded and decoded in a call of its own, as `reconstruct` does it: in
        # another batch the kernels may round otherwise.
        ends = [posterior_mean(model.encode(x[None] if single else x)) for x in (a, b)]
        frames = [model.decode(z) for z in ends[:steps]]
        if steps > 2:
            z_a, z_b = (z.flatten(1) for z in ends)
            t = torch.linspace(0, 1, steps, device=z_a.device, dtype=torch.float64)
            z = path(z_a, z_b, t[1:-1])  # (steps - 2, N, D)
            check_tensor("method(a, b, t)", z)
            images = decode_all(model, z.reshape(-1, *ends[0].shape[1:]), ends[0].ndim)
            frames[1:1] = images.unflatten(0, (steps - 2, -1)).unbind()
    film = torch.stack(frames)
    return film[:, 0] if single else film


def mix(
    model: Autoencoder,
    pictures: Tensor,
    weights: Tensor | Sequence[float],
    *,
    method: Literal["slerp", "lerp"] = "lerp",
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
    return decode_all(model, mixed.unflatten(-1, points.shape[1:]), points.ndim)


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
        ValueError: If the latent has no such dimension, `steps` is below 1, or `span` is not
            finite.
        TypeError: If `dimension` is not an integer, or `span` not a number.

    Example:
        >>> from easyvae import VAE
        >>> model = VAE(channels=[8, 16], latent=4, image_size=16)
        >>> traverse(model, torch.rand(3, 16, 16), dimension=2, steps=5).shape
        torch.Size([5, 3, 16, 16])
    """
    steps = as_int("steps", steps)
    z = embed(model, picture[None])
    if isinstance(dimension, bool) or not hasattr(dimension, "__index__"):
        raise TypeError(f"`dimension` (={dimension!r}) must be an integer")
    if not -z.shape[-1] <= dimension < z.shape[-1]:
        raise ValueError(f"`dimension` (={dimension}) must be below the latent size {z.shape[-1]}")
    line = z.repeat(steps, *(1,) * (z.ndim - 1))
    reach = as_numbers("span", span, z.dtype, z.device)
    if reach.ndim or not bool(reach.isfinite()):
        raise ValueError(f"`span` (={span!r}) must be one number, in the range of {z.dtype}")
    values = reach * torch.linspace(-1, 1, steps, device=z.device, dtype=z.dtype)
    line[..., dimension] = values.reshape(-1, *(1,) * (z.ndim - 2))
    return decode_all(model, line, z.ndim)


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
        ValueError: If the directions do not fit the latent, or the amounts the directions, or
            if some are not finite or lead beyond the range of the latent's dtype.

    Example:
        >>> from easyvae import VAE
        >>> from easyvae.latents import principal_directions
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
    for name, numbers in (("amounts", amount), ("directions", directions)):
        if not bool(numbers.isfinite().all()):
            raise ValueError(f"`{name}` must be finite and in the range of {z.dtype}")
    moved = z[0].flatten() + amount @ directions
    if not bool(moved.isfinite().all()) and bool(z.isfinite().all()):
        raise ValueError(
            f"`amounts` must not lead beyond the range of {z.dtype}; take smaller ones"
        )
    return decode_all(model, moved.unflatten(-1, z.shape[1:]), z.ndim)


def _as_path(method: str | Path) -> Path:
    if callable(method):
        return method
    paths: dict[str, Path] = {"slerp": slerp, "lerp": lerp}
    if method not in paths:
        raise ValueError(f"`method` (={method!r}) must be 'slerp', 'lerp' or a callable (a, b, t)")
    return paths[method]
