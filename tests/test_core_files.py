"""Files are whole or as they were, and what is not as it was written is refused by its path."""

import contextlib
import errno
import json
import os
import pickle
import random
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
import safetensors.torch
import torch

from easyvae import VAE
from easyvae.core import files
from easyvae.core.files import ModelFileError, read_json, write_file
from easyvae.core.tensor_file import open_tensors, read_tensors, write_tensors
from easyvae.training import History

TENSORS = {
    "weight": torch.randn(4, 3),
    "half": torch.randn(5).bfloat16(),
    "count": torch.tensor(7),
    "none": torch.zeros(0, 2),
    "flag": torch.tensor([True, False]),
}
METADATA: dict[str, Any] = {"kind": "model", "config": {"a": [1, 2], "é": None}, "version": 1}


class DiskFullError(OSError):
    """What a full disk raises."""


def fail(*args: object, **kwargs: object) -> NoReturn:
    raise DiskFullError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "file.safetensors"
    write_tensors(path, TENSORS, METADATA)
    return path


def test_what_is_written_is_read(path: Path) -> None:
    """Tensors of any dtype and shape, and any JSON, come back as they were."""
    tensors, metadata = read_tensors(path)
    assert metadata == METADATA
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_tensors_may_share_memory_and_layout(tmp_path: Path) -> None:
    """Views, slices, transposes and parameters are written by value."""
    base = torch.randn(4, 6)
    tensors = {
        "base": base,
        "same": base,
        "part": base[1:3],
        "turned": base.T,
        "parameter": torch.nn.Parameter(base.clone()),
        "pictures": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
    }
    write_tensors(tmp_path / "f", tensors, {})
    read, _ = read_tensors(tmp_path / "f")
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    read["base"].zero_()
    assert torch.equal(read["same"], base)


def test_writing_is_deterministic(path: Path) -> None:
    """The same contents are the same bytes: a file can be compared by its hash."""
    first = path.read_bytes()
    write_tensors(path, TENSORS, METADATA)
    assert path.read_bytes() == first


def test_any_safetensors_reader_reads_it(path: Path) -> None:
    """The file is plain safetensors."""
    tensors = safetensors.torch.load_file(path)
    assert torch.equal(tensors["weight"], TENSORS["weight"])


# Writing


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("existing", [True, False])
def test_a_failed_write_changes_nothing(
    step: str, existing: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails, the old file is intact, and no other is left beside it."""
    path = tmp_path / "file"
    if existing:
        write_file(path, b"old")
    monkeypatch.setattr(os, "fsync", fail) if step == "fsync" else monkeypatch.setattr(
        Path, "replace", fail
    )
    with pytest.raises(DiskFullError):
        write_file(path, b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["file"] * existing
    assert not existing or path.read_bytes() == b"old"


def test_an_interrupted_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle is no different."""
    write_file(tmp_path / "file", b"old")

    def interrupt(*args: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_file(tmp_path / "file", b"new")
    assert [file.read_bytes() for file in tmp_path.iterdir()] == [b"old"]


def test_a_failed_save_keeps_the_old_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for a whole model: the old one still loads."""
    path = tmp_path / "model.safetensors"
    old, new = (VAE([4], 2, image_size=8) for _ in range(2))
    old.save(path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fail)
        with pytest.raises(DiskFullError):
            new.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]
    x = torch.rand(3, 8, 8)
    assert torch.equal(VAE.load(path).reconstruct(x), old.reconstruct(x))


@pytest.mark.skipif(os.name != "posix", reason="permissions are a matter of POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_permissions_follow_the_umask(mask: int, tmp_path: Path) -> None:
    """A new file is as open as the process wants it, and no temporary one shows through."""
    before = os.umask(mask)
    try:
        write_file(tmp_path / "file", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o666 & ~mask


def test_a_missing_folder_is_an_oserror(tmp_path: Path) -> None:
    """No folder is made, and nothing is left behind."""
    with pytest.raises(FileNotFoundError):
        write_file(tmp_path / "no" / "file", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_file(tmp_path / "folder", b"x")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
def test_a_failed_write_names_the_file(
    step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk's error, which names none, tells what was to be written, and why it was not."""

    def full(*args: object, **kwargs: object) -> NoReturn:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os if step == "fsync" else Path, step, full)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_file(tmp_path / "model.safetensors", b"x")
    assert caught.value.filename == str(tmp_path / "model.safetensors")
    assert str(tmp_path / "model.safetensors") in str(caught.value)
    assert str(caught.value).endswith("model.safetensors'")


@pytest.mark.skipif(os.name != "posix", reason="elsewhere folders are not flushed")
@pytest.mark.parametrize(
    ("fault", "bears"), [(errno.EINVAL, True), (errno.ENOTSUP, True), (errno.EIO, False)]
)
def test_a_folder_that_cannot_be_flushed(
    fault: int, bears: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a disk does not know how to, the file is written all the same; a broken disk is told.

    So it is in a folder that may be written to but not listed.
    """
    flush, path = os.fsync, tmp_path / "file"

    def refuse(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(fault, os.strerror(fault))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)
    if bears:
        write_file(path, b"new")
    else:
        with pytest.raises(OSError, match=r"Input/output error: .*file'$"):
            write_file(path, b"new")
    assert path.read_bytes() == b"new"
    monkeypatch.undo()

    def hide(*args: object) -> NoReturn:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path))

    monkeypatch.setattr(os, "open", hide)
    write_file(path, b"newer")
    assert path.read_bytes() == b"newer"


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    """A header over the reader's cap, or a kind of tensor the format lacks, is refused at once."""
    write_tensors(tmp_path / "file", {"a": torch.zeros(2)}, {"text": "x" * 900_000})
    read_tensors(tmp_path / "file")
    before = (tmp_path / "file").read_bytes()
    for metadata in ({"text": "x" * 1_000_000}, {"numbers": [1] * 90_000}):
        with pytest.raises(ValueError, match="a reader takes at most 1,000,000"):
            write_tensors(tmp_path / "file", {"a": torch.zeros(2)}, metadata)
    with pytest.raises(TypeError, match=r"`a` is torch\.complex128"):
        write_tensors(tmp_path / "file", {"a": torch.zeros(2, dtype=torch.complex128)}, {})
    assert (tmp_path / "file").read_bytes() == before


def test_metadata_has_to_be_json(tmp_path: Path) -> None:
    """What JSON cannot hold is refused before anything is written."""
    with pytest.raises(TypeError):
        write_tensors(tmp_path / "file", TENSORS, {"a": object()})
    assert not list(tmp_path.iterdir())


# Reading


def refused(path: Path) -> str:
    """Reads a file that must be refused, and returns why."""
    with pytest.raises(ModelFileError) as caught:
        read_tensors(path)
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def test_every_truncation_is_refused(path: Path) -> None:
    """Cut at any byte, the file is refused."""
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        refused(path)


def test_bit_flips_are_refused(path: Path) -> None:
    """One bit anywhere is enough: in the length, the header, the checksum or the tensors."""
    data, chance = path.read_bytes(), random.Random(0)
    places = chance.sample(range(8 * len(data)), 300)
    for bit in [*range(64), *places]:
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        refused(path)


def test_additions_are_refused(path: Path) -> None:
    """Bytes before or after are damage too."""
    data = path.read_bytes()
    for changed in (data + b"\0", data + data, b"\0" + data, data[:8] + b" " + data[8:]):
        path.write_bytes(changed)
        refused(path)


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 100_000_001, 1_000_001])
def test_headers_too_large_are_not_read(length: int, path: Path) -> None:
    """A header's length is not believed."""
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    assert "not a safetensors file" in refused(path)


def forge(path: Path, header: Any, data: bytes = b"") -> None:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(raw).to_bytes(8, "little") + raw + data)


def ours(metadata: Any, sha256: Any = "0" * 64) -> dict[str, Any]:
    """A header as `write_tensors` makes it, of anything."""
    return {"__metadata__": {"easyvae": json.dumps({"metadata": metadata, "sha256": sha256})}}


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
        {},
        {"__metadata__": None},
        {"__metadata__": []},
        {"__metadata__": "text"},
        {"__metadata__": {"easyvae": 1}},
        *({"__metadata__": {"easyvae": text}} for text in ("", "1", "[]", "{}", "[" * 100_000)),
        ours("{}", 5),
        ours("{}", None),
        ours(None),
        ours(5),
        ours("[]"),
        ours("{}"),
        ours("{"),
        ours("[" * 100_000),
        ours('{"a": "\ud800"}'),
        {"t": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}},
        {"t": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}},
        {"t": {"dtype": "F32", "shape": [0, 2**62, 2**62], "data_offsets": [0, 0]}, **ours("{}")},
        ours('{"kind": "model", "kind": "model"}'),
        b'{"__metadata__": {}, "__metadata__": {"easyvae": "{}"}}',
    ],
    ids=lambda header: str(header)[:40],
)
def test_forged_headers_are_refused(header: Any, tmp_path: Path) -> None:
    """Whatever the header holds, the answer is the one error."""
    forge(tmp_path / "file", header)
    refused(tmp_path / "file")


@pytest.mark.parametrize(
    ("offsets", "size"),
    [
        (([0, 8], [4, 12]), 12),
        (([0, 4], [8, 12]), 12),
        (([0, 4], [4, 8]), 9),
        (([4, 0], [0, 4]), 4),
    ],
    ids=["overlap", "hole", "trailing byte", "backwards"],
)
def test_forged_offsets_are_refused(offsets: Any, size: int, tmp_path: Path) -> None:
    """Tensors that overlap, leave a hole or do not fill the file are refused."""
    header = {
        name: {"dtype": "F32", "shape": [max(0, end - start) // 4], "data_offsets": [start, end]}
        for name, (start, end) in zip("ab", offsets, strict=True)
    }
    forge(
        tmp_path / "file",
        {**header, **ours("{}")},
        bytes(size),
    )
    refused(tmp_path / "file")


def test_a_tensor_given_twice_is_refused(tmp_path: Path) -> None:
    """Even where both entries agree."""
    write_tensors(tmp_path / "file", {"a": torch.ones(1)}, {})
    data = (tmp_path / "file").read_bytes()
    header = data[8 : 8 + int.from_bytes(data[:8], "little")].rstrip()
    entry = header[header.index(b'"a":') : -1]
    forge(tmp_path / "file", header[:-1] + b"," + entry + b"}", data[-4:])
    assert "names a twice" in refused(tmp_path / "file")


def test_what_a_file_says_stays_on_one_short_line(tmp_path: Path) -> None:
    """Names of a megabyte, line breaks and escape codes do not reach a terminal or a log."""
    for name in ("x" * 900_000, "a\nERROR: all is lost\x1b[2J", "\ud800"):
        header = {name: {"dtype": "F32", "shape": ["no"], "data_offsets": [0, 4]}, **ours("{}")}
        forge(tmp_path / "file", header, bytes(4))
        text = refused(tmp_path / "file")
        assert len(text) < len(str(tmp_path)) + 600
        assert text.isprintable()


@pytest.mark.skipif(os.name != "posix", reason="pipes with a name are a matter of POSIX")
def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    """So is a device, which has no end."""
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero")):
        assert "not a regular file" in refused(path)


def test_a_file_that_shrinks_while_it_is_read_is_refused(path: Path) -> None:
    """Its header has been read, and then it is cut."""
    write_tensors(path, {"a": torch.zeros(100_000)}, {})  # more than a file's buffer holds
    with open_tensors(path) as file:
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(ModelFileError, match="cut short"):
            file.read()


def test_other_safetensors_files_are_refused(tmp_path: Path) -> None:
    """A file of another program is whole, but none of ours, and the message says so."""
    path = tmp_path / "other.safetensors"
    for metadata in (None, {"format": "pt"}):
        safetensors.torch.save_file(TENSORS, path, metadata)
        assert "not one of easyvae's" in refused(path)


class Trap:
    """Does harm when it is unpickled."""

    def __init__(self, witness: Path) -> None:
        self.witness = witness

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.witness),)


@pytest.mark.parametrize("protocol", range(6))
def test_pickles_are_refused_and_not_run(protocol: int, tmp_path: Path) -> None:
    """A pickle with the right name runs nothing."""
    path, witness = tmp_path / "model.safetensors", tmp_path / "witness"
    path.write_bytes(pickle.dumps(Trap(witness), protocol))
    refused(path)
    with pytest.raises(ModelFileError):
        VAE.load(path)
    torch.save({"a": Trap(witness)}, path)
    refused(path)
    assert not witness.exists()


@pytest.mark.parametrize(
    "contents", [b"", b"\0" * 8, b"\0" * 100, b"<html></html>", b"PK\3\4" * 9]
)
def test_other_files_are_refused(contents: bytes, tmp_path: Path) -> None:
    """Empty files, web pages and zips are no model files."""
    (tmp_path / "file").write_bytes(contents)
    refused(tmp_path / "file")


def test_folders_and_missing_files(tmp_path: Path) -> None:
    """A folder is refused, and what is not there is a FileNotFoundError that names it."""
    assert "is a folder" in refused(tmp_path)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_tensors(tmp_path / "absent")
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        VAE.load(tmp_path)


def test_settings_are_read_with_distrust(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A JSON object comes back; anything else, or too much of it, is refused by its path."""
    path = tmp_path / "run.json"
    path.write_text('{"é": [1, null]}', encoding="utf-8")
    assert read_json(path) == {"é": [1, None]}
    for text, says in (
        (b"", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff", "is not JSON"),
        (b'{"a": 1, "a": 2}', "names a twice"),
        (b"[]", "is not a JSON object"),
    ):
        path.write_bytes(text)
        with pytest.raises(ModelFileError, match=says) as caught:
            read_json(path)
        assert caught.value.path == path
    monkeypatch.setattr(files, "MAX_JSON", 100)
    path.write_text(json.dumps({"a": "x" * 100}))
    with pytest.raises(ModelFileError, match="more than 0 MB"):
        read_json(path)
    with pytest.raises(FileNotFoundError, match="absent"):
        read_json(tmp_path / "absent")


def test_the_error_is_a_value_error_with_a_path() -> None:
    """It can be caught without knowing this package, and carries the path as a `Path`."""
    error = ModelFileError("a/b", "is broken")
    assert isinstance(error, ValueError)
    assert error.path == Path("a/b")
    assert str(error) == "a/b: is broken"
    assert (error.path, error.fault) == (Path("a/b"), "is broken")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)  # as a worker sends it


@pytest.mark.parametrize("name", ["\x1b[2Jm", "bell\a", "two\nlines", "caf\udce9", "\u202egnp"])
def test_a_path_cannot_say_more_than_its_letters(name: str) -> None:
    """Whatever a file is called, its error is one line that can be printed, path and all."""
    error = ModelFileError(f"a/{name}", "is broken")
    assert str(error).isprintable()
    assert str(error).startswith("a/")
    assert error.path.name == name


PIPES = hasattr(os, "mkfifo")
ODD_FILES = ["folder", "loop", *(["pipe", "socket", "device"] if PIPES else [])]


def odd_file(kind: str, path: Path) -> Path:
    """Makes something at a path that is no file, and would keep a reader waiting, or worse."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as bound, contextlib.chdir(path.parent):
            bound.bind(path.name)
    else:
        path.symlink_to(path if kind == "loop" else os.devnull)
    return path


@pytest.mark.parametrize("kind", ODD_FILES)
@pytest.mark.parametrize("read", [read_json, read_tensors, VAE.load, History.from_csv])
def test_only_regular_files_are_read(
    read: Callable[[Path], object], kind: str, tmp_path: Path
) -> None:
    """Pipes, sockets, devices and folders are refused at once, and nothing is written to them."""
    path = odd_file(kind, tmp_path / "x")
    refusal = (
        "x/model.safetensors" if read == VAE.load and kind == "folder" else "is a folder|not a"
    )
    with pytest.raises((ModelFileError, OSError), match="symbolic" if kind == "loop" else refusal):
        read(path)
    assert list(tmp_path.rglob("*")) == [path]


@pytest.mark.skipif(not PIPES, reason="this system has no named pipes")
def test_a_file_that_becomes_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at it and its opening, it may have been replaced."""
    path = tmp_path / "run.json"
    path.write_text("{}")
    opening = os.open

    def replaced(path: Path, flags: int) -> int:
        Path(path).unlink()
        os.mkfifo(path)
        return opening(path, flags)

    monkeypatch.setattr(os, "open", replaced)
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_json(path)


def test_a_link_is_replaced(tmp_path: Path) -> None:
    """What it leads to stays: in a folder that others write to, they may have chosen it."""
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.bin", tmp_path / "link.bin"
    real.write_bytes(b"old")
    link.symlink_to(real)
    write_file(link, b"new")
    assert not link.is_symlink()
    assert (link.read_bytes(), real.read_bytes()) == (b"new", b"old")
    assert [p.name for p in (tmp_path / "there").iterdir()] == ["real.bin"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    """A pipe, as a device, is not replaced by a file."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="not a regular file") as caught:
        write_file(pipe, b"new")
    assert caught.value.filename == str(pipe)
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]
