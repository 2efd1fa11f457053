"""The stages: mirrored shapes, and activations that keep their scale at the start."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from easyvae.model.geometry import plan_stages
from easyvae.model.network import (
    ACTIVATIONS,
    Choices,
    ResidualBlock,
    activation_gain,
    as_activation,
    as_norm,
    down_stage,
    init_weight,
    up_stage,
)


def rms(x: torch.Tensor) -> float:
    return float(x.detach().square().mean().sqrt())


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_the_gain_undoes_what_the_activation_takes(name: str) -> None:
    """Standard normal numbers have, activated and times the gain, a second moment of one."""
    activation = ACTIVATIONS[name]()
    u = torch.randn(1_000_000)
    assert rms(activation(u) * activation_gain(activation)) == pytest.approx(1, rel=5e-3)


def test_the_gain_of_a_dead_activation_is_finite() -> None:
    """An activation that is zero everywhere has no second moment to divide by."""
    assert activation_gain(nn.Threshold(100.0, 0.0)) == pytest.approx(100)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Linear(64, 512),
        nn.Conv1d(16, 64, 5, 3, 1),
        nn.Conv2d(16, 64, 4, 2, 1),
        nn.Conv3d(8, 64, 3, 1, 1),
        nn.ConvTranspose1d(32, 32, 6, 3, 2),
        nn.ConvTranspose2d(32, 32, 4, 2, 1),
        nn.ConvTranspose2d(32, 32, 4, 4),
        nn.ConvTranspose2d(32, 32, 3, 1, 1),
        nn.ConvTranspose2d(32, 32, 5, 2, 2),
        nn.ConvTranspose3d(16, 16, 4, 2, 1),
    ],
    ids=str,
)
def test_initial_weights_keep_the_scale(layer: Any) -> None:
    """Standard normal inputs give outputs of unit scale: the fan-in counts the taps that reach."""
    init_weight(layer)
    dims = layer.weight.ndim - 2
    inputs = layer.in_features if dims == 0 else layer.in_channels
    out = layer(torch.randn(16, inputs, *(12,) * dims))
    # Away from the zeros beyond the border, with room left where the output is small.
    inside = out[(..., *(slice(3, -3) if n > 8 else slice(1, -1) for n in out.shape[2:]))]
    assert rms(inside) == pytest.approx(1, rel=0.15)
    assert not layer.bias.detach().any()


@pytest.mark.parametrize("norm", [None, "batch", "group"])
@pytest.mark.parametrize("blocks", [0, 2])
@pytest.mark.parametrize("spatial", [(11,), (9, 12), (5, 6, 7)])
def test_up_is_the_mirror_of_down(spatial: tuple[int, ...], blocks: int, norm: str | None) -> None:
    """A stage up takes the shape of a stage down back to where it came from."""
    (stage,) = plan_stages(spatial, (4,), (2,))
    choices = Choices(nn.SiLU, as_norm(norm, len(spatial)), [blocks], ())
    x = torch.randn(2, 3, *spatial)
    grid = down_stage(stage, 3, 8, choices, 0)(x)
    assert grid.shape == (2, 8, *stage.inner)
    assert up_stage(stage, 8, 3, choices, 0)(grid).shape == x.shape


@pytest.mark.parametrize("blocks", [0, 2])
def test_the_last_stage_ends_with_its_convolution(blocks: int) -> None:
    """No norm and no activation bars the image from a part of its range."""
    (stage,) = plan_stages((8, 8), (4,), (2,))
    choices = Choices(nn.ReLU, nn.BatchNorm2d, [blocks, blocks], ())
    *_, last = up_stage(stage, 8, 3, choices, 0)
    assert isinstance(last, nn.ConvTranspose2d)
    *_, norm, activation = up_stage(stage, 8, 3, choices, 1)
    assert isinstance(norm, nn.BatchNorm2d)
    assert isinstance(activation, nn.ReLU)


@pytest.mark.parametrize("count", [1, 8])
def test_residual_blocks_begin_near_the_identity(count: int) -> None:
    """Even eight blocks in a row change what they read by less than a half of its scale."""
    blocks = nn.Sequential(*(ResidualBlock(2, 16, nn.SiLU, None) for _ in range(count)))
    x = torch.randn(4, 16, 8, 8)
    assert rms(blocks(x) - x) < 0.5
    assert not torch.equal(blocks(x), x)


@pytest.mark.parametrize("norm", [None, nn.BatchNorm2d])
def test_activations_in_place_are_no_others(norm: Any) -> None:
    """A block does not write into what it reads: in place or not, values and gradients agree."""
    results = []
    for inplace in (False, True):
        torch.manual_seed(0)
        block = ResidualBlock(2, 4, partial(nn.LeakyReLU, 0.2, inplace=inplace), norm)
        x = torch.randn(2, 4, 5, 5, requires_grad=True)
        out = block(x.tanh())
        out.square().sum().backward()
        results.append((out.detach(), x.grad))
    assert all(map(torch.equal, *results))


@pytest.mark.parametrize(
    ("channels", "groups"),
    [(16, 1), (32, 2), (256, 16), (8, 1), (24, 2), (20, 2), (1, 1), (33, 3), (17, 17)],
)
def test_groups_are_as_near_to_16_channels_as_divides(channels: int, groups: int) -> None:
    """A group has the largest number of channels up to 16 that divides the count."""
    factory = as_norm("group", 2)
    assert factory is not None
    norm = factory(channels)
    assert isinstance(norm, nn.GroupNorm)
    assert norm.num_groups == groups


def test_names_stand_for_factories() -> None:
    """A name and its class are the same."""
    assert as_activation("relu") is nn.ReLU
    assert as_activation(nn.Hardswish) is nn.Hardswish
    assert as_norm(None, 2) is None
    assert as_norm("batch", 1) is nn.BatchNorm1d
    assert as_norm("batch", 3) is nn.BatchNorm3d
    assert as_norm(nn.InstanceNorm2d, 2) is nn.InstanceNorm2d


@pytest.mark.parametrize(
    ("value", "error", "says"),
    [
        ("swish", ValueError, "silu"),
        ("", ValueError, "silu"),
        (nn.SiLU(), TypeError, "without parentheses"),
        (None, TypeError, "factory"),
        (torch.tanh, TypeError, "`activation`.*no argument"),
        (lambda: 3, TypeError, "torch.nn.Module"),
    ],
)
def test_wrong_activations_are_refused(value: Any, error: type[Exception], says: str) -> None:
    """The message says what would do."""
    with pytest.raises(error, match=says):
        as_activation(value)


@pytest.mark.parametrize(
    ("value", "error"), [("layer", ValueError), (nn.BatchNorm2d(3), TypeError), (5, TypeError)]
)
def test_wrong_norms_are_refused(value: Any, error: type[Exception]) -> None:
    """The message names the argument and the choices."""
    with pytest.raises(error, match=r"`norm`.*factory that takes the channel count"):
        as_norm(value, 2)
