"""Files that are complete or absent: tensors and JSON in one safetensors file, verified.

Nothing here is ever unpickled, and no name read from a file is looked up as code.
"""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor

MAX_HEADER = 1_000_000
"""Largest header of a model file, in bytes: it is read before anything is known to be true."""


class ModelFileError(ValueError):
    """A model file or checkpoint that cannot be used.

    Attributes:
        path: The file.
    """

    def __init__(self, path: str | os.PathLike[str], fault: str) -> None:
        """Names the file and its fault."""
        super().__init__(f"{os.fspath(path)}: {fault}")
        self.path = Path(path)


def write_file(path: str | os.PathLike[str], data: bytes) -> None:
    """Writes a file so that it is there whole or, whatever happens, as it was before.

    The bytes go to a file beside it, reach the disk, and take its name. Permissions follow the
    process's umask.

    Raises:
        OSError: If the disk is full or the folder cannot be written; nothing is left behind.
    """
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    if os.name == "posix":  # elsewhere a folder cannot be opened, and need not be
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def write_tensors(
    path: str | os.PathLike[str], tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]
) -> None:
    """Writes tensors and JSON-able metadata as one safetensors file with a SHA-256 over both."""
    ready = {name: t.detach().cpu().contiguous() for name, t in tensors.items()}
    text = json.dumps(metadata, sort_keys=True)
    # One key alone: of several, the format's writer would shuffle the order from call to call.
    header = json.dumps({"metadata": text, "sha256": _digest(ready, text)})
    write_file(path, safetensors.torch.save(_unshared(ready), metadata={"easyvae": header}))


def read_tensors(
    path: str | os.PathLike[str], *, max_header: int = MAX_HEADER
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Reads what `write_tensors` wrote, or refuses.

    Args:
        path: The file.
        max_header: Largest header to read, in bytes.

    Returns:
        The tensors, on the CPU, and the metadata.

    Raises:
        FileNotFoundError: If there is no such file.
        ModelFileError: If it is no such file, or not as it was written.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelFileError(path, "is a folder, not a model file")
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or length > min(size - 8, max_header):
            raise ModelFileError(path, "is not a safetensors file, or is cut short")
        header = _parse_header(path, file.read(length))
        file.seek(0)
        data = file.read()
    try:
        ours = json.loads(header["easyvae"])
        text, digest = ours["metadata"], ours["sha256"]
        metadata = json.loads(text)
        tensors = safetensors.torch.load(data)
        whole = isinstance(metadata, dict) and _digest(tensors, text) == digest
    except KeyError:
        raise ModelFileError(path, "is a safetensors file, but not one of easyvae's") from None
    except (SafetensorError, ValueError, TypeError, RuntimeError) as error:
        raise ModelFileError(path, f"is damaged ({error})") from None
    if not whole:
        raise ModelFileError(path, "is damaged: its contents do not match its checksum")
    return tensors, metadata


def check_tensors(
    path: str | os.PathLike[str], found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    """Makes sure that a file's tensors are those that its config asks for.

    Args:
        path: The file, for the error.
        found: Its tensors.
        wanted: Tensors of the names, shapes and kinds (float or not) that it should have; they
            may be on the `meta` device.

    Raises:
        ModelFileError: If not; it lists the first five that differ.
    """
    faults = [f"{name} is missing" for name in wanted if name not in found]
    faults += [f"{name} does not belong there" for name in found if name not in wanted]
    for name in wanted.keys() & found.keys():
        want, got = wanted[name], found[name]
        if want.shape != got.shape or want.is_floating_point() != got.is_floating_point():
            faults.append(
                f"{name} is {got.dtype} {tuple(got.shape)} instead of "
                f"{want.dtype} {tuple(want.shape)}"
            )
    if faults:
        more = f", and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise ModelFileError(
            path, f"does not fit its config: {', '.join(sorted(faults)[:5])}{more}"
        )


def _parse_header(path: Path, raw: bytes) -> dict[str, str]:
    try:
        header = json.loads(raw).get("__metadata__", {})
    except (ValueError, AttributeError, RecursionError):
        raise ModelFileError(path, "is not a safetensors file") from None
    if not isinstance(header, dict):
        raise ModelFileError(path, "is not a safetensors file")
    return header


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        t = tensors[name]
        digest.update(f"\n{name} {t.dtype} {tuple(t.shape)}\n".encode())
        digest.update(t.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _unshared(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies tensors that share memory with an earlier one, which the format does not allow."""
    seen: set[int] = set()
    result = {}
    for name, t in tensors.items():
        pointer = t.untyped_storage().data_ptr()
        result[name] = t.clone() if pointer in seen else t
        seen.add(pointer)
    return result
