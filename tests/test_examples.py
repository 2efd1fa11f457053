"""The examples run, with numbers small enough to wait for, and leave what they say."""

import ast
import contextlib
import io
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))

# For each script: its constants, made small, and the files that it must leave.
SMALL = {
    "compare_betas.py": (
        {"KITTENS": 60, "EPOCHS": 1, "CHANNELS": [4, 8, 8], "LATENT": 4, "BETAS": [1, 0.1]},
        ["betas/report.html", "betas/results.json", "betas/models/beta-0.1.safetensors"],
    ),
    "mix_two_pictures.py": (
        {"KITTENS": 40, "EPOCHS": 1, "STEPS": 4},
        ["kittens.safetensors", "mix/lerp-and-slerp.png", "mix/mix.gif"],
    ),
    "mnist_likelihood.py": (
        {"CHANNELS": [4, 8], "HIDDEN": [16], "LATENT": 4, "EPOCHS": 1, "SAMPLES": 3},
        ["runs/mnist/model.safetensors", "runs/mnist/history.csv"],
    ),
    "signal_vae_1d.py": (
        {"SIGNALS": 40, "EPOCHS": 1, "CHANNELS": [4, 4, 4, 4, 8]},
        ["signals/mix.png", "signals/signals.safetensors"],
    ),
    "train_on_your_folder.py": (
        {"KITTENS": 40, "EPOCHS": 1, "IMAGE_SIZE": 32, "CHANNELS": [8, 16]},
        [
            "kittens/00039.png",
            "runs/folder/model.safetensors",
            "runs/folder/history.csv",
            "runs/folder/curves.png",
            "runs/folder/reconstructions.png",
        ],
    ),
    "volume_vae_3d.py": (
        {"VOLUMES": 40, "EPOCHS": 1, "CHANNELS": [4, 8]},
        ["volumes/mix.png", "volumes/volumes.safetensors"],
    ),
    "walkthrough.py": (
        {"KITTENS": 100, "EPOCHS": 1, "CHANNELS": [8, 16, 16], "LATENT": 8},
        [
            "walkthrough/run/model.safetensors",
            "walkthrough/curves.png",
            "walkthrough/reconstructions.png",
            "walkthrough/interpolation.png",
            "walkthrough/interpolation.gif",
            "walkthrough/mix.png",
            "walkthrough/traversals.png",
            "walkthrough/sliders.png",
            "walkthrough/attributes.png",
            "walkthrough/ginger-to-black.png",
            "walkthrough/samples.png",
        ],
    ),
}


def run(script: Path, constants: dict[str, object]) -> str:
    """Runs a script as a program with some of its constants replaced; returns what it printed."""
    tree = ast.parse(script.read_text(encoding="utf-8"), str(script))
    left = dict(constants)
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in left:
                statement.value = ast.parse(repr(left.pop(name)), mode="eval").body
    assert not left, f"{script.name} has no constants {sorted(left)}"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = compile(ast.fix_missing_locations(tree), str(script), "exec")
        exec(code, {"__name__": "__main__", "__file__": str(script)})
    return printed.getvalue()


def test_every_script_is_tested() -> None:
    """There is a test for each script in the folder, and a line in its README."""
    assert [script.name for script in SCRIPTS] == sorted(SMALL)
    readme = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    assert all(f"({script.name})" in readme for script in SCRIPTS)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_runs(script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script leaves its files, none of them empty, and ends by saying what it wrote."""
    monkeypatch.chdir(tmp_path)
    arguments = []
    if script.name == "mnist_likelihood.py":  # the one that needs data: random ones will do
        rng = np.random.default_rng(0)
        digits = rng.integers(256, size=(2, 40, 28, 28), dtype=np.uint8)
        np.savez("digits.npz", x_train=digits[0], x_test=digits[1, :6])
        arguments = ["digits.npz"]
    monkeypatch.setattr(sys, "argv", [str(script), *arguments])
    constants, files = SMALL[script.name]
    printed = run(script, constants)
    assert printed.splitlines()[-1].startswith("wrote ")
    assert [name for name in files if not (tmp_path / name).is_file()] == []
    assert all((tmp_path / name).stat().st_size for name in files)


def test_folder_can_be_an_argument(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`train_on_your_folder.py` trains on the folder that it is given."""
    from PIL import Image

    (tmp_path / "mine").mkdir()
    for shade in range(12):
        Image.new("RGB", (40, 30), (20 * shade, 60, 90)).save(tmp_path / f"mine/{shade}.jpg")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train_on_your_folder.py", "mine"])
    printed = run(EXAMPLES / "train_on_your_folder.py", SMALL["train_on_your_folder.py"][0])
    assert "12 pictures" in printed
    assert not (tmp_path / "kittens").exists()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_is_short_and_public(script: Path) -> None:
    """A script has fewer than 150 lines and imports names without an underscore."""
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 150
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in imports if str(node.module).startswith("easyvae")]
    assert ours
    for node in ours:
        names = [*str(node.module).split("."), *(alias.name for alias in node.names)]
        assert not [name for name in names if name.startswith("_")]
