"""Paths between latent vectors, and mixtures of them: pure functions of tensors."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from easyvae.core.checks import as_numbers, check_floats, widest


def lerp(a: Tensor, b: Tensor, t: float | Tensor | Sequence[float]) -> Tensor:
    """Interpolates along the straight line from `a` to `b`: `(1 - t) a + t b`.

    Args:
        a: Where `t = 0` leads, (*, D), in any float dtype.
        b: Where `t = 1` leads, the same shape.
        t: A number, or S of them. Outside [0, 1] it extrapolates.

    Returns:
        The shape of `a` for one `t`, (S, *, D) for S of them; the ends bit for bit. What lies
        beyond the range of the dtype, as an extrapolation may, is its largest number.

    Raises:
        ValueError: If the shapes differ or `t` is not finite.
        TypeError: If `a` or `b` is not a float tensor.

    Example:
        >>> lerp(torch.tensor([0.0, 0.0]), torch.tensor([4.0, 2.0]), 0.25)
        tensor([1.0000, 0.5000])
    """
    line = _Segment(a, b, t)
    return line.finish(line.straight())


def slerp(a: Tensor, b: Tensor, t: float | Tensor | Sequence[float]) -> Tensor:
    """Interpolates along the great circle from `a` to `b`, row by row of the last dimension.

    With `u`, `v` the unit vectors of a row, the direction turns by the angle

        theta = 2 atan2(|u - v|, |u + v|)

    in the plane of `m = (u + v) / |u + v|` and `d = (v - u) / |v - u|`, and the norm goes
    linearly:

        ((1 - t) |a| + t |b|) (cos((t - 1/2) theta) m + sin((t - 1/2) theta) d)

    Unlike the usual formula with `acos` and a division by `sin(theta)`, this one is accurate at
    every angle. Rows where `a` or `b` is zero, or where the two are parallel, take the straight
    line; opposite ones take one half circle, always the same.

    Args:
        a: Where `t = 0` leads, (*, D), in any float dtype.
        b: Where `t = 1` leads, the same shape.
        t: A number, or S of them. Outside [0, 1] it extrapolates.

    Returns:
        The shape of `a` for one `t`, (S, *, D) for S of them; the ends bit for bit. What lies
        beyond the range of the dtype, as an extrapolation may, is its largest number.

    Raises:
        ValueError: If the shapes differ or `t` is not finite.
        TypeError: If `a` or `b` is not a float tensor.

    Example:
        >>> slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
        tensor([0.7071, 0.7071])

    Reference:
        K. Shoemake, "Animating Rotation with Quaternion Curves", 1985; for latents, T. White,
        "Sampling Generative Networks", 2016, https://arxiv.org/abs/1609.04468
    """
    line = _Segment(a, b, t)
    (u, norm_a), (v, norm_b) = _polar(line.a, line.largest_a), _polar(line.b, line.largest_b)
    chord, sum_ = v - u, u + v
    theta = 2 * torch.atan2(_norm(chord), _norm(sum_))  # (*, 1)
    d = _unit(chord)
    # The bisector of opposite vectors is rounding noise: any direction across `d` will do.
    opposite = _norm(sum_) < 64 * torch.finfo(sum_.dtype).eps
    m = torch.where(opposite, _across(d), sum_)
    m = _unit(m - (m * d).sum(-1, keepdim=True) * d)
    turn = saturated((line.t - 0.5) * theta, theta.dtype)  # infinity would have no cosine
    before, after = line.parts
    norm = before * norm_a * (line.largest_a / line.scale)
    norm = norm + after * norm_b * (line.largest_b / line.scale)
    curve = norm * (turn.cos() * m + turn.sin() * d)
    use_line = (line.largest_a == 0) | (line.largest_b == 0) | (_norm(chord) == 0)
    return line.finish(torch.where(use_line, line.straight(), curve))


def blend(
    points: Tensor,
    weights: Tensor | Sequence[float],
    *,
    method: Literal["slerp", "lerp"] = "lerp",
) -> Tensor:
    """Mixes any number of latents by weights: `lerp` and `slerp` for more than two.

    With "lerp" the result is the weighted mean. With "slerp" the norm is the weighted mean of
    the norms and the direction is the weighted Frechet mean on the sphere: the direction from
    which the great-circle arcs to the others, each times its weight, add up to zero.

    Args:
        points: K latents, (K, *, D), in any float dtype.
        weights: One weight per latent, (K,), or S sets of them, (S, K); at least 0, not all 0.
            They are divided by their sum.
        method: "slerp" or "lerp".

    Returns:
        (*, D) for one set of weights, (S, *, D) for S of them. What lies beyond the range of the
        dtype is its largest number.

    Raises:
        ValueError: If there are no points, the weights do not fit, or `method` is unknown.
        TypeError: If `points` is not a float tensor.

    Example:
        >>> corners = torch.eye(3)
        >>> blend(corners, [1, 1, 2])
        tensor([0.2500, 0.2500, 0.5000])
        >>> blend(corners, [1, 1, 1], method="slerp")
        tensor([0.5774, 0.5774, 0.5774])

    Reference:
        S. Buss and J. Fillmore, "Spherical Averages and Applications to Spherical Splines and
        Interpolation", 2001.
    """
    if method not in ("slerp", "lerp"):
        raise ValueError(f"`method` (={method!r}) must be 'slerp' or 'lerp'")
    check_floats("points", points)
    if points.ndim < 2 or 0 in points.shape[:-1]:
        raise ValueError(
            f"`points` {tuple(points.shape)} must have the shape (K, *, D), with at least one "
            "latent"
        )
    wide = widest(points.device)
    w = as_numbers("weights", weights, wide, points.device)
    if w.ndim not in (1, 2) or w.shape[-1] != len(points):
        raise ValueError(
            f"`weights` {tuple(w.shape)} must have one weight for each of {len(points)} points"
        )
    if not bool((w.isfinite() & (w >= 0)).all()) or not bool((w > 0).any(-1).all()):
        raise ValueError("`weights` must be finite, at least 0, and not all 0")
    heaviest = w.argmax(-1)
    w = w / w.amax(-1, keepdim=True)  # the sum of the largest floats would be infinite
    w = (w / w.sum(-1, keepdim=True)).reshape(*w.shape, *(1,) * (points.ndim - 1))
    dim = w.ndim - points.ndim  # where K stands in w (S, K, ...) or (K, ...)
    z = points.to(wide)
    if method == "lerp":
        return saturated((w * z).sum(dim), points.dtype)
    largest = _largest(z)
    u, norms = _polar(z, largest)
    largest = torch.where(w > 0, largest, 0)  # what has no weight has no say in the unit either
    scale = _nonzero(largest.amax(dim))
    norm = (w * norms * (largest / scale.unsqueeze(dim))).sum(dim)
    return saturated(norm * _mean_direction(u, w, heaviest) * scale, points.dtype)


def _mean_direction(u: Tensor, w: Tensor, heaviest: Tensor) -> Tensor:
    """Returns the weighted Frechet mean of unit vectors (K, *, D) on the sphere.

    Args:
        u: The unit vectors; zeros pull nowhere.
        w: Weights of the sum 1, (K, 1, ...) or (S, K, 1, ...).
        heaviest: The index of the largest weight, () or (S,).
    """
    dim = w.ndim - u.ndim
    m = (w * u).sum(dim)
    m = _unit(torch.where(_norm(m) > 1e-6, m, u[heaviest]))  # where all cancel, one has to lead
    for _ in range(64):
        around = m.unsqueeze(dim)
        cosine = (u * around).sum(-1, keepdim=True)
        across = u - cosine * around
        angle = torch.atan2(_norm(across), cosine)
        pull = (w * angle * _unit(across)).sum(dim)
        length = _norm(pull)
        m = _unit(length.cos() * m + length.sin() * _unit(pull))
        if not bool((length >= 1e-12).any()):
            break
    return m


class _Segment:
    """Two ends and the positions between them, in a dtype in which nothing over- or underflows.

    Rows are divided by their largest magnitude, so that the largest and the smallest floats have
    norms too, and positions beyond 1 by themselves; `finish` undoes both.
    """

    def __init__(self, a: Tensor, b: Tensor, t: float | Tensor | Sequence[float]) -> None:
        for name, x in (("a", a), ("b", b)):
            check_floats(name, x)
        if a.shape != b.shape or a.ndim == 0:
            raise ValueError(
                f"`a` {tuple(a.shape)} and `b` {tuple(b.shape)} must have one shape, (*, D)"
            )
        wide = widest(a.device)
        position = as_numbers("t", t, wide, a.device).detach()
        if position.ndim > 1 or not bool(position.isfinite().all()):
            raise ValueError(f"`t` (={t!r}) must be one finite number or a sequence of them")
        self.ends = a, b
        self.dtype = torch.promote_types(a.dtype, b.dtype)
        self.t = position.reshape(position.shape + (1,) * (a.ndim if position.ndim else 0))
        self.stretch = self.t.abs().clamp(min=1)
        self.parts = (1 - self.t) / self.stretch, self.t / self.stretch
        self.a, self.b = a.to(wide), b.to(wide)
        self.largest_a, self.largest_b = _largest(self.a), _largest(self.b)
        self.scale = _nonzero(torch.maximum(self.largest_a, self.largest_b))

    def straight(self) -> Tensor:
        """Returns the points of the straight line."""
        before, after = self.parts
        return before * (self.a / self.scale) + after * (self.b / self.scale)

    def finish(self, row: Tensor) -> Tensor:
        """Undoes the scaling and puts the very ends where `t` is 0 or 1."""
        # The small factor goes with the large one: neither passes the range before the result.
        row = row * (self.scale.clamp(max=1) * self.stretch) * self.scale.clamp(min=1)
        result = saturated(row, self.dtype)
        a, b = self.ends
        result = torch.where(self.t == 0, a.to(self.dtype), result)
        return torch.where(self.t == 1, b.to(self.dtype), result)


def _largest(x: Tensor) -> Tensor:
    """Returns each row's largest magnitude, a constant for gradients: what it divides cancels."""
    x = x.detach()
    if x.shape[-1] == 0:
        return x.new_ones(*x.shape[:-1], 1)
    return x.abs().amax(-1, keepdim=True)


def _nonzero(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 1)


def _norm(x: Tensor) -> Tensor:
    norm: Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return norm


def _polar(x: Tensor, largest: Tensor) -> tuple[Tensor, Tensor]:
    """Returns each row's unit vector, zero for zero rows, and its norm over its largest magnitude.

    By the largest magnitude, since the squares of huge and of tiny numbers leave the range.
    """
    x = x / _nonzero(largest)
    norm = _norm(x)
    return x / _nonzero(norm), norm


def _unit(x: Tensor) -> Tensor:
    return _polar(x, _largest(x))[0]


def _across(d: Tensor) -> Tensor:
    """Returns for each unit row one across it, the same for `d` and `-d`."""
    if d.shape[-1] <= 1:
        return torch.zeros_like(d)  # on a line there is nothing across
    axis = torch.zeros_like(d).scatter_(-1, d.abs().argmin(-1, keepdim=True), 1.0)
    return axis - (axis * d).sum(-1, keepdim=True) * d


def saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Brings numbers to a dtype, and those beyond its range to its largest ones."""
    limits = torch.finfo(dtype)
    return x.to(dtype).clamp(limits.min, limits.max)
