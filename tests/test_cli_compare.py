"""The commands `compare` and `evaluate`."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from easyvae import VAE
from easyvae.cli import main
from easyvae.data import Pictures, split
from easyvae.data.sources import open_source
from easyvae.evaluation import evaluate
from easyvae.kittens import draw_kittens

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

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
    (tmp_path / "own.png").write_bytes((out / "samples.png").read_bytes())
    source = open_source(tmp_path)  # a comparison's pictures are nobody's data
    assert (source.names, source.runs) == (["own.png"], 1)


def test_what_a_file_of_models_leaves_out_is_as_on_the_command_line(tmp_path: Path) -> None:
    """The architecture, the reconstruction term, and the default beta."""
    spec = tmp_path / "models.json"
    entries = {"a": {}, "b": {"model": {"channels": [4]}, "loss": {"beta": 2}}}
    spec.write_text(json.dumps(entries))
    options = "--channels 4 8 --latent 3 --image-size 16 --epochs 1 --reconstruction mse".split()
    command = ["compare", "kittens:60", "--models", str(spec), "--out", str(tmp_path / "report")]
    assert main([*command, *options, "--device", "cpu", "--quiet"]) == 0
    for name, channels, beta in (("a", [4, 8], 0.1), ("b", [4], 2.0)):
        record = json.loads((tmp_path / "report" / "runs" / name / "run.json").read_text())
        assert record["must_match"]["model"]["channels"] == channels
        assert re.search(rf"beta\W+{beta:g}\b.*mse", str(record["must_match"]["loss"]))


def test_compare_takes_what_train_takes_of_models_and_training(tmp_path: Path) -> None:
    """Both have the same options for them, and all models get what is given."""
    options = (
        "--channels 4 8 --latent 3 --image-size 16 --kernel-size 4 3 --stride 2 1 --norm group "
        "--activation relu --residual-blocks 1 0 --hidden 5 --epochs 1 --lr 0.003 --flip "
        "--precision float32 --validation kittens:8 --device cpu --quiet"
    )
    command = ["compare", "kittens:40", "--betas", "1", *options.split(), "--out", str(tmp_path)]
    assert main(command) == 0
    record = json.loads((tmp_path / "results.json").read_text())
    facts, (entry,) = record["facts"], record["models"].values()
    assert (facts["lr"], facts["precision"], facts["held_out"]) == (0.003, "float32", 8)
    assert (entry["config"]["stride"], entry["config"]["hidden"]) == ([2, 1], [5])


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_a_killed_comparison_ends_with_the_same_numbers(
    tmp_path: Path, chosen_precision: str
) -> None:
    """Killed in the second model's training, the same command goes on from its last epoch."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    command = ["compare", "kittens:60", "--betas", "2", "0.05", *SMALL, "--epochs", "9", "--out"]
    program = f"""
import sys, torch
from easyvae import cli
from easyvae.training import distributed as processes
torch.set_num_threads(1)  # sums depend on how they are shared out
processes.bfloat16_is_fast = lambda device: {chosen_precision == "bfloat16"}
sys.exit(cli.main())
"""
    checkpoints = cut / "runs" / "beta-0.05" / "checkpoints"
    with subprocess.Popen([sys.executable, "-c", program, *command, str(cut)]) as process:
        while process.poll() is None and not any(checkpoints.glob("step-*")):
            time.sleep(0.002)
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (cut / "results.json").exists()
    records = []
    for out in (cut, whole):
        assert main([*command, str(out)]) == 0
        record = json.loads((out / "results.json").read_text())
        for entry in record["models"].values():
            del entry["seconds"]
        records.append(record)
    assert records[0] == records[1]
    for path in (whole / "models").iterdir():
        assert path.read_bytes() == (cut / "models" / path.name).read_bytes()


def test_evaluate_prints_the_figures(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As a table for people, and as JSON for scripts."""
    assert main(["evaluate", str(model), "kittens:20", "--device", "cpu"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("20 pictures\n\nReconstruction\n  MSE ")
    command = ["evaluate", str(model), "kittens:20", "--training", "kittens:40", "--samples", "3"]
    assert main([*command, "--device", "cpu", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["pictures"], figures["part"]) == (20, "all")
    assert figures["mixture_frechet"] > 0
    assert figures["log_likelihood"] < 0


def measured(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[dict[str, Any], str]:
    """Evaluates, and returns the figures and what standard error has."""
    command = ["evaluate", *map(str, arguments), "--device", "cpu", "--json"]
    assert main(command) == 0
    said = capsys.readouterr()
    return json.loads(said.out), said.err


def train(path: object, out: Path, *more: str) -> None:
    assert main(["train", str(path), *SMALL, "--out", str(out), *more]) == 0


def test_evaluate_measures_what_the_run_has_held_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures are those of the held-out pictures, with the others as those for training."""
    train("kittens:60", tmp_path, "--validation", "0.2", "--seed", "3", "--flip")
    kittens = Pictures(torch.from_numpy(draw_kittens(60, size=16)[0]))
    training, held_out = (kittens.gather(rows) for rows in split(kittens, 0.2, 3))
    expected = evaluate(VAE.load(tmp_path), held_out, training).figures
    capsys.readouterr()
    figures, warning = measured(capsys, tmp_path, "kittens:60")
    assert (figures["pictures"], figures["part"]) == (12, "held-out")
    assert warning == ""
    for name in ("mse", "kl", "ssim"):
        assert figures[name] == pytest.approx(expected[name])
    assert figures["mixture_frechet"] is not None
    assert figures["slerp_distance"] is not None
    others, _ = measured(capsys, tmp_path, "kittens:60", "--training", "kittens:30")
    assert others["mse"] == figures["mse"]
    assert others["slerp_distance"] != figures["slerp_distance"]
    assert main(["evaluate", str(tmp_path), "kittens:60", "--device", "cpu"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == "12 pictures that the run held out of 60"


def test_evaluate_warns_of_pictures_that_the_run_has_seen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on standard error; other pictures are measured without a word."""
    train("kittens:60", tmp_path, "--validation", "none")
    capsys.readouterr()
    figures, warning = measured(capsys, tmp_path, "kittens:60")
    assert (figures["pictures"], figures["part"]) == (60, "training")
    assert "was trained on all of kittens:60" in warning
    assert warning.count("\n") == 1
    figures, warning = measured(capsys, tmp_path, "kittens:50")
    assert (figures["pictures"], figures["part"], warning) == (50, "all", "")


def test_evaluate_finds_the_pictures_of_a_run_that_kept_copies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether copies were dropped or kept, only held-out pictures are measured."""
    folder = tmp_path / "cats"
    folder.mkdir()
    for i, pixels in enumerate(draw_kittens(20, size=16)[0]):
        for copy in range(1 + (i < 5)):
            Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f"{i}-{copy}.png")
    for out, more, count in (("dropped", [], 4), ("kept", ["--keep-copies"], 5)):
        train(folder, tmp_path / out, "--validation", "0.2", *more)
        capsys.readouterr()
        figures, _ = measured(capsys, tmp_path / out, folder)
        assert (figures["pictures"], figures["part"]) == (count, "held-out")


def test_evaluate_names_damaged_settings(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without them nobody knows what the run has held out."""
    (tmp_path / "model.safetensors").write_bytes(model.read_bytes())
    (tmp_path / "run.json").write_text("{")
    assert main(["evaluate", str(tmp_path), "kittens:20", "--device", "cpu"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert str(tmp_path / "run.json") in said.err
    assert said.err.count("\n") == 1


def test_a_training_that_breaks_down_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The one line on standard error tells which model it was, and the others' runs remain."""
    command = ["compare", "kittens:60", "--betas", "1", "1e300", "--out", str(tmp_path), *SMALL]
    assert main(command) == 1
    said = capsys.readouterr()
    assert re.match(r"easyvae: model 'beta 1e\+300': the \w+ of step 1 is not finite", said.err)
    assert said.err.count("\n") == 1
    assert (tmp_path / "runs" / "beta-1" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ("{", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ("[" * 100_000, "models.json: is not JSON"),
        ('{"a": {}, "a": {}}', "names a twice"),
        ('{"a": 1}', "must map names to models"),
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
