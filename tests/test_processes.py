"""Devices, precision, and training in two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from easyvae.processes import bfloat16_is_fast, choose_device, choose_precision

# The second process gets its images and its noise as parts of the batch that one would have.
SCRIPT = """
import os, sys, torch
from safetensors.torch import save_file
from easyvae import VAE, fit
torch.set_num_threads(1)
images = torch.randint(
    0, 256, (1280, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
)
torch.manual_seed(0)
model = VAE([16, 32], 8, image_size=16)
options = dict(progress=False, device="cpu", precision="float32")  # others round to coarser sums
fit(model, images, batch_size=64, epochs=1, validation=None, **options)
rank = os.environ.get("RANK", "alone")
weights = {name: t.contiguous() for name, t in model.state_dict().items()}
save_file(weights, os.path.join(sys.argv[1], rank))
"""


def torchrun(*args: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", *args]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MASTER_PORT": "0"}
    return subprocess.run(
        [*command[:3], "--standalone", *command[3:]],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_two_processes_equal_one(tmp_path: Path) -> None:
    """In float32, 2 x 32 end bit-equal to each other, and within 1e-5 of 1 x 64 after 20 steps."""
    pytest.importorskip("accelerate")
    (tmp_path / "script.py").write_text(SCRIPT)
    done = torchrun("script.py", ".", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    subprocess.run([sys.executable, "script.py", "."], cwd=tmp_path, check=True, timeout=240)
    ranks = [load_file(tmp_path / name) for name in ("0", "1")]
    alone = load_file(tmp_path / "alone")
    for name, weight in alone.items():
        assert torch.equal(ranks[0][name], ranks[1][name])
        assert (ranks[0][name] - weight).abs().max() < 1e-5


NORMED = """
import os, sys, torch
from safetensors.torch import save_file
from easyvae import VAE, fit

torch.set_num_threads(1)
precision = sys.argv[1]
images = torch.rand(90, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class EnoughError(Exception):
    pass


def stop(state):
    if state.epoch == 1:
        raise EnoughError


def train(out, **options):
    torch.manual_seed(0)
    model = VAE([8, 16], 4, image_size=8, norm="batch")
    options |= dict(progress=False, device="cpu", precision=precision)
    history = fit(model, images, epochs=2, out=out, **options)
    return model, history["val_loss"][-1]


whole, loss = train("whole")
try:
    train("parts", callbacks=[stop])
    raise SystemExit("the callback's error has not arrived")
except (EnoughError, RuntimeError):
    pass
resumed, again = train("parts")
if loss != again:
    raise SystemExit(f"{loss} became {again}")
torch.distributed.barrier()
if os.environ["RANK"] == "0":
    os.remove("whole/model.safetensors")
torch.distributed.barrier()
train("whole")  # writes it again, in the first process; neither waits for the other
if os.environ["RANK"] == "0" and not os.path.exists("whole/model.safetensors"):
    raise SystemExit("the model has not come back")
for name, model in (("whole", whole), ("resumed", resumed)):
    weights = {key: value.contiguous() for key, value in model.state_dict().items()}
    save_file(weights, f"{name}-{os.environ['RANK']}")
"""


def test_two_processes_resume_exactly(tmp_path: Path, chosen_precision: str) -> None:
    """With batch norms and validation, ended by a callback and resumed, and three fits in a row.

    Both processes hear of the callback's error, agree on all weights and statistics, and end as
    if they had not been stopped.
    """
    pytest.importorskip("accelerate")
    (tmp_path / "script.py").write_text(NORMED)
    done = torchrun("script.py", chosen_precision, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    states = [load_file(tmp_path / f"{name}-{r}") for name in ("whole", "resumed") for r in "01"]
    for state in states[1:]:
        for name, value in state.items():
            assert torch.equal(value, states[0][name]), name


def test_sigterm_to_one_process_stops_both(tmp_path: Path) -> None:
    """A signal to one process stops both after the same step, with a checkpoint."""
    pytest.importorskip("accelerate")
    (tmp_path / "script.py").write_text(SIGNALLED)
    done = torchrun("script.py", cwd=tmp_path)
    assert done.returncode != 0
    (checkpoint,) = (tmp_path / "run" / "checkpoints").glob("*.safetensors")
    assert {(tmp_path / f"stopped-{rank}").read_text() for rank in "01"} == {"after 3"}
    assert checkpoint.name == "step-000000003.safetensors"


SIGNALLED = """
import os, signal, torch
from pathlib import Path
from easyvae import VAE, fit
from easyvae.trainer import Trainer

torch.set_num_threads(1)
rank = os.environ["RANK"]
original = Trainer.step


def step(self, batch, at, **options):
    stopping, saving = original(self, batch, at, **options)
    if at.step == 2 and rank == "1":
        os.kill(os.getpid(), signal.SIGTERM)
    if stopping:
        Path(f"stopped-{rank}").write_text(f"after {at.step}")
    return stopping, saving


Trainer.step = step
model = VAE([4], 2, image_size=8)
fit(model, torch.rand(400, 3, 8, 8), progress=False, device="cpu", out="run", validation=None)
"""


def test_an_error_in_one_process_ends_the_other(tmp_path: Path) -> None:
    """Even if it is caught and its process lives on: no process waits for one that has gone on.

    A full disk at a checkpoint, in an epoch and at its end; a folder that is in use; settings that
    differ; a checkpoint that only one of them cannot read; data that only one has.
    """
    pytest.importorskip("accelerate")
    (tmp_path / "script.py").write_text(FAILING)
    done = torchrun("script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for name, (errors, first) in json.loads((tmp_path / "errors").read_text()).items():
        assert sorted(errors) == sorted([first, "RuntimeError"]), name
    if sys.platform == "linux":
        assert {(tmp_path / f"threads-{rank}").read_text() for rank in "01"} == {"0"}


FAILING = """
import atexit, errno, json, os, sys, time, torch
from pathlib import Path


def count():  # one that goes on while the interpreter ends can abort the process
    names = [path.read_text() for path in Path("/proc/self/task").glob("*/comm")]
    Path(f"threads-{rank}").write_text(str(sum("gloo" in name for name in names)))


atexit.register(count)  # called after what easyvae registers
from easyvae import VAE, checkpoint, fit, training
from easyvae.locks import drop_lock, take_lock
from easyvae.processes import choose_processes

torch.set_num_threads(1)
processes = choose_processes(None, "cpu")
rank = processes.rank
images = torch.rand(60, 3, 8, 8, generator=torch.Generator().manual_seed(1))
write, read = checkpoint.write_tensors, checkpoint.read_tensors
found = {}


def full(path, *args, **options):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def run(name, expected, data=images, **options):
    torch.manual_seed(0)
    error = None
    began = time.monotonic()
    try:
        fit(VAE([4], 2, image_size=8), data, progress=False, device="cpu", **options)
    except (OSError, ValueError, RuntimeError) as raised:
        error = raised
    if time.monotonic() - began > 30:
        raise SystemExit(f"{name}: rank {rank} has waited")
    names = [None, None]
    torch.distributed.all_gather_object(names, type(error).__name__)
    if expected is not None:
        found[name] = names, expected


checkpoint.write_tensors = full
run("at the end of an epoch", "OSError", epochs=1, out="a")
training.CHECKPOINT_SECONDS = 0.0 if rank == 1 else 1e9  # the clocks need not agree
run("in an epoch", "OSError", epochs=1, out="b")
checkpoint.write_tensors, training.CHECKPOINT_SECONDS = write, 1e9
Path("c").mkdir(exist_ok=True)
lock = take_lock(Path("c/.lock")) if rank == 0 else None
run("a folder in use", "ValueError", epochs=1, out="c")
if lock:
    drop_lock(lock)
run("nothing wrong", None, epochs=1, out="c")
run("other settings", "ValueError", epochs=1, seed=1, out="c")
if rank == 1:
    checkpoint.read_tensors = full
run("a checkpoint for one", "OSError", epochs=2, out="c")
checkpoint.read_tensors = read
run("data for the second", "ImageError", "nowhere" if rank == 0 else images, epochs=1)
run("data for the first", "ImageError", "nowhere" if rank == 1 else images, epochs=1)
if rank == 0:
    Path("errors").write_text(json.dumps(found))
"""


def test_the_command_trains_under_torchrun(tmp_path: Path, chosen_precision: str) -> None:
    """`torchrun ... -m easyvae train` ends cleanly, with one run folder and one voice."""
    pytest.importorskip("accelerate")
    arguments = "train kittens:60 --channels 4 8 --latent 2 --image-size 16 --epochs 2"
    arguments += f" --precision {chosen_precision}"
    done = torchrun("-m", "easyvae", *arguments.split(), "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model.safetensors") == 1
    assert done.stderr.count("epoch 2/2") == 1
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_auto_is_a_device_of_this_machine() -> None:
    """A tensor can be put on what "auto" stands for."""
    assert torch.zeros(1, device=choose_device("auto")).device.type in ("cpu", "cuda", "mps")


def test_precision_names() -> None:
    """The two names are what they say on every machine, and others are refused."""
    cpu = torch.device("cpu")
    assert choose_precision("float32", cpu) is torch.float32
    assert choose_precision("bfloat16", cpu) is torch.bfloat16
    with pytest.raises(ValueError, match="`precision`"):
        choose_precision("half", cpu)  # type: ignore[arg-type]  # that is the point


@pytest.mark.parametrize(
    ("known", "fast"),
    [
        ({}, False),
        ({"avx2": True, "avx512_bf16": False}, False),
        ({"avx512_bf16": True}, True),
        ({"avx512_bf16": False, "amx_bf16": True}, True),
        ({"bf16": True}, True),
    ],
)
def test_a_processor_says_what_it_is_fast_at(
    known: dict[str, bool], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AVX512-BF16, AMX and Arm's BF16 are each enough."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: known, raising=False)
    assert bfloat16_is_fast(torch.device("cpu")) == fast


@pytest.mark.parametrize(("version", "fast"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_a_gpu_is_fast_at_it_since_ampere(
    version: tuple[int, int], fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Older ones emulate it; so may a device of another kind."""
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: version)
    assert bfloat16_is_fast(torch.device("cuda")) == fast
    assert not bfloat16_is_fast(torch.device("mps"))


def test_auto_is_what_the_device_is_fast_at(
    either_precision: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run with `precision="auto"` says which it is, remembers it, and is the same to the bit."""
    from easyvae import VAE, fit

    models = []
    for precision in ("auto", either_precision):
        torch.manual_seed(0)
        model = VAE([4, 8], 3, image_size=8)
        images = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        options = {"epochs": 1, "device": "cpu", "out": tmp_path / precision}
        fit(model, images, precision=precision, **options)  # type: ignore[arg-type]  # the two names
        settings = json.loads((tmp_path / precision / "run.json").read_text())
        assert settings["must_match"]["precision"] == either_precision
        assert f" {either_precision} on cpu" in capsys.readouterr().err
        models.append(model)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(a, b)


def test_unknown_devices_are_refused() -> None:
    """The error says what a device may be."""
    with pytest.raises(ValueError, match="`device`"):
        choose_device("toaster")


def test_an_accelerator_may_be_passed() -> None:
    """With one process, an accelerator trains to the same bits as none."""
    accelerate = pytest.importorskip("accelerate")
    from easyvae import VAE, fit

    models = []
    for accelerator in (None, accelerate.Accelerator(cpu=True, gradient_accumulation_steps=4)):
        torch.manual_seed(0)
        model = VAE([4], 2, image_size=8)
        images = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        fit(model, images, epochs=1, progress=False, device="cpu", accelerator=accelerator)
        models.append(model)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(a, b)
