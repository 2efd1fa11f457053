"""Shape arithmetic of mirrored convolutions: plain integers, no tensors.

A strided convolution with kernel `k`, stride `s <= k` and padding `p = (k - s + 1) // 2` maps a
size `n` to `m = (n + 2p - k) // s + 1`. The transposed convolution with the same `k`, `s`, `p`
maps `m` back to `(m - 1) s - 2p + k`, which misses `n` by the remainder of that division. Given
the remainder as output padding, it returns to `n` exactly: no size needs to be a power of two.
"""

from collections.abc import Sequence
from typing import NamedTuple

from easyvae.core.checks import as_int


class Stage(NamedTuple):
    """One strided convolution and its mirror image.

    Attributes:
        kernel: Kernel size, the same along every axis.
        stride: Stride, at most the kernel size.
        padding: Zeros added at either end of every axis.
        outer: Spatial sizes before the convolution (after its mirror).
        inner: Spatial sizes after the convolution (before its mirror).
        output_padding: Per axis, what the transposed convolution adds to return to `outer`.
    """

    kernel: int
    stride: int
    padding: int
    outer: tuple[int, ...]
    inner: tuple[int, ...]
    output_padding: tuple[int, ...]


def plan_stages(
    spatial: Sequence[int], kernels: Sequence[int], strides: Sequence[int]
) -> tuple[Stage, ...]:
    """Plans the stages that take an image down to its smallest grid and exactly back.

    One for each kernel and stride, from the image inwards.

    Example:
        >>> [stage.inner for stage in plan_stages((45, 80), (4, 4, 4), (2, 2, 2))]
        [(22, 40), (11, 20), (5, 10)]
        >>> plan_stages((45, 80), (4,), (2,))[0].output_padding
        (1, 0)
    """
    stages = []
    sizes = tuple(spatial)
    for layer, (kernel, stride) in enumerate(zip(kernels, strides, strict=True)):
        if kernel < stride:
            raise ValueError(
                f"`kernel_size` (={kernel}) must be at least `stride` (={stride}) in layer "
                f"{layer}, or pixels between the windows would be lost"
            )
        padding = (kernel - stride + 1) // 2
        spans = [n + 2 * padding - kernel for n in sizes]
        if min(spans) < 0:
            raise ValueError(
                f"`channels` has {len(kernels)} layers, but `image_size` {tuple(spatial)} with "
                f"kernels {tuple(kernels)} and strides {tuple(strides)} allows at most {layer}; "
                f"{len(kernels)} layers need a size of at least "
                f"{smallest_size(kernels, strides)} along every axis"
            )
        inner = tuple(span // stride + 1 for span in spans)
        remainder = tuple(span % stride for span in spans)
        stages.append(Stage(kernel, stride, padding, sizes, inner, remainder))
        sizes = inner
    return tuple(stages)


def smallest_size(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Returns the smallest size along one axis that these layers can take."""
    size = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        padding = (kernel - stride + 1) // 2
        size = max(1, (size - 1) * stride + kernel - 2 * padding)
    return size


def per_layer(name: str, value: object, layers: int, *, least: int = 1) -> tuple[int, ...]:
    """Returns one integer per layer from a single one or a sequence of them."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        return (as_int(name, value, least=least),) * layers
    if len(value) != layers:
        raise ValueError(
            f"`{name}` (={list(value)}) must be an integer or {layers} integers, one per layer"
        )
    return tuple(as_int(f"{name}[{i}]", item, least=least) for i, item in enumerate(value))


def as_spatial(image_size: int | Sequence[int]) -> tuple[int, ...]:
    """Returns the one to three sizes that `image_size` stands for: an integer is a square."""
    if not isinstance(image_size, Sequence) or isinstance(image_size, str):
        return per_layer("image_size", image_size, 2)
    if not 1 <= len(image_size) <= 3:
        raise ValueError(
            f"`image_size` (={list(image_size)}) must be an integer, or one, two or three sizes"
        )
    return per_layer("image_size", image_size, len(image_size))
