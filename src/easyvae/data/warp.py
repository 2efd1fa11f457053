"""Pictures read at other places than their values': how they are bent, turned and shifted."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from easyvae.core.checks import as_int


def sample(x: Tensor, points: Tensor) -> Tensor:
    """Reads pictures, (n, C, *spatial), at other places than their values', linearly between them.

    Where is in `points`, (n, *spatial, d), -1 to 1 from edge to edge, the last of the d axes
    first. Beyond its edges a picture is reflected.
    """
    if x.ndim == 3:  # there is no sampling of lines: each is a picture of one row
        rows = torch.cat([points, torch.zeros_like(points)], -1)[:, None]
        return sample(x[:, :, None], rows)[:, :, 0]
    return F.grid_sample(
        x, points.to(x.dtype), mode="bilinear", padding_mode="reflection", align_corners=False
    )


def axes(spatial: tuple[int, ...], device: torch.device) -> list[Tensor]:
    """Returns where the values of a picture lie, -1 to 1: (n,) of the last axis, (n, 1), ..."""
    lines = [(torch.arange(n, device=device) * 2 + 1) / n - 1 for n in spatial[::-1]]
    return [line.view(-1, *(1,) * number) for number, line in enumerate(lines)]


def places(spatial: tuple[int, ...], device: torch.device) -> Tensor:
    """Returns where the values of a picture lie, -1 to 1, the last axis first: (*spatial, d)."""
    return torch.stack(torch.broadcast_tensors(*axes(spatial, device)), -1)


@dataclass(frozen=True)
class Warp:
    """Random smooth changes of a picture: a turn, a scale, a shift, and an elastic bend.

    Each change `d` can be made in any measure `s`: at 0 the picture is as it was, at 1 and -1 it
    has gone all the way to one side and to the other. The turn, the scale and the shift go along
    the one-parameter group, the rest of the displacement in proportion to `s`:

        warp(x, d, s)(p) = x(exp(s A) p + s (b + e(p)))

    `A` has the turn and the logarithm of the scale, `b` is the shift and `e` a cubic spline of
    random displacements at a coarse grid. Beyond its edges a picture is reflected. Works for one
    to three sizes: one has a scale, a shift and a bend of time, three a turn in each plane.

    Args:
        rotate: Standard deviation of the turn, in degrees, at least 0.
        scale: That of the logarithm of the scale.
        shift: That of the shift along each axis, in halves of the picture.
        elastic: That of the displacement at the grid's nodes, in halves of the picture.
        grid: Nodes of the grid along each axis, at least 2.
        most: Each change is taken times a number that is uniform from 0 to this.
        until: The share of a training, in [0, 1], after which pictures are left as they are. In
            what remains the model comes to draw sharply what it has learned to move.
        components: At how many principal components of the data a new model starts at most, at
            least 1; at all that have room by default. Few (16, say) leave the other latents free
            to learn what is not linear: mixes are better then, and for a long while pictures
            softer.

    Raises:
        ValueError: If a number is negative or not finite, `grid` below 2, `until` above 1 or
            `components` below 1.
        TypeError: If a number is none.

    Example:
        >>> x = torch.rand(8, 3, 32, 32)
        >>> change = Warp().draw(8, (32, 32), torch.Generator().manual_seed(0))
        >>> a, b = change.apply(x, 1.0), change.apply(x, -1.0)  # x is half-way between them
        >>> a.shape
        torch.Size([8, 3, 32, 32])
    """

    rotate: float = 10.0
    scale: float = 0.04
    shift: float = 0.03
    elastic: float = 0.04
    grid: int = 4
    most: float = 1.5
    until: float = 0.7
    components: int | None = None

    def __post_init__(self) -> None:
        for name in ("rotate", "scale", "shift", "elastic", "most", "until"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise TypeError(f"`{name}` (={value!r}) must be a number")
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"`{name}` (={value}) must be finite and at least 0")
        if self.until > 1:
            raise ValueError(f"`until` (={self.until}) must be a share of the training, at most 1")
        if isinstance(self.grid, bool) or not isinstance(self.grid, int) or self.grid < 2:
            raise ValueError(f"`grid` (={self.grid!r}) must be a whole number of at least 2")
        if self.components is not None:
            as_int("components", self.components)

    def draw(
        self, n: int, spatial: tuple[int, ...], generator: torch.Generator | None = None
    ) -> "Change":
        """Draws a change for each of `n` pictures.

        Args:
            n: How many.
            spatial: Their one to three sizes.
            generator: Source of the draws, on the CPU; the global one by default.
        """
        dims = len(spatial)
        turns = dims * (dims - 1) // 2
        columns = turns + 1 + dims + dims * self.grid**dims
        draws = torch.randn(n, columns, generator=generator)
        draws *= self.most * torch.rand(n, 1, generator=generator)
        angles, zoom, shift, nodes = draws.split((turns, 1, dims, dims * self.grid**dims), dim=1)
        linear = torch.zeros(n, dims, dims)
        planes = [(i, j) for i in range(dims) for j in range(i + 1, dims)]
        for column, (i, j) in enumerate(planes):
            angle = math.radians(self.rotate) * angles[:, column]
            linear[:, i, j], linear[:, j, i] = -angle, angle
        linear += self.scale * zoom[..., None] * torch.eye(dims)
        nodes = self.elastic * nodes.reshape(n, dims, *(self.grid,) * dims)
        return Change(linear, self.shift * shift, nodes)


class Change(NamedTuple):
    """What `Warp` has drawn for n pictures of d sizes, the last size first.

    Attributes:
        linear: Turn and logarithm of the scale, (n, d, d).
        shift: (n, d), in halves of the picture.
        nodes: Displacements at the grid's nodes, (n, d, grid, ...), likewise.
    """

    linear: Tensor
    shift: Tensor
    nodes: Tensor

    def part(self, rows: slice) -> "Change":
        """Returns the change of some of the pictures."""
        return Change(*(values[rows] for values in self))

    def apply(self, x: Tensor, measure: float | Tensor) -> Tensor:
        """Makes the change in some measure, or in several at once.

        Args:
            x: Floats, (n, C, *spatial).
            measure: `s`, usually from -1 to 1: one number, or one per picture, (n,); or k of
                them per picture, (k, n).

        Returns:
            The shape of `x`, or (k n, C, *spatial): all pictures in the first measure, then all
            in the second, and so on.
        """
        spatial = x.shape[2:]
        n, dims = len(x), len(spatial)
        s = torch.as_tensor(measure, dtype=torch.float32).cpu()
        s = s if s.ndim == 2 else s.expand(1, n)  # (k, n)
        # In units in which a turn is a turn: half of the longest side is 1.
        sides = torch.tensor(spatial[::-1], dtype=torch.float32) / max(spatial)
        matrix = torch.matrix_exp(s[..., None, None] * self.linear) * sides / sides[:, None]
        matrix, s = matrix.to(x.device), s.to(x.device)
        bend = _spline(self.nodes.to(x.device), spatial)  # (n, d, *spatial)
        bend += self.shift.to(x.device).view(n, dims, *(1,) * dims)
        points = s.view(-1, n, 1, *(1,) * dims) * bend  # (k, n, d, *spatial)
        for axis, place in enumerate(axes(spatial, x.device)):
            points += matrix[..., axis].view(-1, n, dims, *(1,) * dims) * place
        low, high = x.aminmax()  # rounding must not lead out of the data's range
        many = x.expand(len(s), *x.shape).flatten(0, 1)
        return sample(many, points.flatten(0, 1).movedim(1, -1)).clamp_(low, high)


def _spline(nodes: Tensor, spatial: torch.Size) -> Tensor:
    """Draws cubic B-splines through the nodes of a grid: (n, d, g, ...) to (n, d, *spatial)."""
    for size in spatial:  # each pass takes up the first axis and puts its values last
        nodes = torch.tensordot(nodes, _weights(nodes.shape[2], size).to(nodes), dims=([2], [1]))
    return nodes


def _weights(count: int, size: int) -> Tensor:
    """Returns what each of `count` nodes has to say at each of `size` places, (size, count)."""
    # Nodes stand at the ends and evenly between; two beyond each end repeat the last one's.
    at = ((torch.arange(size) + 0.5) / size * (count - 1))[:, None]
    numbers = torch.arange(-2, count + 2)
    far = (at - numbers).abs()  # (size, count + 4)
    near = (4 - 6 * far**2 + 3 * far**3) / 6
    weight = torch.where(far < 1, near, (2 - far).clamp(min=0) ** 3 / 6)
    result = torch.zeros(size, count)
    return result.index_add_(1, numbers.clamp(0, count - 1), weight)
