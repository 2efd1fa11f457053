"""Directions in the latent space along which pictures change."""

import torch
from torch import Tensor

from easyvae.core.checks import as_int, check_finite, check_floats, unit_for, widest
from easyvae.latents.paths import saturated


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
        ValueError: If there are too few latents or dimensions for `count`, or some latents are
            not finite.
        TypeError: If `latents` is not a float tensor.

    Example:
        >>> cloud = torch.tensor([[-3.0, 0.0], [3.0, 0.0], [0.0, 1.0], [0.0, -1.0]])
        >>> principal_directions(cloud, count=1).round(decimals=2)
        tensor([[2.4500, 0.0000]])

    Reference:
        E. Harkonen et al., "GANSpace", 2020, https://arxiv.org/abs/2004.02546
    """
    count = as_int("count", count)
    check_floats("latents", latents)
    if latents.ndim != 2 or count > min(latents.shape[1], latents.shape[0] - 1):
        raise ValueError(
            f"`latents` {tuple(latents.shape)} must be (n, D) with n > `count` (={count}) and "
            "D at least `count`"
        )
    check_finite("latents", latents)
    unit = unit_for(latents)
    scaled = latents.to(widest(latents.device)) / unit
    centred = (scaled - scaled.mean(0)).to(torch.float64 if latents.is_cpu else torch.float32)
    _, lengths, rows = torch.linalg.svd(centred, full_matrices=False)
    rows = rows[:count]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    scale = lengths[:count, None] / (len(latents) - 1) ** 0.5
    return saturated(rows * largest.sign() * scale * unit, latents.dtype)


def attribute_direction(with_it: Tensor, without_it: Tensor) -> Tensor:
    """Returns the direction of an attribute: a group's mean latent minus another group's.

    Args:
        with_it: Latents of pictures that have the attribute, (n, D).
        without_it: Latents of pictures that lack it, (m, D).

    Returns:
        (D,). Added to the latent of a picture that lacks the attribute, it gives it.

    Raises:
        ValueError: If a group is empty or the latent sizes differ.
        TypeError: If a group is not a float tensor.

    Example:
        >>> attribute_direction(torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 1.0]]))
        tensor([2., 0.])
    """
    for name, group in (("with_it", with_it), ("without_it", without_it)):
        check_floats(name, group)
        if group.ndim != 2 or len(group) == 0 or group.shape[1] != with_it.shape[1]:
            raise ValueError(
                f"`{name}` {tuple(group.shape)} must be (n, D), n at least 1, D as in the other"
            )
    wide = widest(with_it.device)
    # Each is divided before the sum, which may be beyond the range where the mean is not.
    mean, other = ((group.to(wide) / len(group)).sum(0) for group in (with_it, without_it))
    return saturated(mean - other, torch.promote_types(with_it.dtype, without_it.dtype))
