"""Files that are complete or absent: tensors and JSON in one safetensors file, verified.

Nothing here is ever unpickled, and no name read from a file is looked up as code.
"""

import errno
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import safetensors.torch
import torch
from torch import Tensor

from easyvae.headers import DTYPES, Entry, is_crowded, parse_entries, parse_json
from easyvae.text import printable

MAX_HEADER = 1_000_000
"""Largest header of a model file, in bytes: it is read before anything is known to be true."""
MAX_JSON = 100_000_000
"""Largest file of settings, in bytes."""
MAX_FAULT = 500
"""Longest fault that an error shows: a hostile file can have names of a megabyte."""


class ModelFileError(ValueError):
    """A model file, a checkpoint or another file of ours that cannot be used.

    Attributes:
        path: The file.
        fault: What is wrong with it, in one printable line.
    """

    def __init__(self, path: str | os.PathLike[str], fault: str) -> None:
        """Keeps both arguments in `args`, so that the error survives pickling by a worker."""
        # What a file says must not forge a line of a log, or be too strange to print.
        line = printable(fault[: MAX_FAULT + 1])
        line = line if len(line) <= MAX_FAULT else f"{line[:MAX_FAULT]}..."
        super().__init__(os.fspath(path), line)
        self.path = Path(path)
        self.fault = line

    def __str__(self) -> str:
        """Returns the path and the fault as one printable line."""
        return f"{printable(str(self.path))}: {self.fault}"


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file to be read. Each file of ours, which may be anyone's, is opened so.

    A pipe would wait for ever for somebody to write to it, and a device may do anything: it is
    looked at before it is opened, opened without waiting, and looked at again.

    Raises:
        OSError: If there is no such file, or it may not be read.
        ModelFileError: If it is a folder, pipe, socket or device.
    """
    path = Path(path)
    _check_regular(path, path.stat())
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags)
    try:
        _check_regular(path, os.fstat(descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return open(descriptor, "rb")  # noqa: PTH123  # a descriptor is no path


def _check_regular(path: Path, status: os.stat_result) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise ModelFileError(path, "is a folder, not a file")
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError(path, "is not a regular file")


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file so that it is there whole or, whatever happens, as it was before.

    The bytes go to a file beside it, reach the disk, and take its name. Permissions follow the
    process's umask. A link is replaced; what it leads to, which a stranger may have chosen, stays
    as it is.

    Raises:
        OSError: If the disk is full, the folder cannot be written, or `path` is a device, a pipe
            or the like; it names `path`, and nothing is left behind.
    """
    path = Path(path)
    # A name that nobody can have foreseen, and made a link of to some other file.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        if not path.is_symlink() and path.exists() and not (path.is_file() or path.is_dir()):
            raise OSError(errno.EINVAL, "is not a regular file")
        try:
            with beside.open("xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            beside.replace(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        flush_folder(path.parent)
    except OSError as error:
        if error.errno is None:
            raise
        # A full disk's error names no file, and others the one beside it, which is gone.
        raise OSError(error.errno, error.strerror, str(path)) from error


def flush_folder(path: Path) -> None:
    """Makes the disk keep a new name, where the system and the folder's permissions allow it."""
    if os.name != "posix":  # elsewhere a folder cannot be opened, and need not be
        return
    try:
        folder = os.open(path, os.O_RDONLY)
    except PermissionError:  # one may write to a folder without being allowed to list it
        return
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network disks cannot
            raise
    finally:
        os.close(folder)


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


def read_json(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a file with a JSON object in it, such as the settings of a run.

    Raises:
        OSError: If it cannot be read.
        ModelFileError: If it holds anything else, see `parse_json`, or more than 100 MB, or is
            not a regular file.
    """
    with open_regular(path) as file:
        text = file.read(MAX_JSON + 1)
    try:
        if len(text) > MAX_JSON:
            raise ValueError(f"it has more than {MAX_JSON / 1e6:.0f} MB")
        found = parse_json(text, most=MAX_JSON)
    except ValueError as error:
        raise ModelFileError(path, f"is not JSON ({error})") from None
    if not isinstance(found, dict):
        raise ModelFileError(path, "is not a JSON object")
    return found


class TensorFile:
    """An open file of tensors whose header has been read and whose tensors have not.

    Attributes:
        path: The file.
        metadata: What was written beside the tensors. Until `read` it may be anyone's.
        entries: The kind and shape of each tensor; together they fill the file exactly.
    """

    def __init__(self, path: Path, file: BinaryIO, max_header: int) -> None:
        """Reads the header, and nothing if it claims to be larger than the file or the cap."""
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
        """Reads the tensors, and makes sure that they and the metadata are as they were written.

        Raises:
            ModelFileError: If they are not.
        """
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
    """Opens what `write_tensors` wrote and reads its header, or refuses.

    Args:
        path: The file.
        max_header: Largest header to read, in bytes.

    Raises:
        FileNotFoundError: If there is no such file.
        ModelFileError: If it is no such file, or its header contradicts itself or the file.
    """
    with open_regular(path) as file:
        yield TensorFile(Path(path), file, max_header)


def read_tensors(
    path: str | os.PathLike[str], *, max_header: int = MAX_HEADER
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `write_tensors` wrote, or refuses; see `open_tensors`.

    Returns:
        The tensors, on the CPU, and the metadata.

    Raises:
        FileNotFoundError: If there is no such file.
        ModelFileError: If it is no such file, or not as it was written.
    """
    with open_tensors(path, max_header=max_header) as file:
        return file.read(), file.metadata


def check_tensors(
    path: str | os.PathLike[str],
    found: Mapping[str, Tensor | Entry],
    wanted: Mapping[str, Tensor],
) -> None:
    """Makes sure that a file's tensors are those that its config asks for.

    Args:
        path: The file, for the error.
        found: Its tensors, or what its header says of them.
        wanted: Tensors of the names, shapes and dtypes that it should have; they may be on the
            `meta` device.

    Raises:
        ModelFileError: If not; it lists the first five that differ.
    """
    faults = [f"{name} is missing" for name in wanted if name not in found]
    faults += [f"{name} does not belong there" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        want, got = wanted[name], found[name]
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


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies tensors that share memory with an earlier one, which the format does not allow."""
    seen: set[int] = set()
    result = {}
    for name, t in tensors.items():
        pointer = t.untyped_storage().data_ptr()
        result[name] = t.clone() if pointer in seen else t
        seen.add(pointer)
    return result
