"""Tensors and JSON in one safetensors file, verified: nothing in it is believed unchecked.

Nothing here is ever unpickled, and no name read from a file is looked up as code. A file is eight
bytes with the length of the header, the header (JSON), and the bytes of the tensors. The header
says of each tensor its dtype, its shape, and from where to where its bytes go.
"""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import safetensors.torch
import torch
from torch import Tensor

from easyvae.core.files import ModelFileError, is_crowded, open_regular, parse_json, write_file

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
_MOST_SIZES = 64
"""Sizes in a shape, as torch has it: multiplying a megabyte of them would take minutes."""


class Entry(NamedTuple):
    """What a header says of one tensor; its bytes begin `begin` after the header's end."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    begin: int


def parse_entries(header: Mapping[str, Any], size: int) -> dict[str, Entry]:
    """Reads what a header says of the tensors, which must fill the `size` bytes after it."""
    entries: dict[str, Entry] = {}
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
        # Not `isinstance`, since a `bool` is an `int` too.
        if not all(type(n) is int and 0 <= n < 2**63 for n in (*shape, begin, end)):
            raise ValueError(f"its header has sizes of {name} that are not whole numbers < 2^63")
        if end - begin != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} has {end - begin} bytes for {kind} {shape}")
        entries[name] = Entry(dtype, tuple(shape), begin)
        spans.append((begin, end))
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            raise ValueError("its tensors overlap, or leave a hole")
        position = end
    if position != size:
        raise ValueError(f"its tensors take {position} bytes, and there are {size}")
    return entries


MAX_HEADER = 1_000_000
"""Largest header of a model file, in bytes: it is read before anything is known to be true."""


def write_tensors(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, Any],
    *,
    max_header: int = MAX_HEADER,
) -> None:
    """Writes tensors and JSON-able metadata as one safetensors file with a SHA-256 over both.

    Raises:
        TypeError: If a tensor is of a kind that the format does not have, or the metadata are not
            JSON.
        ValueError: If there are so many tensors, or so much metadata, that no reader with the
            same `max_header` would take the file.
        OSError: See `write_file`.
    """
    for name, t in tensors.items():
        if t.dtype not in DTYPES.values():
            raise TypeError(f"`{name}` is {t.dtype}, which a file cannot hold")
    ready = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    text = json.dumps(metadata, sort_keys=True)
    # One key alone: of several, the format's writer would shuffle the order from call to call.
    header = json.dumps({"metadata": text, "sha256": _digest(ready, text)})
    data = safetensors.torch.save(_unshared(ready), metadata={"easyvae": header})
    length = int.from_bytes(data[:8], "little")
    if length > max_header or is_crowded(data[8 : 8 + length], max_header):
        raise ValueError(
            f"`tensors` (={len(ready)} of them) and `metadata` need a header of {length:,} bytes; "
            f"a reader takes at most {max_header:,}, a twelfth of them punctuation"
        )
    write_file(path, data)


class TensorFile:
    """An open file of tensors whose header has been read and whose tensors have not.

    Attributes:
        path: The file.
        metadata: What was written beside the tensors. Until `read` it may be anyone's.
        entries: The kind and shape of each tensor; together they fill the file exactly.
    """

    def __init__(self, path: Path, file: BinaryIO, max_header: int) -> None:
        self.path = path
        self._file = file
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, max_header):
            raise ModelFileError(path, "is not a safetensors file, or is cut short")
        self._begin = 8 + length
        try:
            header = parse_json(file.read(length), most=max_header)
            ours = header.get("__metadata__", {})
            if not isinstance(ours, dict):
                raise ValueError("its metadata are none")
        except (ValueError, AttributeError) as error:
            raise ModelFileError(path, f"is not a safetensors file ({error})") from None
        if "easyvae" not in ours:
            raise ModelFileError(path, "is a safetensors file, but not one of easyvae's")
        try:
            self.entries = parse_entries(header, size - self._begin)
            del header
            inner = parse_json(ours["easyvae"], most=max_header)
            self._text, self._sha256 = inner["metadata"], inner["sha256"]
            self.metadata: dict[str, Any] = parse_json(self._text, most=max_header)
            if not isinstance(self.metadata, dict):
                raise ValueError("its metadata are none")
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ModelFileError(path, f"is damaged ({error})") from None

    def read(self) -> dict[str, Tensor]:
        """Reads the tensors, if they and the metadata are as they were written."""
        tensors: dict[str, Tensor] = {}
        try:
            for name, entry in self.entries.items():
                t = torch.empty(entry.shape, dtype=entry.dtype)
                self._file.seek(self._begin + entry.begin)
                if self._file.readinto(_bytes_of(t)) != t.nbytes:  # type: ignore[attr-defined]  # BinaryIO lacks it
                    raise ValueError("it is cut short")
                tensors[name] = t
            whole = _digest(tensors, self._text) == self._sha256
        except (ValueError, RuntimeError) as error:
            raise ModelFileError(self.path, f"is damaged ({error})") from None
        if not whole:
            raise ModelFileError(self.path, "is damaged: its contents do not match its checksum")
        return tensors


@contextmanager
def open_tensors(
    path: str | os.PathLike[str], *, max_header: int = MAX_HEADER
) -> Iterator[TensorFile]:
    """Opens what `write_tensors` wrote, if its header, of `max_header` bytes at most, fits it."""
    with open_regular(path) as file:
        yield TensorFile(Path(path), file, max_header)


def read_tensors(
    path: str | os.PathLike[str], *, max_header: int = MAX_HEADER
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads the tensors, on the CPU, and the metadata that `write_tensors` wrote."""
    with open_tensors(path, max_header=max_header) as file:
        return file.read(), file.metadata


def check_tensors(
    path: str | os.PathLike[str],
    given: Mapping[str, Tensor | Entry],
    wanted: Mapping[str, Tensor],
) -> None:
    """Refuses a file whose tensors are not those that its config asks for.

    Names, shapes and dtypes are compared; those wanted may be on the `meta` device. The error
    lists the first five that differ.
    """
    faults = [f"{name} is missing" for name in wanted if name not in given]
    faults += [f"{name} does not belong there" for name in given if name not in wanted]
    for name in wanted.keys() & given.keys():
        want, got = wanted[name], given[name]
        if tuple(want.shape) != tuple(got.shape) or want.dtype != got.dtype:
            faults.append(
                f"{name} is {got.dtype} {tuple(got.shape)} instead of "
                f"{want.dtype} {tuple(want.shape)}"
            )
    if faults:
        more = f", and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ModelFileError(
            path, f"does not fit its config: {', '.join(sorted(faults)[:5])}{more}"
        )


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        t = tensors[name]
        digest.update(f"\n{name} {t.dtype} {tuple(t.shape)}\n".encode())
        digest.update(_bytes_of(t))
    return digest.hexdigest()


def _bytes_of(t: Tensor) -> memoryview:
    """Returns a contiguous tensor's memory, to be read or written."""
    return t.reshape(-1).view(torch.uint8).numpy().data


def _unshared(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Copies tensors that share memory with an earlier one, which the format does not allow."""
    first = {t.untyped_storage().data_ptr(): name for name, t in reversed(tensors.items())}
    return {
        name: t if first[t.untyped_storage().data_ptr()] == name else t.clone()
        for name, t in tensors.items()
    }
