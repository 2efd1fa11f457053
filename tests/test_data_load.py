"""From a folder or archive to the store, and the store's cache on disk."""

import io
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from easyvae.core.tensor_file import read_tensors, write_tensors
from easyvae.data import ImageError, Pictures, inspect_pictures, load_pictures, read_image
from easyvae.data import cache as caching
from easyvae.data import load as scan

SHAPE = (3, 8, 8)


def picture(value: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (value % 256, value // 256, 0)).save(file, kind)
    return file.getvalue()


def fill(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return folder


@pytest.fixture
def cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of a machine on which every set counts as large."""
    monkeypatch.setattr(scan, "CACHED_FROM", 0)
    monkeypatch.setenv("EASYVAE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {f"{i:02}.png": picture(i) for i in range(20)}
    return fill(tmp_path / "set", {**files, "sub/05b.png": picture(5), "00.png": picture(0)})


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(scan, "read_image", forbidden)


def test_pixels_names_and_report(folder: Path) -> None:
    """The store holds each file's pixels in the order of the names; copies are dropped."""
    pictures = load_pictures(folder, SHAPE)
    assert pictures.names == [f"{i:02}.png" for i in range(20)]
    assert pictures.images.dtype == torch.uint8
    for name, image in zip(pictures.names, pictures.images, strict=True):
        assert np.array_equal(image.numpy(), read_image(folder / name, SHAPE))
    assert str(pictures.report) == "21 pictures, 1 byte-identical copy (dropped), 0 unreadable"


def test_copies_can_be_kept(folder: Path, tmp_path: Path, cached: Path) -> None:
    """Kept copies are stored again, with equal digests, in memory and in the cache alike."""
    for _ in range(2):
        pictures = load_pictures(folder, SHAPE, copies="keep")
        assert len(pictures) == 21
        assert pictures.names is not None
        twin = pictures.names.index("sub/05b.png")
        assert torch.equal(pictures.images[twin], pictures.images[5])
        assert np.array_equal(pictures.digests[twin], pictures.digests[5])
        assert str(pictures.report).startswith("21 pictures, 1 byte-identical copy (kept)")


def test_copies_are_not_decoded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte-identical copy is never decoded."""
    decoded = []

    def counting(data: bytes, shape: tuple[int, ...], *, name: str) -> object:
        decoded.append(name)
        return read_image(data, shape, name=name)

    monkeypatch.setattr(scan, "read_image", counting)
    load_pictures(folder, SHAPE, copies="keep")
    assert len(decoded) == 20


def test_small_and_large_files_keep_their_order(tmp_path: Path) -> None:
    """Files decoded by the pool and files decoded at once come out in the order of the names."""
    rng = np.random.default_rng(0)
    files = {}
    for i in range(30):
        file = io.BytesIO()
        side = 100 if i % 3 else 8
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).save(file, "PNG")
        files[f"{i:02}.png"] = file.getvalue()
    assert {len(data) > scan._SMALL for data in files.values()} == {True, False}
    pictures = load_pictures(fill(tmp_path, files), SHAPE)
    for (name, data), image in zip(files.items(), pictures.images, strict=True):
        assert np.array_equal(image.numpy(), read_image(data, SHAPE)), name


def test_unreadable_pictures_are_reported(folder: Path) -> None:
    """Unreadable files, and their copies, are left out and listed, the first five by name."""
    cut = picture(99, "JPEG")[:200]
    fill(folder, {"bad/empty.jpg": b"", "bad/page.jpg": b"<html>", "bad/cut.jpg": cut})
    fill(folder, {f"bad/z{i}.jpg": cut for i in range(4)})
    report = load_pictures(folder, SHAPE).report
    assert report is not None
    assert (report.pictures, len(report.unreadable)) == (21, 7)
    first, second = str(report).splitlines()
    assert first.endswith("7 unreadable")
    assert "bad/empty.jpg (the file is empty)" in second
    assert "bad/page.jpg (not a JPEG, PNG or WEBP picture)" in second
    assert second.endswith("and 2 more")


def test_raising_on_the_first_error(folder: Path, cached: Path) -> None:
    """With on_error="raise" the error names the path, also when the set is in the cache."""
    fill(folder, {"bad.jpg": b"<html>"})
    for _ in range(2):
        with pytest.raises(ImageError, match="not a JPEG") as caught:
            load_pictures(folder, SHAPE, on_error="raise")
        assert caught.value.path == str(folder / "bad.jpg")
        load_pictures(folder, SHAPE)


def test_a_file_deleted_after_the_walk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that vanishes between the walk and the reading is reported, or raised by path."""
    opening = scan.open_source

    def opening_then_deleting(path: Path) -> object:
        found = opening(path)
        (folder / "07.png").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(scan, "open_source", opening_then_deleting)
    report = load_pictures(folder, SHAPE).report
    assert report is not None
    assert report.unreadable == (("07.png", "no such file or directory"),)
    (folder / "07.png").write_bytes(picture(7))
    with pytest.raises(ImageError, match=r"07\.png: no such file"):
        load_pictures(folder, SHAPE, on_error="raise")


def test_a_file_that_may_not_be_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported with the system's reason, or raised by path; the others are read."""
    opening = Path.open

    def guarded(self: Path, *args: object, **options: object) -> object:
        if self.name == "07.png":
            raise PermissionError(13, "Permission denied", str(self))
        return opening(self, *args, **options)  # type: ignore[call-overload]  # passed on

    monkeypatch.setattr(Path, "open", guarded)
    pictures = load_pictures(folder, SHAPE)
    assert pictures.report is not None
    assert pictures.report.unreadable == (("07.png", "permission denied"),)
    assert len(pictures) == 19
    with pytest.raises(ImageError, match=r"07\.png: permission denied"):
        load_pictures(folder, SHAPE, on_error="raise")


def test_nothing_of_the_users_is_changed(folder: Path, cached: Path) -> None:
    """Reading a set, unreadable files and copies in it too, leaves every file as it was."""
    fill(folder, {"bad.jpg": b"<html>", ".DS_Store": b"x", "notes.txt": b"mine"})

    def state() -> dict[str, tuple[bytes, int]]:
        files = [path for path in folder.rglob("*") if path.is_file()]
        return {str(path): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}

    before = state()
    for copies in ("drop", "keep"):
        load_pictures(folder, SHAPE, copies=copies)
    inspect_pictures(folder)
    assert state() == before


def test_one_picture(folder: Path) -> None:
    """A single file, or a folder with one picture, is a set of one."""
    assert len(load_pictures(folder / "03.png", SHAPE)) == 1
    assert len(load_pictures(folder / "sub", SHAPE)) == 1


@pytest.mark.parametrize("files", [{}, {"a.txt": b"", "b.csv": b""}, {"a.jpg": b"<html>"}])
def test_nothing_to_read(tmp_path: Path, cached: Path, files: dict[str, bytes]) -> None:
    """A folder without a readable picture is an error that says what it holds, and no cache."""
    source = tmp_path / "set"
    source.mkdir()
    with pytest.raises(ImageError, match=r"set: no readable JPEG, PNG or WEBP") as caught:
        load_pictures(fill(source, files), SHAPE)
    assert caught.value.path == str(source)
    if "a.txt" in files:
        assert "2 files of other kinds" in str(caught.value)
    if "a.jpg" in files:
        assert "a.jpg (not a JPEG" in str(caught.value)
    assert not cached.exists() or not list(cached.iterdir())


def test_folder_and_archive_agree(folder: Path, tmp_path: Path) -> None:
    """A folder and a zip of it give the same store."""
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in sorted(folder.rglob("*.png"), reverse=True):
            archive.write(path, path.relative_to(folder))
    a, b = load_pictures(folder, SHAPE), load_pictures(tmp_path / "set.zip", SHAPE)
    assert a.names == b.names
    assert a.fingerprint == b.fingerprint


def test_bad_options(folder: Path) -> None:
    """An unknown option is a ValueError that shows the right ones."""
    with pytest.raises(ValueError, match=r"`copies` \(='some'\) must be \"drop\" or \"keep\""):
        load_pictures(folder, SHAPE, copies="some")  # type: ignore[arg-type] # the point
    with pytest.raises(ValueError, match=r"`on_error` \(=None\) must be"):
        load_pictures(folder, SHAPE, on_error=None)  # type: ignore[arg-type] # the point


def test_progress(folder: Path) -> None:
    """Progress is told after each candidate, and what it raises reaches the caller."""
    calls: list[tuple[int, int]] = []
    load_pictures(folder, SHAPE, progress=lambda done, total: calls.append((done, total)))
    assert calls == [(i, 21) for i in range(1, 22)]

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_pictures(folder, SHAPE, progress=stop)


def test_second_load_comes_from_the_cache(
    folder: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unchanged source is not decoded again, and gives the same pictures and report."""
    first = load_pictures(folder, SHAPE)
    forbid_decoding(monkeypatch)
    second = load_pictures(folder, SHAPE, flip=True)
    assert torch.equal(first.images, second.images)
    assert (first.names, first.report, first.fingerprint) == (
        second.names,
        second.report,
        second.fingerprint,
    )
    assert (first.flip, second.flip) == (False, True)


def test_cache_and_memory_agree(folder: Path, cached: Path, tmp_path: Path) -> None:
    """A set is the same whether it is mapped from a file or held in memory."""
    mapped = load_pictures(folder, SHAPE)
    (tmp_path / "blocked").write_bytes(b"")  # a file where the cache folder should be
    held = load_pictures(folder, SHAPE, cache=tmp_path / "blocked")
    assert mapped.fingerprint == held.fingerprint
    assert held.report is not None
    assert "kept in memory: cannot write to" in held.report.note
    assert held.report.note in str(held.report)


def test_a_changed_source_replaces_its_store(folder: Path, cached: Path) -> None:
    """After a change the set is read again, and the old store is removed."""
    first = load_pictures(folder, SHAPE)
    old = set(cached.iterdir())
    (folder / "03.png").write_bytes(picture(300))
    second = load_pictures(folder, SHAPE)
    assert first.fingerprint != second.fingerprint
    assert np.array_equal(second.images[3].numpy(), read_image(folder / "03.png", SHAPE))
    assert len(list(cached.iterdir())) == 2
    assert {path.suffix for path in cached.iterdir()} == {".bin", ".safetensors"}
    assert len(old & set(cached.iterdir())) == 1  # the description's name stays, the data's not
    assert first.images[3].sum() == 3 * 64  # a reader of the old store still has it


def test_shapes_and_options_have_stores_of_their_own(folder: Path, cached: Path) -> None:
    """One source at two shapes has two stores, neither of which replaces the other."""
    assert load_pictures(folder, SHAPE).images.shape[1:] == SHAPE
    assert load_pictures(folder, (1, 4, 4)).images.shape[1:] == (1, 4, 4)
    assert load_pictures(folder, SHAPE, copies="keep").images.shape[0] == 21
    assert len(list(cached.iterdir())) == 6


def test_writing_to_the_images_leaves_the_cache_alone(folder: Path, cached: Path) -> None:
    """The mapped store can be written to without changing the file, and without a warning."""
    first = load_pictures(folder, SHAPE)
    first.images.fill_(1)
    assert not torch.equal(load_pictures(folder, SHAPE).images, first.images)


def rewritten(path: Path, **changes: Any) -> None:
    """Changes the description of a store, as one could who knows how to write its checksum."""
    tensors, metadata = read_tensors(path)
    for name, value in changes.items():
        (tensors if name in ("digests", "names") else metadata)[name] = value
    write_tensors(path, {name: t for name, t in tensors.items() if t is not None}, metadata)


def in_place_of(path: Path, kind: str) -> None:
    """Puts a pipe or a folder where a file was."""
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        os.mkfifo(path)


DAMAGE: dict[str, Callable[[Path, Path], object]] = {
    "no description": lambda meta, data: meta.write_bytes(b"{"),
    "a folder for a description": lambda meta, data: in_place_of(meta, "folder"),
    "a pipe for a description": lambda meta, data: in_place_of(meta, "pipe"),
    "no data": lambda meta, data: data.unlink(),
    "a folder for data": lambda meta, data: in_place_of(data, "folder"),
    "a pipe for data": lambda meta, data: in_place_of(data, "pipe"),
    "cut": lambda meta, data: data.write_bytes(data.read_bytes()[:-1]),
    "empty": lambda meta, data: data.write_bytes(b""),
    "half of it zeroed": lambda meta, data: data.write_bytes(
        data.read_bytes()[: data.stat().st_size // 2].ljust(data.stat().st_size, b"\0")
    ),
    "one bit": lambda meta, data: data.write_bytes(data.read_bytes()[:-1] + b"\x5a"),
    "another's data": lambda meta, data: rewritten(meta, data="../outside.bin"),
    "data of no name": lambda meta, data: rewritten(meta, data=None),
    "another's digests": lambda meta, data: rewritten(
        meta, digests=torch.zeros(20, 16, dtype=torch.uint8)
    ),
    "digests of another type": lambda meta, data: rewritten(meta, digests=torch.zeros(20, 16)),
    "no digests": lambda meta, data: rewritten(meta, digests=None),
    "too few names": lambda meta, data: rewritten(meta, names=torch.zeros(3, dtype=torch.uint8)),
    "names that are none": lambda meta, data: rewritten(
        meta, names=torch.full((3,), 255, dtype=torch.uint8)
    ),
    "no report": lambda meta, data: rewritten(meta, report=3),
    "a report of lists": lambda meta, data: rewritten(meta, report={"unreadable": [[[]]]}),
    "a report of strings": lambda meta, data: rewritten(
        meta, report={"pictures": "1", "unreadable": [], "skipped": []}
    ),
    "deep nesting": lambda meta, data: meta.write_bytes(
        len(b"[" * 50_000).to_bytes(8, "little") + b"[" * 50_000
    ),
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_a_damaged_cache_is_read_anew(
    folder: Path, cached: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that is damaged, incomplete or forged is replaced if it can be, never believed."""
    if "pipe" in damage and not hasattr(os, "mkfifo"):
        pytest.skip("there are no pipes with a name")
    expected = load_pictures(folder, SHAPE).images.clone()
    (meta,) = cached.glob("*.safetensors")
    (data,) = cached.glob("*.bin")
    outside = cached.parent / "outside.bin"
    outside.write_bytes(data.read_bytes())
    DAMAGE[damage](meta, data)
    again = load_pictures(folder, SHAPE)
    assert torch.equal(again.images, expected)
    assert str(again.report)
    assert outside.exists()
    if "for a description" in damage:  # what is no file of ours stays, and nothing is kept
        assert "kept in memory" in str(again.report)
        assert list(cached.glob("*.bin")) == [data]
    else:
        forbid_decoding(monkeypatch)
        assert torch.equal(load_pictures(folder, SHAPE).images, expected)


def test_a_store_is_on_the_disk_before_it_is_named(
    folder: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The data are flushed, then the folder, then the description and the folder once more."""
    flushed = []
    fsync = os.fsync

    def recorded(descriptor: int) -> None:
        fsync(descriptor)
        flushed.append(sorted(path.suffix for path in cached.iterdir()))

    monkeypatch.setattr(os, "fsync", recorded)
    load_pictures(folder, SHAPE)
    assert flushed == [[".part"], [".bin"], [".bin", ".tmp"], [".bin", ".safetensors"]]


def test_a_store_never_fills_the_disk(
    folder: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes over half of what is left is not begun; nor is one larger than memory."""
    size = 21 * int(np.prod(SHAPE))
    usage = shutil.disk_usage(folder)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=2 * size - 1))
    report = str(load_pictures(folder, SHAPE).report)
    assert "kept in memory: cannot write to" in report
    assert "over half of the" in report
    assert not list(cached.iterdir())
    monkeypatch.setattr(scan, "memory_size", lambda: size - 1)
    with pytest.raises(ImageError, match=r"21 pictures at \(3, 8, 8\) are up to .* over half of"):
        load_pictures(folder, SHAPE)


def test_a_full_disk(folder: Path, cached: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up while the store is written leaves no file, and the set in memory."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.FileRows, "complete", full)
    pictures = load_pictures(folder, SHAPE)
    assert len(pictures) == 20
    assert pictures.report is not None
    assert "No space left" in pictures.report.note
    assert not list(cached.iterdir())


def test_an_interrupted_scan_leaves_no_file(folder: Path, cached: Path) -> None:
    """A scan that is interrupted removes what it had written."""

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_pictures(folder, SHAPE, progress=stop)
    assert not list(cached.iterdir())


def test_abandoned_parts_are_removed_after_a_day(folder: Path, cached: Path) -> None:
    """What a killed scan left is removed a day later, and nothing that is not the cache's."""
    cached.mkdir()
    old, new = f"{'a' * 32}-{'0' * 16}.bin.part", f"{'a' * 32}-{'1' * 16}.bin.part"
    stopped = f".{'a' * 32}.safetensors.{'0' * 16}.tmp"
    for name, age in ((old, 172800), (stopped, 172800), (new, 60), ("mine.part", 172800)):
        (cached / name).write_bytes(b"")
        then = (cached / name).stat().st_mtime - age
        os.utime(cached / name, (then, then))
    load_pictures(folder, SHAPE)
    assert {path.name for path in cached.iterdir() if path.suffix != ".bin"} >= {new, "mine.part"}
    assert not (cached / old).exists()
    assert not (cached / stopped).exists()


def test_cache_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The cache is the argument, else $EASYVAE_CACHE, else ~/.cache/easyvae."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("EASYVAE_CACHE", "/from/environment")
    assert caching.cache_folder(tmp_path) == tmp_path
    assert caching.cache_folder() == Path("/from/environment")
    monkeypatch.delenv("EASYVAE_CACHE")
    assert caching.cache_folder() == Path("~/.cache/easyvae").expanduser()


def test_small_sets_are_not_cached(folder: Path, tmp_path: Path) -> None:
    """A set of under 64 MB leaves no file behind."""
    load_pictures(folder, SHAPE, cache=tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


def test_odd_file_names(tmp_path: Path, cached: Path) -> None:
    """Names that hold line breaks or are no text at all survive the cache, and print."""
    source = tmp_path / "set"
    source.mkdir()
    names = [b"a\nb.png", b"\xff.png"]
    try:
        for i, name in enumerate(names):
            with open(os.fsencode(source) + b"/" + name, "wb") as file:  # noqa: PTH123 # bytes
                file.write(picture(i) if i else b"")
    except OSError:
        pytest.skip("this file system takes no such names")
    first, second = load_pictures(source, SHAPE), load_pictures(source, SHAPE)
    assert first.names == second.names == [os.fsdecode(names[1])]
    assert len(str(second.report).encode().splitlines()) == 2


def test_pictures_constructor() -> None:
    """Pictures hold what they are given without a copy, and compute digests if need be."""
    images = torch.arange(4 * 3, dtype=torch.uint8).reshape(4, 3, 1, 1)
    images[3] = images[0]
    pictures = Pictures(images)
    assert pictures.images is images
    assert pictures.digests.shape == (4, 16)
    equal = (pictures.digests[:, None] == pictures.digests[None]).all(-1)
    assert equal.sum() == 6
    assert pictures.gather(torch.tensor([2, 2, 0])).tolist() == images[[2, 2, 0]].tolist()


def test_fingerprint() -> None:
    """The fingerprint follows content, order, shape and type, and nothing else."""
    images = torch.rand(5, 1, 4, 4)
    base = Pictures(images).fingerprint
    assert Pictures(images.clone(), flip=True, names=list("abcde")).fingerprint == base
    changed = images.clone()
    changed[2, 0, 1, 1] += 1
    others = [changed, images.flip(0), images.reshape(5, 1, 2, 8), images.view(torch.int32)]
    assert len({base, *(Pictures(other).fingerprint for other in others)}) == 5


def test_a_stored_archive_is_not_opened_again(
    folder: Path, tmp_path: Path, cached: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second start needs the archive's size and times only, until they change."""
    archive = tmp_path / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in ("00.png", "01.png", "02.png"):
            file.write(folder / name, name)
    first = load_pictures(archive, SHAPE)
    with monkeypatch.context() as patch:

        def forbidden(_: object) -> None:
            raise AssertionError("opened again")

        patch.setattr(scan, "open_source", forbidden)
        second = load_pictures(archive, SHAPE)
        assert torch.equal(first.images, second.images)
        assert first.names == second.names
    with zipfile.ZipFile(archive, "a") as file:
        file.write(folder / "03.png", "03.png")
    assert len(load_pictures(archive, SHAPE)) == 4


def test_without_a_home_the_pictures_stay_in_memory(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no cache folder can be found, everything works, and the report says so."""

    def homeless(_: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(scan, "CACHED_FROM", 0)
    monkeypatch.delenv("EASYVAE_CACHE", raising=False)
    monkeypatch.setattr(Path, "expanduser", homeless)
    pictures = load_pictures(folder, SHAPE)
    assert len(pictures) == 20
    assert "memory" in str(pictures.report)
