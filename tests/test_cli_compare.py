"""The commands `compare` and `evaluate`."""

import json
from pathlib import Path

import pytest

from easyvae import VAE
from easyvae.cli import main

pytest.importorskip("matplotlib")

SMALL = "--channels 4 8 --latent 3 --image-size 16 --epochs 1 --device cpu --quiet".split()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    VAE([4, 8], 3, image_size=16).save(path)
    return path


def test_compare_leaves_a_report(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Models of a file stand beside those of the betas, and the same command again agrees."""
    spec = tmp_path / "models.json"
    spec.write_text(
        json.dumps(
            {
                "small": {"model": {"channels": [4]}, "loss": {"beta": 1}},
                "mine": {"file": str(model)},
            }
        )
    )
    out = tmp_path / "report"
    command = ["compare", "kittens:60", "--betas", "2", "0.05", "--models", str(spec)]
    command += ["--out", str(out), *SMALL]
    assert main(command) == 0
    first = capsys.readouterr().out
    names = [line.split("  ")[0] for line in first.splitlines()[1:-1]]
    assert names == ["small", "mine", "beta 2", "beta 0.05"]
    assert first.splitlines()[-1] == str(out / "report.html")
    assert (out / "report.html").is_file()
    assert (out / "models" / "beta-0.05.safetensors").is_file()
    assert main([*command, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["models"]["mine"]["epochs"] is None
    assert record == json.loads((out / "results.json").read_text())


def test_evaluate_prints_the_figures(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a table for people, and as JSON for scripts."""
    assert main(["evaluate", str(model), "kittens:20", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("20 pictures\n\nReconstruction\n  MSE ")
    command = ["evaluate", str(model), "kittens:20", "--training", "kittens:40", "--samples", "3"]
    assert main([*command, "--device", "cpu", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["pictures"] == 20
    assert figures["mixture_frechet"] > 0
    assert figures["log_likelihood"] < 0


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "must map names to models"),
        ('{"a": {"modle": {}}}', "'a' must have `model` and `loss`"),
        ('{"a": {"model": {"channels": []}}}', "'a': `channels`"),
        ('{"a": {"loss": {"beta": -1}}}', "'a': `beta`"),
        ('{"a": {"file": "nowhere.safetensors"}}', "nowhere.safetensors"),
    ],
)
def test_a_bad_file_of_models_is_one_line(
    entries: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error names the file's fault, and nothing is left behind."""
    spec = tmp_path / "models.json"
    spec.write_text(entries)
    out = tmp_path / "report"
    assert main(["compare", "kittens:60", "--models", str(spec), "--out", str(out), *SMALL]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert message in said.err
    assert said.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("compare kittens:60", "nothing to compare"),
        ("compare kittens:60 --betas -1", "`beta`"),
        ("compare kittens:60 --betas 1 1", "twice"),
        ("compare kittens:60 --betas 1 --validation 2", "`validation`"),
        ("compare nowhere --betas 1", "nowhere"),
    ],
)
def test_bad_arguments_are_one_line(
    command: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 2, one line, nothing left behind."""
    monkeypatch.chdir(tmp_path)
    assert main([*command.split(), *SMALL]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert said.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
