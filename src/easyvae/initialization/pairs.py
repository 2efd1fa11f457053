"""How codes pass through activations: two units of opposite sign for each."""

import copy
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn


class Pairs(NamedTuple):
    """Units that hold codes, two of opposite sign for each.

    Attributes:
        signs: From codes to units, (U, Q): 1 and -1 in the two units of a code.
        gain: What `f(u) - f(-u)` makes of `u`: that many times `u`.
        places: How many copies of these units there are, one for each position of a grid.
    """

    signs: Tensor
    gain: float
    places: int = 1

    @classmethod
    def of(cls, codes: int, units: int, gain: float, places: int = 1) -> Self:
        """Puts as many codes into the first half of the units, and their opposites behind."""
        signs = torch.zeros(units, codes, dtype=torch.float32)
        index = torch.arange(codes)
        signs[index, index], signs[units // 2 + index, index] = 1.0, -1.0
        return cls(signs, gain, places)

    @property
    def used(self) -> Tensor:
        """Tells which units hold a code, (U * places,)."""
        return self.signs.any(1).repeat_interleave(self.places)

    def read(self, matrix: Tensor) -> Tensor:
        """Turns weights on codes, (Q * places, D), into (D, U * places), which read them."""
        matrix = matrix.view(-1, self.places, matrix.shape[1])
        return torch.einsum("qpd,cq->dcp", matrix, self.signs / self.gain).flatten(1)

    def write(self, matrix: Tensor) -> Tensor:
        """Turns weights on codes, (Q * places, D), into (U * places, D), which write them."""
        matrix = matrix.view(-1, self.places, matrix.shape[1])
        return torch.einsum("cq,qpd->cpd", self.signs, matrix).flatten(0, 1)


def linear_gain(activation: nn.Module) -> tuple[float, float]:
    """Returns `c` in `f(u) - f(-u) = c u`, and how large `u` may be on average for that."""
    activation = copy.deepcopy(activation).cpu().float()  # it may have parameters
    u = torch.linspace(-3, 3, 601, dtype=torch.float32)
    density = torch.exp(-(u**2) / 2)
    gain = 0.0
    for size in (1.0, 0.1):
        odd = (activation(size * u) - activation(-size * u)).float().cpu() / size
        gain = float((density * u * odd).sum() / (density * u**2).sum())
        wrong = (density * (odd - gain * u) ** 2).sum() / (density * u**2).sum()
        if float(wrong) < 1e-4 * gain**2:
            break
    return gain, size
