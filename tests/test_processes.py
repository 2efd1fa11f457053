"""Devices, precision, and training in two processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from easyvae.processes import choose_device, choose_precision

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
fit(model, images, batch_size=64, epochs=1, validation=None, progress=False, device="cpu")
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
    """2 x 32 end bit-equal to each other, and within 1e-5 of 1 x 64 after 20 steps."""
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


def test_the_command_trains_under_torchrun(tmp_path: Path) -> None:
    """`torchrun ... -m easyvae train` ends cleanly, with one run folder and one voice."""
    pytest.importorskip("accelerate")
    arguments = "train kittens:60 --channels 4 8 --latent 2 --image-size 16 --epochs 2"
    done = torchrun("-m", "easyvae", *arguments.split(), "--out", "run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("model.safetensors") == 1
    assert done.stderr.count("epoch 2/2") == 1
    assert (tmp_path / "run" / "model.safetensors").is_file()


def test_auto_is_a_device_of_this_machine() -> None:
    """A tensor can be put on what "auto" stands for."""
    assert torch.zeros(1, device=choose_device("auto")).device.type in ("cpu", "cuda", "mps")


def test_precision_names() -> None:
    """The two names are what they say, "auto" is one of the two, and others are refused."""
    cpu = torch.device("cpu")
    assert choose_precision("float32", cpu) is torch.float32
    assert choose_precision("bfloat16", cpu) is torch.bfloat16
    assert choose_precision("auto", cpu) in (torch.float32, torch.bfloat16)
    with pytest.raises(ValueError, match="`precision`"):
        choose_precision("half", cpu)  # type: ignore[arg-type]  # that is the point


def test_unknown_devices_are_refused() -> None:
    """The error says what a device may be."""
    with pytest.raises(ValueError, match="`device`"):
        choose_device("toaster")


def test_an_accelerator_may_be_passed() -> None:
    """With one process, an accelerator trains to the same bits as none."""
    accelerate = pytest.importorskip("accelerate")
    from easyvae import VAE, fit

    models = []
    for accelerator in (None, accelerate.Accelerator(cpu=True)):
        torch.manual_seed(0)
        model = VAE([4], 2, image_size=8)
        images = torch.rand(40, 3, 8, 8, generator=torch.Generator().manual_seed(0))
        fit(model, images, epochs=1, progress=False, device="cpu", accelerator=accelerator)
        models.append(model)
    for a, b in zip(*(m.parameters() for m in models), strict=True):
        assert torch.equal(a, b)
