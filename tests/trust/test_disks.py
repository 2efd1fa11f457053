"""A disk that is full or read-only in the middle of a save: nothing is lost, and nothing stays."""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from easyvae import VAE, fit
from easyvae.core.tensor_file import read_tensors
from easyvae.training import RunState
from easyvae.training.run_folder import MAX_HEADER

EPOCHS = 4


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of one megabyte, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if sys.platform != "linux" or not _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", folder):
        pytest.skip("only root on Linux can mount a small disk")
    yield folder
    while (
        subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode == 0
    ):
        pass  # one test mounts it twice


def _mount(*arguments: object) -> bool:
    mount = shutil.which("mount")
    if mount is None:
        return False
    command = [mount, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(folder: Path) -> Path:
    """Fills the disk of a folder to the last byte."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (4096, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))
    return path


def train(out: Path | None, **options: Any) -> VAE:
    torch.manual_seed(0)
    model = VAE([4, 8], 3, image_size=8, in_channels=1)
    images = torch.rand(90, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    fit(model, images, epochs=EPOCHS, out=out, progress=False, device="cpu", **options)
    return model


def contents(out: Path) -> dict[str, bytes]:
    return {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}


def check_failure(out: Path, error: OSError, before: dict[str, bytes]) -> None:
    """The error names a file of the run; what was there after two epochs is there, and no more."""
    assert error.filename is not None
    name = str(Path(error.filename).relative_to(out))
    assert str(error).endswith(f"{error.filename!r}")
    assert name == "model.safetensors" or name.startswith("checkpoints/step-")
    assert contents(out) == before
    (path,) = (out / "checkpoints").iterdir()
    _, metadata = read_tensors(path, max_header=MAX_HEADER)
    assert metadata["progress"]["epoch"] == 2
    assert VAE.load(out).latent == 3


def same(a: VAE, b: VAE) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


def test_a_full_disk_in_the_middle_of_a_run(disk: Path) -> None:
    """The error says which file and why; with room again, the run ends as if undisturbed."""
    out, before = disk / "run", {}

    def full(state: RunState) -> None:
        if state.epoch == 2:
            before.update(contents(out))
            fill(disk)

    with pytest.raises(OSError, match="No space left on device") as caught:
        train(out, callbacks=[full])
    check_failure(out, caught.value, before)
    (disk / "filler").unlink()
    assert same(train(out), train(None))


def test_a_disk_that_becomes_read_only(disk: Path) -> None:
    """As a failing disk does: the same as when it is full."""
    out, before = disk / "run", {}

    def lock(state: RunState) -> None:
        if state.epoch == 2:
            before.update(contents(out))
            # Itself, mounted over itself: the open lock keeps the disk from changing under it.
            assert _mount("--bind", disk, disk)
            assert _mount("-o", "remount,bind,ro", disk)

    with pytest.raises(OSError, match="Read-only file system") as caught:
        train(out, callbacks=[lock])
    check_failure(out, caught.value, before)
    subprocess.run(["umount", str(disk)], check=True)
    assert same(train(out), train(None))


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write to any folder")
def test_a_folder_that_becomes_read_only(tmp_path: Path) -> None:
    """Permissions that are taken away in the middle of a run: the same."""
    out, before = tmp_path / "run", {}

    def lock(state: RunState) -> None:
        if state.epoch == 2:
            before.update(contents(out))
            for folder in (out, out / "checkpoints"):
                folder.chmod(0o555)

    try:
        with pytest.raises(PermissionError) as caught:
            train(out, callbacks=[lock])
        check_failure(out, caught.value, before)
    finally:
        for folder in (out, out / "checkpoints"):
            folder.chmod(0o755)
    assert same(train(out), train(None))


def test_a_model_does_not_fit_on_the_disk(disk: Path) -> None:
    """The model that was there still loads, and no half of a file stays beside it."""
    path = disk / "model.safetensors"
    old = VAE([4], 2, image_size=8)
    old.save(path)
    with pytest.raises(OSError, match=r"No space left on device: .*model\.safetensors'$"):
        VAE([64, 128], 64, image_size=32).save(path)
    assert [file.name for file in disk.iterdir()] == ["model.safetensors"]
    assert same(VAE.load(path), old)
