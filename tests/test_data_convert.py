"""Arrays, tensors and data sets as pictures: used as they are, or refused with the fix."""

import random
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from easyvae.data import ImageError, Pictures, as_pictures, check_range

SHAPE = (3, 8, 8)
SHARED = Path(__file__).parents[2] / "shared"


class Rows(Dataset[object]):
    """A map-style data set that counts how often each row is read."""

    def __init__(self, rows: list[object]) -> None:
        self.rows = rows
        self.reads: list[int] = []

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> object:
        self.reads.append(index)
        return self.rows[index]


class Stream(IterableDataset[object]):
    def __init__(self, rows: list[object]) -> None:
        self.rows = rows

    def __iter__(self) -> Iterator[object]:
        return iter(self.rows)


def test_uint8_and_float32_are_not_copied() -> None:
    """uint8 and float32 tensors and arrays are used in place."""
    for tensor in (torch.zeros(4, *SHAPE, dtype=torch.uint8), torch.zeros(4, *SHAPE)):
        assert as_pictures(tensor, SHAPE).images.data_ptr() == tensor.data_ptr()
        assert as_pictures(tensor.numpy(), SHAPE).images.data_ptr() == tensor.data_ptr()
        permuted = tensor.permute(0, 1, 3, 2)
        assert as_pictures(permuted, SHAPE).images.data_ptr() == tensor.data_ptr()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_become_float32(dtype: torch.dtype) -> None:
    """Half and double precision become float32 of the same values."""
    images = torch.rand(4, *SHAPE).to(dtype)
    found = as_pictures(images.requires_grad_(), SHAPE).images
    assert found.dtype == torch.float32
    assert not found.requires_grad
    assert torch.equal(found, images.detach().float())


def test_arrays_torch_cannot_take_as_they_are() -> None:
    """Read-only, reversed and byte-swapped arrays work, without a warning."""
    array = np.arange(2 * 192, dtype=np.float32).reshape(2, *SHAPE)
    frozen = array.copy()
    frozen.flags.writeable = False
    for odd in (frozen, array[::-1][::-1], array.astype(">f4"), array[:, :, ::-1][:, :, ::-1]):
        assert np.array_equal(as_pictures(odd, SHAPE).images.numpy(), array)
    assert np.array_equal(as_pictures(array[::-1], SHAPE).images.numpy(), array[::-1])


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 100), (1, 4, 5, 6)])
def test_one_channel_may_be_left_out(shape: tuple[int, ...]) -> None:
    """With one channel, (N, *spatial) is taken as (N, 1, *spatial), in 1, 2 or 3 dimensions."""
    assert as_pictures(torch.zeros(5, *shape[1:]), shape).images.shape == (5, *shape)
    assert as_pictures(torch.zeros(5, *shape), shape).images.shape == (5, *shape)
    assert as_pictures([torch.zeros(shape[1:])], shape).images.shape == (1, *shape)


@pytest.mark.parametrize(
    ("found", "fix"),
    [
        ((9, 64, 64, 3), r"channels come last; move them with `\.permute\(0, 3, 1, 2\)`"),
        ((9, 48, 48, 3), r"channels come last.*resize.*`image_size=48`"),
        ((9, 64, 64, 1), r"channels come last.*change the channels.*`in_channels=1`"),
        (
            (9, 1, 64, 64),
            r"change the channels, by `\.expand\(-1, 3, -1, -1\)`, or .*`in_channels=1`",
        ),
        ((9, 4, 64, 64), r"change the channels, by `\[:, :3\]`, or .*`in_channels=4`"),
        ((9, 3, 32, 48), r"resize the images, or .*`image_size=\(32, 48\)`"),
        ((3, 64, 64), r"a single image needs a batch dimension: `data\[None\]`"),
        ((9, 64, 64), r"channels are missing; .*`data\[:, None\]\.expand\(-1, 3, -1, -1\)`"),
        ((9, 3, 64, 64, 1), r"4 dimensions are needed, not 5"),
        ((9,), r"4 dimensions are needed, not 1"),
    ],
)
def test_wrong_shapes_state_the_fix(found: tuple[int, ...], fix: str) -> None:
    """A batch of the wrong shape is a ValueError with both shapes and what to do."""
    expected = rf"^`data` {re.escape(str(found))} must have the shape \(N, 3, 64, 64\): .*{fix}"
    with pytest.raises(ValueError, match=expected):
        as_pictures(torch.zeros(found), (3, 64, 64))


def test_channels_last_fix_works_in_any_dimension() -> None:
    """The permutation that an error proposes makes the data fit."""
    for shape in ((3, 20), (3, 10, 12), (2, 5, 6, 7)):
        data = torch.zeros(4, *shape[1:], shape[0])
        with pytest.raises(ValueError, match="channels come last") as caught:
            as_pictures(data, shape)
        axes = str(caught.value).split("`.permute(")[1].split(")")[0]
        as_pictures(data.permute(*map(int, axes.split(", "))), shape)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_non_finite_values_name_the_first_row(bad: float) -> None:
    """NaN and infinity are refused by the number of the first bad row, also in a data set."""
    images = torch.zeros(3000, *SHAPE)
    images[2345, 1, 2, 3] = images[2900, 0, 0, 0] = bad
    with pytest.raises(ValueError, match="row 2345 holds NaN or infinity"):
        as_pictures(images, SHAPE)
    with pytest.raises(ValueError, match="row 2345"):
        as_pictures(TensorDataset(images), SHAPE)


def test_overflow_on_the_way_to_float32() -> None:
    """A double too large for float32 is refused like any infinity."""
    with pytest.raises(ValueError, match="row 1 holds NaN or infinity"):
        as_pictures(np.stack([np.zeros(SHAPE), np.full(SHAPE, 1e300)]), SHAPE)


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint16, np.int8, bool])
def test_other_integers_are_refused(dtype: type) -> None:
    """Integers other than uint8 are refused, with the types to use."""
    match = r"`data` \(of type .*\) must be uint8 \(0 to 255\) or float"
    with pytest.raises(ValueError, match=match):
        as_pictures(np.zeros((2, *SHAPE), dtype), SHAPE)


@pytest.mark.parametrize("dtype", [object, complex, "U3"])
def test_arrays_that_are_no_numbers(dtype: object) -> None:
    """Arrays of objects, text or complex numbers are refused."""
    with pytest.raises(ValueError, match="must be uint8"):
        as_pictures(np.zeros((2, *SHAPE), dtype), SHAPE)  # type: ignore[call-overload] # any


def test_empty_data() -> None:
    """No images at all is a ValueError, whatever holds none of them."""
    for empty in (torch.zeros(0, *SHAPE), np.zeros((0, *SHAPE)), [], Rows([]), Stream([])):
        with pytest.raises(ValueError, match="holds no images"):
            as_pictures(empty, SHAPE)


@pytest.mark.parametrize(
    "wrap", [lambda x: x, lambda x: (x, 3), lambda x: [x], lambda x: {"image": x}]
)
@pytest.mark.parametrize("kind", ["tensor", "array", "pillow"])
def test_rows_of_every_form(wrap: object, kind: str) -> None:
    """Rows x, (x, ...) and {"image": x} of tensors, arrays or Pillow images are each read once.

    But for the first eight, which are read again: chance may have a part in them.
    """
    pixels = np.random.default_rng(0).integers(0, 256, (11, *SHAPE), dtype=np.uint8)
    make = {
        "tensor": torch.from_numpy,
        "array": np.asarray,
        "pillow": lambda row: Image.fromarray(np.ascontiguousarray(row.transpose(1, 2, 0))),
    }[kind]
    rows = [wrap(make(row)) for row in pixels]  # type: ignore[operator] # a function
    counting = Rows(rows)
    for data in (counting, Stream(rows), rows, iter(rows)):
        found = as_pictures(data, SHAPE).images
        assert found.dtype == torch.uint8
        assert np.array_equal(found.numpy(), pixels)
    assert counting.reads == [*range(11), *range(8)]


def test_pillow_rows_are_treated_like_files() -> None:
    """A Pillow image of another size or mode is cropped, resized and converted."""
    rows = [Image.new("RGBA", (30, 20), (9, 9, 9, 0)), Image.new("L", (8, 8), 7)]
    found = as_pictures(rows, SHAPE).images
    assert found.flatten(1).amin(1).tolist() == [255, 7]


def test_loader_as_data() -> None:
    """A DataLoader is read batch by batch, in an order of its own that is always the same."""
    images = torch.rand(10, *SHAPE)
    in_order = as_pictures(DataLoader(TensorDataset(images), batch_size=4), SHAPE)
    assert torch.equal(in_order.images, images)
    shuffled = DataLoader(TensorDataset(images), batch_size=4, shuffle=True)
    first = as_pictures(shuffled, SHAPE).fingerprint
    assert first == as_pictures(shuffled, SHAPE).fingerprint != in_order.fingerprint


def test_reading_rows_leaves_random_state_alone() -> None:
    """Random transforms draw from a state of their own."""

    class Noisy(Rows):
        def __getitem__(self, index: int) -> Tensor:
            return torch.rand(SHAPE) * random.random() * float(np.random.rand())

    def draws() -> list[float]:
        return [random.random(), float(np.random.rand()), float(torch.rand(()))]

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed()
    expected = draws()
    seed()
    with pytest.warns(UserWarning, match="other images at every reading"):
        first = as_pictures(Noisy([0] * 5), SHAPE)
    assert draws() == expected
    with pytest.warns(UserWarning, match="other images at every reading"):
        assert first.fingerprint == as_pictures(Noisy([0] * 5), SHAPE).fingerprint


def test_bad_rows_are_named() -> None:
    """A row of the wrong shape, type or kind is refused by its number."""
    good = torch.zeros(SHAPE)
    with pytest.raises(ValueError, match=r"row 2 of `data` .*channels come last"):
        as_pictures([good, good, torch.zeros(8, 8, 3)], SHAPE)
    with pytest.raises(ValueError, match=r"row 1 is torch\.uint8"):
        as_pictures([good, good.byte()], SHAPE)
    with pytest.raises(ValueError, match=r"row 0 of `data` .*must be uint8"):
        as_pictures([good.long()], SHAPE)
    with pytest.raises(ValueError, match=r"keys \['pixels'\]"):
        as_pictures([{"pixels": good}], SHAPE)
    with pytest.raises(TypeError, match="row 0 of `data` holds a str"):
        as_pictures(["a.jpg"], SHAPE)
    with pytest.raises(ValueError, match="`shape`"):
        as_pictures([Image.new("L", (8, 8))], (1, 64))


@pytest.mark.parametrize("data", [None, 3, b"abc", {"image": torch.zeros(1, *SHAPE)}])
def test_other_kinds_of_data(data: object) -> None:
    """Anything that is no kind of data is a TypeError that lists the kinds."""
    with pytest.raises(TypeError, match="must be a path, a tensor or array"):
        as_pictures(data, SHAPE)


def test_pictures_pass_through() -> None:
    """Pictures come back as they are once their shape is checked; asking to flip is kept."""
    pictures = as_pictures(torch.rand(4, *SHAPE), SHAPE)
    assert as_pictures(pictures, SHAPE) is pictures
    flipping = as_pictures(pictures, SHAPE, flip=True)
    assert flipping.flip
    assert not pictures.flip
    assert flipping.images is pictures.images
    assert as_pictures(flipping, SHAPE) is flipping
    with pytest.raises(ValueError, match="resize the images"):
        as_pictures(pictures, (3, 16, 16))


def test_paths(tmp_path: Path) -> None:
    """A path is loaded as pictures, by str or Path, for shapes that a picture can fill."""
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.png")
    assert as_pictures(tmp_path, SHAPE).names == ["a.png"]
    assert as_pictures(str(tmp_path), (1, 5, 7), flip=True).images.shape == (1, 1, 5, 7)
    with pytest.raises(ValueError, match=r"`shape` \(=\(1, 64\)\)"):
        as_pictures(tmp_path, (1, 64))
    with pytest.raises(ImageError, match="no such file or folder"):
        as_pictures(tmp_path / "none", SHAPE)


def test_check_range() -> None:
    """Floats outside the range are refused with the range found and the likely fix."""
    check_range(as_pictures(torch.zeros(2, *SHAPE, dtype=torch.uint8) + 255, SHAPE))
    check_range(as_pictures(torch.linspace(0, 1, 192).reshape(1, *SHAPE), SHAPE))
    bytes_as_float = as_pictures(torch.linspace(0, 255, 192).reshape(1, *SHAPE), SHAPE)
    with pytest.raises(ValueError, match=r"in \[0, 1\] but ranges from 0 to 255: divide .* 255"):
        check_range(bytes_as_float)
    check_range(bytes_as_float, 0, 255)
    with pytest.raises(ValueError, match=r'ranges from -1 to 1: .*output="identity"'):
        check_range(as_pictures(torch.linspace(-1, 1, 192).reshape(1, *SHAPE), SHAPE))
    with pytest.raises(ValueError, match="ranges from 0 to 1"):
        check_range(Pictures(torch.tensor([0.0, 1.0000001]).reshape(1, 1, 2)))


@pytest.mark.skipif(not (SHARED / "data").exists(), reason="../shared/data is missing")
def test_mnist() -> None:
    """The 60,000 digits become a store at once, without their channel dimension or a copy."""
    with np.load(SHARED / "data" / "mnist.npz") as file:
        digits = file["x_train"]
    pictures = as_pictures(digits, (1, 28, 28))
    assert pictures.images.shape == (60000, 1, 28, 28)
    assert pictures.images.data_ptr() == digits.ctypes.data


def test_mirrored_pictures_are_still_known_by_their_origin() -> None:
    """So `out` in the pictures' own folder is noticed, and kittens are measured as kittens."""
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    mirrored = as_pictures(Pictures(images, origin="kittens:2"), (3, 8, 8), flip=True)
    assert mirrored.flip
    assert mirrored.origin == "kittens:2"
