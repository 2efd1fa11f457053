"""The shape arithmetic: there and exactly back, for every size that the layers can take."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import nn

from easyvae.core.checks import as_int
from easyvae.model.geometry import Stage, per_layer, plan_stages, smallest_size

LAYERS = st.lists(
    st.integers(1, 4).flatmap(lambda s: st.tuples(st.integers(s, 7), st.just(s))),
    min_size=1,
    max_size=6,
)
SIZES = st.lists(st.integers(1, 200), min_size=1, max_size=3)
CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}


def forth(n: int, stage: Stage) -> int:
    """The output size of a convolution, as PyTorch's documentation has it."""
    return (n + 2 * stage.padding - (stage.kernel - 1) - 1) // stage.stride + 1


def back(m: int, stage: Stage, output_padding: int) -> int:
    """The output size of a transposed convolution, as PyTorch's documentation has it."""
    return (m - 1) * stage.stride - 2 * stage.padding + (stage.kernel - 1) + output_padding + 1


def fits(n: int, kernels: list[int], strides: list[int]) -> bool:
    """Tells whether each layer, one after the other, has at least one window to look through."""
    for k, s in zip(kernels, strides, strict=True):
        n = (n + 2 * ((k - s + 1) // 2) - k) // s + 1
        if n < 1:
            return False
    return True


@settings(max_examples=300)
@given(LAYERS, SIZES)
def test_mirrored_layers_return_to_exactly_the_size(
    layers: list[tuple[int, int]], spatial: list[int]
) -> None:
    """Down and up again is the identity on sizes, along every axis and in every layer."""
    kernels, strides = [k for k, _ in layers], [s for _, s in layers]
    assume(min(spatial) >= smallest_size(kernels, strides))
    stages = plan_stages(spatial, kernels, strides)
    assert [(stage.kernel, stage.stride) for stage in stages] == layers
    assert stages[0].outer == tuple(spatial)
    for before, after in pairwise(stages):
        assert before.inner == after.outer
    for stage in stages:
        assert stage.padding == (stage.kernel - stage.stride + 1) // 2
        for n, m, extra in zip(stage.outer, stage.inner, stage.output_padding, strict=True):
            assert m == forth(n, stage) >= 1
            assert n == back(m, stage, extra)
            assert 0 <= extra < stage.stride


@settings(max_examples=60)
@given(LAYERS, SIZES)
def test_the_arithmetic_is_that_of_the_real_layers(
    layers: list[tuple[int, int]], spatial: list[int]
) -> None:
    """PyTorch's own convolutions, with the planned arguments, have the planned sizes."""
    kernels, strides = [k for k, _ in layers], [s for _, s in layers]
    assume(min(spatial) >= smallest_size(kernels, strides))
    dims = len(spatial)
    for stage in plan_stages(spatial, kernels, strides):
        x = torch.empty(1, 1, *stage.outer, device="meta")
        down = CONVOLUTIONS[dims](1, 2, stage.kernel, stage.stride, stage.padding, device="meta")
        up = TRANSPOSED[dims](
            2, 1, stage.kernel, stage.stride, stage.padding, stage.output_padding, device="meta"
        )
        assert down(x).shape[2:] == stage.inner
        assert up(down(x)).shape == x.shape


@settings(max_examples=300)
@given(LAYERS)
def test_smallest_size_is_the_smallest(layers: list[tuple[int, int]]) -> None:
    """The smallest size can be planned, and one less cannot."""
    kernels, strides = [k for k, _ in layers], [s for _, s in layers]
    least = smallest_size(kernels, strides)
    assert fits(least, kernels, strides)
    plan_stages([least], kernels, strides)
    if least > 1:
        assert not fits(least - 1, kernels, strides)
        with pytest.raises(ValueError, match="`image_size`"):
            plan_stages([least - 1], kernels, strides)


@settings(max_examples=150)
@given(LAYERS, SIZES)
def test_too_many_layers_are_refused_with_both_limits(
    layers: list[tuple[int, int]], spatial: list[int]
) -> None:
    """The message names the most layers that fit, and the least size that all of them need."""
    kernels, strides = [k for k, _ in layers], [s for _, s in layers]
    least = smallest_size(kernels, strides)
    assume(min(spatial) < least)
    most = max(
        count
        for count in range(len(layers))
        if all(fits(n, kernels[:count], strides[:count]) for n in spatial)
    )
    with pytest.raises(ValueError, match=f"at most {most};.* at least {least} "):
        plan_stages(spatial, kernels, strides)


def test_too_many_layers_by_example() -> None:
    """Seven halvings of 64 leave nothing: six are the most, and 128 is what seven need."""
    with pytest.raises(ValueError, match=r"`channels` has 7 layers.*at most 6;.*at least 128 "):
        plan_stages((64, 64), (4,) * 7, (2,) * 7)


@given(st.integers(1, 6), st.integers(1, 6))
def test_a_kernel_below_its_stride_is_refused(kernel: int, by: int) -> None:
    """Pixels between the windows would be lost."""
    with pytest.raises(ValueError, match=rf"`kernel_size` \(={kernel}\).*`stride`.*layer 1"):
        plan_stages((64,), (4, kernel), (2, kernel + by))


@pytest.mark.parametrize("value", [3, np.int64(3), torch.tensor(3)])
def test_any_integer_is_an_integer(value: object) -> None:
    """NumPy's and PyTorch's integers count, and become plain ones."""
    number = as_int("latent", value)
    assert number == 3
    assert type(number) is int


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (0, ValueError),
        (-1, ValueError),
        (2.5, ValueError),
        (2.0, ValueError),
        (float("nan"), ValueError),
        (True, TypeError),
        ("4", TypeError),
        (None, TypeError),
        ([4], TypeError),
    ],
)
def test_what_is_no_count_is_refused(value: object, error: type[Exception]) -> None:
    """The message has the name, the value and the rule."""
    with pytest.raises(error, match=r"`latent` \(=.*\) must be an integer of at least 1"):
        as_int("latent", value)


@pytest.mark.parametrize("value", [4, [4, 4, 4], (4, 4, 4), np.int32(4)])
def test_one_number_stands_for_all_layers(value: object) -> None:
    """A number is the same as a list of it."""
    assert per_layer("stride", value, 3) == (4, 4, 4)


@pytest.mark.parametrize("value", [[4, 4], [], [4] * 4])
def test_one_number_per_layer(value: list[int]) -> None:
    """A list of another length is refused, and the message says which would do."""
    with pytest.raises(ValueError, match=r"`stride`.* or 3 integers, one per layer"):
        per_layer("stride", value, 3)


def test_a_wrong_item_is_named() -> None:
    """Among several numbers the message says which."""
    with pytest.raises(ValueError, match=r"`stride\[1\]` \(=0\)"):
        per_layer("stride", [1, 0], 2)
