"""Devices, precision, and training in two processes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import two_processes
from easyvae.training.distributed import bfloat16_is_fast, choose_device, choose_precision


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


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, chosen_precision: str) -> Path:
    """Runs all of `two_processes.py`; returns the folder that has what it left."""
    pytest.importorskip("accelerate")
    out = tmp_path_factory.mktemp("together")
    script = Path(two_processes.__file__)
    done = torchrun(str(script), str(out), chosen_precision, cwd=script.parent)
    assert done.returncode == 0, done.stderr
    return out


def test_two_processes_equal_one(together: Path, tmp_path: Path) -> None:
    """In float32, 2 x 32 end bit-equal to each other, and within 1e-5 of 1 x 64 after 20 steps.

    The second process gets its images and its noise as parts of the batch that one would have.
    """
    two_processes.equal_one(tmp_path)
    ranks = [load_file(together / "equal" / name) for name in "01"]
    alone = load_file(tmp_path / "alone")
    assert alone["1.reconstruction.log_scale"] != 0
    for name, weight in alone.items():
        assert torch.equal(ranks[0][name], ranks[1][name])
        assert (ranks[0][name] - weight).abs().max() < 1e-5


def test_two_processes_resume_exactly(together: Path) -> None:
    """With batch norms and validation, ended by a callback and resumed, and three fits in a row.

    Both processes hear of the callback's error, agree on all weights and statistics, and end as
    if they had not been stopped. A model that was removed is written again.
    """
    out = together / "resume"
    assert [(out / f"error-{r}").read_text() for r in "01"] == ["EnoughError", "RuntimeError"]
    states = [load_file(out / f"{name}-{r}") for name in ("whole", "resumed") for r in "01"]
    for state in states[1:]:
        for name, value in state.items():
            assert torch.equal(value, states[0][name]), name
    losses = [loss for r in "01" for loss in json.loads((out / f"losses-{r}").read_text())]
    assert len(set(losses)) == 1
    assert (out / "whole" / "model.safetensors").is_file()


def test_sigterm_to_one_process_stops_both(together: Path) -> None:
    """A signal to one process stops both after the same step, with a checkpoint."""
    out = together / "signalled"
    (checkpoint,) = (out / "run" / "checkpoints").glob("*.safetensors")
    assert {(out / f"stopped-{rank}").read_text() for rank in "01"} == {"after 3"}
    assert all((out / f"ended-{rank}").is_file() for rank in "01")
    assert checkpoint.name == "step-000000003.safetensors"


def test_an_error_in_one_process_ends_the_other(together: Path) -> None:
    """Even if it is caught and its process lives on: no process waits for one that has gone on.

    A full disk at a checkpoint, in an epoch and at its end; a folder that is in use; settings that
    differ; a checkpoint that only one of them cannot read; data that only one has.
    """
    for rank in "01":
        found = json.loads((together / "failing" / f"errors-{rank}").read_text())
        for name, (errors, first) in found.items():
            assert sorted(errors) == sorted([first, "RuntimeError"]), name


@pytest.mark.skipif(sys.platform != "linux", reason="the threads are read from /proc")
def test_processes_end_without_threads(together: Path) -> None:
    """None of the group's goes on while the interpreter ends, which could abort the process."""
    assert {(together / f"threads-{rank}").read_text() for rank in "01"} == {"0"}


def test_the_command_trains_in_two_processes(together: Path) -> None:
    """It leaves one run folder, and has one voice."""
    out = together / "command"
    assert [(out / f"out-{r}").read_text().count("model.safetensors") for r in "01"] == [1, 0]
    assert [(out / f"err-{r}").read_text().count("epoch 2/2") for r in "01"] == [1, 0]
    assert (out / "run" / "model.safetensors").is_file()


@pytest.mark.slow
def test_the_command_trains_under_torchrun(tmp_path: Path, chosen_precision: str) -> None:
    """`torchrun ... -m easyvae train` ends cleanly, with one run folder and one voice."""
    pytest.importorskip("accelerate")
    arguments = [*two_processes.COMMAND, "--precision", chosen_precision]
    done = torchrun("-m", "easyvae", *arguments, cwd=tmp_path)
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
