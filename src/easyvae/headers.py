"""The header of a safetensors file, read with distrust: nothing in it is believed unchecked.

A file is eight bytes with the header's length, the header (JSON), and the tensors' bytes. The
header says of each tensor its dtype, its shape, and from where to where its bytes go.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "U16": torch.uint16,
    "I16": torch.int16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "U32": torch.uint32,
    "I32": torch.int32,
    "F32": torch.float32,
    "U64": torch.uint64,
    "I64": torch.int64,
    "F64": torch.float64,
    "C64": torch.complex64,
}
"""The format's names for the kinds of tensors that it can hold."""

_BYTES_PER_MARK = 12
_MOST_SIZES = 64
"""Sizes in a shape, as torch has it: multiplying a megabyte of them would take minutes."""


class Entry(NamedTuple):
    """What a header says of one tensor.

    Attributes:
        dtype: Its kind.
        shape: Its sizes.
        begin: Where its bytes begin, counted from the header's end.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int


def parse_json(text: bytes | str, *, most: int) -> Any:
    """Parses JSON from a file, at a cost that is known beforehand, or refuses.

    Parsed, a list of empty lists takes thirty times as much memory as its text. So brackets,
    commas and colons are counted first, and there may be one for every twelve bytes that `most`
    allows: enough for 5,000 tensors in a megabyte.

    Args:
        text: The JSON.
        most: The longest text that may come, in bytes.

    Raises:
        ValueError: If it is no JSON, names a key twice, is nested deeper than Python's stack, or
            consists of little but punctuation.
    """
    if is_crowded(text, most):
        raise ValueError("it lists more things than its length has room for")
    try:
        return json.loads(text, object_pairs_hook=_without_duplicates)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def is_crowded(text: bytes | str, most: int) -> bool:
    """Tells whether JSON has more brackets, commas and colons than `parse_json` takes."""
    counts = (
        text.count(mark.encode()) if isinstance(text, bytes) else text.count(mark)
        for mark in "[{,:"
    )
    return sum(counts) > most // _BYTES_PER_MARK


def parse_entries(header: Mapping[str, Any], size: int) -> dict[str, Entry]:
    """Reads what a header says of the tensors, which must fill the rest of the file exactly.

    Args:
        header: The header, parsed.
        size: How many bytes follow it.

    Raises:
        ValueError: If an entry is none, or tensors overlap, leave a hole, or end before or after
            the file does.
    """
    found: dict[str, Entry] = {}
    spans: list[tuple[int, int]] = []
    for name, value in header.items():
        if name == "__metadata__":
            continue
        try:
            kind, shape, (begin, end) = value["dtype"], value["shape"], value["data_offsets"]
            dtype = DTYPES[kind]
        except (TypeError, KeyError, ValueError):
            raise ValueError(f"its header has no sense where it tells of {name}") from None
        if not isinstance(shape, list) or len(shape) > _MOST_SIZES:
            raise ValueError(f"its header has a shape of {name} that no tensor has")
        if not all(map(_is_count, (*shape, begin, end))):
            raise ValueError(f"its header has sizes of {name} that are not whole numbers < 2^63")
        if end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} has {end - begin} bytes for {kind} {shape}")
        found[name] = Entry(dtype, tuple(shape), begin)
        spans.append((begin, end))
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise ValueError("its tensors overlap, or leave a hole")
        position = end
    if position != size:
        raise ValueError(f"its tensors take {position} bytes, and there are {size}")
    return found


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63  # not a `bool`, which is an `int` too


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for name, value in pairs:
        if name in result:
            raise ValueError(f"it names {name} twice")
        result[name] = value
    return result
