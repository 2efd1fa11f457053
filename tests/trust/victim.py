"""A small training run to be killed: started in processes of its own, watched, and inspected.

Python and torch are imported once, by the script that uses this; each attempt is a fork of it. So
an attempt begins within milliseconds, and hundreds of kills take minutes.
"""

import atexit
import json
import mmap
import os
import shutil
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch._dynamo  # an optimizer's first call does, for seconds: once, here, for all attempts

from easyvae import VAE, BetaLoss, History, fit
from easyvae.core.tensor_file import read_tensors
from easyvae.training import RunFolder
from easyvae.training import loop as training
from easyvae.training.run_folder import MAX_HEADER
from easyvae.training.trainer import Trainer

EPOCHS = 6
STEPS = 6
"""Steps in an epoch."""
PRECISION: Literal["auto", "float32", "bfloat16"] = "auto"
PHASES = ("before the first step", "in a step", "in a save", "between")

_shared = mmap.mmap(-1, 16)


def train(out: Path) -> None:
    """Trains to the end, from wherever the folder's run stands."""
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (66, 3, 16, 16), dtype=torch.uint8, generator=generator)
    torch.manual_seed(0)
    model = VAE([8, 16], 4, image_size=16, norm="batch")
    options: dict[str, Any] = {"batch_size": 10, "device": "cpu", "progress": False}
    options["precision"] = PRECISION
    fit(model, images, loss=BetaLoss(0.1), epochs=EPOCHS, out=out, **options)


def seen() -> tuple[int, str]:
    """Returns how many steps the newest attempt had taken, and what it was doing."""
    step, phase = struct.unpack("ii", _shared[:8])
    return step, PHASES[phase]


def note(step: int | None = None, phase: int = 0) -> None:
    """Tells the watching process; memory that is shared survives a kill."""
    known = struct.unpack("i", _shared[:4])[0] if step is None else step
    _shared[:8] = struct.pack("ii", known, phase)


def start(
    out: Path, *, seconds: float, processes: int = 1, prepare: Callable[[], None] | None = None
) -> list[int]:
    """Starts an attempt.

    Args:
        out: The run folder.
        seconds: How often a checkpoint is written within an epoch.
        processes: How many processes train together.
        prepare: Called in each of them before it begins.

    Returns:
        Their process numbers.
    """
    note(0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        child = os.fork()
        if child == 0:
            if processes > 1:
                os.environ.update(
                    RANK=str(rank),
                    LOCAL_RANK=str(rank),
                    WORLD_SIZE=str(processes),
                    MASTER_ADDR="127.0.0.1",
                    MASTER_PORT=str(port),
                )
            _live(out, seconds, rank, prepare)
        children.append(child)
    return children


def _live(out: Path, seconds: float, rank: int, prepare: Callable[[], None] | None) -> None:
    """Is the attempt, and ends with its process."""
    code = 1
    try:
        training.CHECKPOINT_SECONDS = seconds
        if rank == 0:
            _watch()
        if prepare is not None:
            prepare()
        train(out)
        code = 0
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        atexit._run_exitfuncs()  # as at the end of any program: it may hang as well
        os._exit(code)


def _watch() -> None:
    """Makes this process tell what it does."""

    def around(owner: type, name: str, during: int) -> None:
        original = getattr(owner, name)

        def call(*args: Any, **options: Any) -> Any:
            note(phase=during)
            result = original(*args, **options)
            at = args[2].step if owner is Trainer else None
            note(at, phase=3)
            return result

        setattr(owner, name, call)

    around(Trainer, "step", 1)
    around(RunFolder, "save", 2)
    around(RunFolder, "save_model", 2)


def wait(child: int, seconds: float) -> int:
    """Returns a process's exit code once it has ended.

    Raises:
        TimeoutError: If it has not within so many seconds; it is killed.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.002)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise TimeoutError(f"a process was still there after {seconds:g} s")


def finish(out: Path, processes: int = 1) -> None:
    """Lets the run in a folder go on to its end, undisturbed.

    Raises:
        RuntimeError: If it fails.
    """
    children = start(out, seconds=1e9, processes=processes)
    codes = [wait(child, 300) for child in children]
    if any(codes):
        raise RuntimeError(f"a run that nobody disturbed ended with {codes}")


def inspect(out: Path) -> int:
    """Makes sure that whatever file has its final name is whole.

    Returns:
        The step of the newest checkpoint, 0 if there is none.
    """
    newest = 0
    for path in (out / "checkpoints").glob("step-*.safetensors"):
        _, metadata = read_tensors(path, max_header=MAX_HEADER)
        newest = max(newest, metadata["progress"]["step"])
    if (out / "model.safetensors").exists():
        VAE.load(out)
    if (out / "history.csv").exists():
        History.from_csv(out / "history.csv")
    if (out / "run.json").exists():
        json.loads((out / "run.json").read_text())
    return newest


def result(out: Path) -> dict[str, Any]:
    """Returns all that a complete run leaves, but for times of day."""
    files = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
    (path,) = (out / "checkpoints").glob("step-*.safetensors")
    tensors, metadata = read_tensors(path, max_header=MAX_HEADER)
    progress = metadata["progress"]
    if progress["rows"] != History.from_csv(out / "history.csv").rows:
        raise RuntimeError("history.csv is not the checkpoint's history")
    progress.pop("seconds")
    for row in progress["rows"]:
        del row["seconds"], row["images_per_second"]
    return {
        "files": files,
        "model": (out / "model.safetensors").read_bytes(),
        "tensors": {name: t.numpy().tobytes() for name, t in tensors.items()},
        "metadata": metadata,
    }


def compare(out: Path, wanted: dict[str, Any]) -> None:
    """Makes sure that a run has ended as the undisturbed one did, bit for bit, and removes it.

    Raises:
        RuntimeError: If it has not; the message names what differs.
    """
    found = result(out)
    differing = [name for name in wanted if found[name] != wanted[name]]
    if differing:
        raise RuntimeError(f"{out} ended with other {', '.join(differing)}")
    shutil.rmtree(out)
