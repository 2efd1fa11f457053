"""What `test_processes.py` runs in two processes at once: `torchrun ... two_processes.py OUT P`.

One start serves all parts, since starting takes longer than all that they do. Each has a folder
of its own in OUT, and writes there what the tests look at, by rank. `P` is the precision of the
parts whose facts hold in any. The last line that each process reaches is that of its last part.
"""

import atexit
import contextlib
import errno
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from easyvae import VAE, BetaLoss, cli, fit
from easyvae.core.locks import drop_lock, take_lock
from easyvae.data import Warp
from easyvae.training import loop as training
from easyvae.training import run_folder as checkpoint
from easyvae.training.distributed import choose_processes
from easyvae.training.trainer import Trainer

COMMAND = [
    *("train", "kittens:60", "--channels", "4", "8", "--latent", "2", "--image-size", "16"),
    *("--epochs", "2", "--device", "cpu", "--out", "run"),
]
RANK = os.environ.get("RANK", "alone")


def noise(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(1))


class Learned(nn.Module):
    """A reconstruction term with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(1))

    def forward(self, output: Any, x: Tensor) -> Tensor:
        error = (output.reconstruction - x).abs().flatten(1)
        return (error / self.log_scale.exp() + self.log_scale).sum(1)


def save(model: nn.Module, path: str) -> None:
    save_file({key: value.contiguous() for key, value in model.state_dict().items()}, path)


def equal_one(out: Path) -> None:
    """Trains 20 steps of 64, the model and a parameter of the loss: in two processes, or alone.

    Then ten steps with warps, whose images are bent and whose noise is drawn part by part.
    """
    images = (256 * noise(1280, 3, 16, 16)).byte()
    torch.manual_seed(0)
    model = VAE([16, 32], 8, image_size=16)
    options: dict[str, Any] = {"progress": False, "device": "cpu", "precision": "float32"}
    loss = BetaLoss(reconstruction=Learned())
    fit(model, images, loss=loss, batch_size=64, epochs=1, validation=None, **options)
    fit(model, images[:640], batch_size=64, epochs=1, validation=None, warp=Warp(), **options)
    save(nn.ModuleList([model, loss]), str(out / RANK))


class EnoughError(Exception):
    pass


def resume(precision: Any) -> None:
    """Trains with batch norms and validation, through and ended by a callback; then once more."""

    def stop(state: training.RunState) -> None:
        if state.epoch == 1:
            raise EnoughError

    def train(out: str, **options: Any) -> tuple[VAE, float]:
        torch.manual_seed(0)
        model = VAE([8, 16], 4, image_size=8, norm="batch")
        options |= {"progress": False, "device": "cpu", "precision": precision}
        history = fit(model, noise(90, 3, 8, 8), epochs=2, out=out, **options)
        return model, history["val_loss"][-1]

    whole, loss = train("whole")
    try:
        train("parts", callbacks=[stop])
    except (EnoughError, RuntimeError) as error:
        Path(f"error-{RANK}").write_text(type(error).__name__)
    resumed, again = train("parts")
    Path(f"losses-{RANK}").write_text(json.dumps([loss, again]))
    torch.distributed.barrier()
    if RANK == "0":
        Path("whole/model.safetensors").unlink()
    torch.distributed.barrier()
    train("whole")  # writes it again, in the first process; neither waits for the other
    save(whole, f"whole-{RANK}")
    save(resumed, f"resumed-{RANK}")


def signalled() -> None:
    """Sends SIGTERM to the second process in its second step."""
    original = Trainer.step

    def step(self: Trainer, batch: Any, at: Any, **options: bool) -> tuple[bool, bool]:
        stopping, saving = original(self, batch, at, **options)
        if at.step == 2 and RANK == "1":
            os.kill(os.getpid(), signal.SIGTERM)
        if stopping:
            Path(f"stopped-{RANK}").write_text(f"after {at.step}")
        return stopping, saving

    Trainer.step = step  # type: ignore[method-assign]  # for this part
    try:
        options: dict[str, Any] = {"progress": False, "device": "cpu", "out": "run"}
        fit(VAE([4], 2, image_size=8), torch.rand(400, 3, 8, 8), validation=None, **options)
    except (SystemExit, KeyboardInterrupt) as error:
        Path(f"ended-{RANK}").write_text(type(error).__name__)
    finally:
        Trainer.step = original  # type: ignore[method-assign]


def command(precision: str) -> None:
    """Trains by the command line, and keeps what it prints."""
    with Path(f"out-{RANK}").open("w") as out, Path(f"err-{RANK}").open("w") as err:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = cli.main([*COMMAND, "--precision", precision])
    if code:
        raise SystemExit(code)


def failing() -> None:
    """Fails in one process or in both, in many ways, and notes what each has raised."""
    first = RANK == "0"
    images = noise(60, 3, 8, 8)
    write, read = checkpoint.write_tensors, checkpoint.read_tensors
    found = {}

    def full(path: Any, *args: Any, **options: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    def run(name: str, expected: str | None, data: Any = images, **options: Any) -> None:
        torch.manual_seed(0)
        error = None
        began = time.monotonic()
        try:
            fit(VAE([4], 2, image_size=8), data, progress=False, device="cpu", **options)
        except (OSError, ValueError, RuntimeError) as raised:
            error = raised
        if time.monotonic() - began > 30:
            raise SystemExit(f"{name}: rank {RANK} has waited")
        names: list[Any] = [None, None]
        torch.distributed.all_gather_object(names, type(error).__name__)
        if expected is not None:
            found[name] = names, expected

    checkpoint.write_tensors = full
    run("at the end of an epoch", "OSError", epochs=1, out="a")
    training.CHECKPOINT_SECONDS = 1e9 if first else 0.0  # the clocks need not agree
    run("in an epoch", "OSError", epochs=1, out="b")
    checkpoint.write_tensors, training.CHECKPOINT_SECONDS = write, 1e9
    Path("c").mkdir(exist_ok=True)
    lock = take_lock(Path("c/.lock")) if first else None
    run("a folder in use", "ValueError", epochs=1, out="c")
    if lock:
        drop_lock(lock)
    run("nothing wrong", None, epochs=1, out="c")
    run("other settings", "ValueError", epochs=1, seed=1, out="c")
    if not first:
        checkpoint.read_tensors = full
    run("a checkpoint for one", "OSError", epochs=2, out="c")
    checkpoint.read_tensors = read
    run("data for the second", "ImageError", "nowhere" if first else images, epochs=1)
    run("data for the first", "ImageError", images if first else "nowhere", epochs=1)
    Path(f"errors-{RANK}").write_text(json.dumps(found))


def main(out: Path, precision: str) -> None:
    def count() -> None:  # a thread that goes on while the interpreter ends can abort it
        names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
        (out / f"threads-{RANK}").write_text(str(sum("gloo" in name for name in names)))

    atexit.register(count)  # before what easyvae registers, and so called after it
    choose_processes(None, "cpu")
    parts = {
        "equal": lambda: equal_one(Path()),
        "resume": lambda: resume(precision),
        "signalled": signalled,
        "command": lambda: command(precision),
        "failing": failing,
    }
    for name, part in parts.items():
        folder = out / name
        folder.mkdir(exist_ok=True)
        with contextlib.chdir(folder):
            part()


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]).absolute(), sys.argv[2])
