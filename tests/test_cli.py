"""The command line: what each command leaves and says, and its exit codes."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from easyvae import VAE, interpolate
from easyvae.cli import COMMANDS, demo, main
from easyvae.kittens import draw_kittens

Image = pytest.importorskip("PIL.Image")

PLACES = ("MISSING", "EMPTY", "HTML", "BEGUN", "OUT", "OUT.mp4", "OUT.gif")
TRAIN = "--channels 4 8 --latent 3 --image-size 16 --epochs 2 --device cpu".split()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 kitten pictures, five of them copies."""
    folder = tmp_path_factory.mktemp("cats")
    for i, pixels in enumerate(draw_kittens(25, size=16)[0]):
        image = Image.fromarray(pixels.transpose(1, 2, 0))
        image.save(folder / f"{i}.png")
        if i < 5:
            image.save(folder / f"copy{i}.png")
    return folder


@pytest.fixture(scope="module")
def trained(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder."""
    out = tmp_path_factory.mktemp("run")
    assert main(["train", str(folder), *TRAIN, "--out", str(out), "--quiet"]) == 0
    return out


def opened(path: Path) -> Any:
    """Reads a picture and closes its file."""
    with Image.open(path) as image:
        image.load()
        return image


def test_train_reports_copies_and_leaves_everything(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Model, history and curves, with the number of pictures and copies on standard error."""
    out = tmp_path / "run"
    assert main(["train", str(folder), *TRAIN, "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "30 pictures, 5 byte-identical copies (dropped)" in said.err
    assert "on 23 images (2 held out)" in said.err
    for name in ("model.safetensors", "history.csv", "curves.png", "run.json"):
        assert (out / name).is_file()
    assert said.out.split() == [
        str(out / name) for name in ("model.safetensors", "history.csv", "curves.png")
    ]


def test_train_resumes_and_prints_json(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With more epochs the same command goes on; --json prints the last epoch's figures."""
    command = ["train", str(folder), *TRAIN, "--out", str(tmp_path), "--json"]
    assert main(command) == 0
    assert main([*command, "--epochs", "3"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out.splitlines()[-1])["epoch"] == 3
    assert "going on after epoch 2" in err


def test_train_takes_every_option(folder: Path, tmp_path: Path) -> None:
    """Grey and wide pictures, per-layer lists, a schedule, other terms, data for validation."""
    options = (
        "--channels 4 8 --latent 3 --image-size 12 20 --grey --kernel-size 4 3 --stride 2 1 "
        "--activation relu --norm group --residual-blocks 1 0 --beta 0.5 --warmup 0.5 "
        "--reconstruction mse --free-bits 0.1 --epochs 1 --batch-size 8 --lr 0.001 --flip "
        "--keep-copies --seed 3 --precision float32 --device cpu"
    )
    command = ["train", str(folder), *options.split(), "--validation", str(folder)]
    assert main([*command, "--out", str(tmp_path)]) == 0
    config = VAE.load(tmp_path).config
    assert config["image_size"] == [12, 20]
    assert config["in_channels"] == 1
    assert config["stride"] == [2, 1]


@pytest.mark.parametrize("name", ["mix.png", "mix.gif", "deep/mix.webp"])
def test_mix_writes_a_strip_or_an_animation(
    folder: Path, trained: Path, tmp_path: Path, name: str
) -> None:
    """Ten frames side by side, or one after another."""
    pair = [str(folder / "7.png"), str(folder / "9.png")]
    assert main(["mix", *pair, "--model", str(trained), "--out", str(tmp_path / name)]) == 0
    with Image.open(tmp_path / name) as image:
        assert image.size == ((16, 16) if name.endswith("gif") else (178, 16))


def test_mix_begins_and_ends_with_the_reconstructions(
    folder: Path, trained: Path, tmp_path: Path
) -> None:
    """The strip's outer frames are the model's reconstructions, to the byte."""
    pair = [folder / "7.png", folder / "9.png"]
    strip = tmp_path / "mix.png"
    command = ["mix", *map(str, pair), "--model", str(trained / "model.safetensors")]
    assert main([*command, "--steps", "4", "--out", str(strip), "--method", "lerp"]) == 0
    images = torch.from_numpy(draw_kittens(25, size=16)[0])[[7, 9]]
    frames = interpolate(VAE.load(trained), *images, steps=4, method="lerp")
    expected = (frames * 255).round().to(torch.uint8)
    got = torch.tensor(list(opened(strip).tobytes()), dtype=torch.uint8)
    got = got.reshape(16, 70, 3).permute(2, 0, 1)
    for i in range(4):
        assert torch.equal(got[:, :, 18 * i : 18 * i + 16], expected[i])


def test_sample_writes_a_grid_that_the_seed_decides(trained: Path, tmp_path: Path) -> None:
    """Nine samples are three by three; the same seed gives the same file."""
    files = []
    for i, seed in enumerate((1, 1, 2)):
        path = tmp_path / f"{i}.png"
        options = f"--model {trained} -n 9 --seed {seed} --temperature 0.8 --device cpu"
        assert main(["sample", *options.split(), "--out", str(path)]) == 0
        files.append(path.read_bytes())
    assert opened(tmp_path / "0.png").size == (52, 52)
    assert files[0] == files[1] != files[2]


def test_sample_may_draw_from_the_latents_of_pictures(trained: Path, tmp_path: Path) -> None:
    """With --images it decodes samples of a mixture fitted to them, and the seed decides all."""
    files = []
    for i, more in enumerate(("1", "1", "2", "1 --components 3", "1 --temperature 0")):
        path = tmp_path / f"{i}.png"
        options = f"--model {trained} -n 9 --images kittens:64 --device cpu --seed {more}"
        assert main(["sample", *options.split(), "--out", str(path)]) == 0
        files.append(path.read_bytes())
    assert opened(tmp_path / "0.png").size == (52, 52)
    assert files[0] == files[1]
    assert len(set(files)) == 4


def test_samples_from_latents_are_where_the_latents_are(folder: Path, tmp_path: Path) -> None:
    """Latents far outside the prior are found: each of these is 30, and so is each sample."""
    model = VAE(channels=[4], latent=3, image_size=16)
    with torch.no_grad():
        model.encoder.mean.weight.zero_()
        model.encoder.mean.bias.fill_(30)
        model.encoder.log_var.bias.fill_(-30)
        expected = (model.decode(torch.full((1, 3), 30.0))[0] * 255).permute(1, 2, 0)
    model.save(tmp_path / "far.safetensors")
    out = tmp_path / "sample.png"
    options = f"--model {tmp_path / 'far.safetensors'} --images {folder} -n 1 --device cpu"
    assert main(["sample", *options.split(), "--out", str(out)]) == 0
    got = torch.tensor(list(opened(out).tobytes())).reshape(16, 16, 3)
    torch.testing.assert_close(got.float(), expected, rtol=0, atol=1)


def test_info_tells_about_pictures(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Counts, sizes and copies, as text and as JSON, and a contact sheet."""
    sheet = tmp_path / "sheet.png"
    assert main(["info", str(folder), "--sheet", str(sheet)]) == 0
    assert "30 pictures" in capsys.readouterr().out
    assert opened(sheet).width == 10 * 64 + 9 * 2
    assert main(["info", str(folder), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["pictures"], found["copies"]) == (30, 5)
    assert found["sizes"] == {"16x16": 30}


def test_info_tells_about_a_model(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The stages as text, the config as JSON, for a run folder and for a file."""
    assert main(["info", str(trained)]) == 0
    assert "3x16x16 <-> 3 latents" in capsys.readouterr().out
    assert main(["info", str(trained / "model.safetensors"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["config"]["channels"] == [4, 8]


def test_kittens_stand_for_themselves(capsys: pytest.CaptureFixture[str]) -> None:
    """`kittens:N` is a set of pictures wherever a path is."""
    assert main(["info", "kittens:12", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["pictures"] == 12


def test_demo_leaves_pictures_and_a_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a tiny model and few kittens it does the whole job in a second."""
    for name, value in {"KITTENS": 60, "EPOCHS": 1, "CHANNELS": (4, 8)}.items():
        monkeypatch.setattr(demo, name, value)
    assert main(["demo", "--out", str(tmp_path / "demo"), "--device", "cpu"]) == 0
    left = {path.name for path in (tmp_path / "demo").iterdir()}
    assert left >= {
        "reconstructions.png",
        "mix.png",
        "mix.gif",
        "samples.png",
        "curves.png",
        "model.safetensors",
    }


def test_demo_does_not_begin_in_a_folder_of_something_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nor where nobody can tell: the error names what is there."""
    for text in ("{", "[]", '{"must_match": 3}', '{"must_match": {"model": {}}}'):
        (tmp_path / "run.json").write_text(text)
        assert main(["demo", "--out", str(tmp_path), "--device", "cpu"]) == 2
        said = capsys.readouterr().err
        assert str(tmp_path) in said
        assert said.count("\n") == 1
        assert (tmp_path / "run.json").read_text() == text


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ("train MISSING", "MISSING"),
        ("train EMPTY", "EMPTY"),
        ("train HTML", "HTML"),
        ("train kittens:0", "kittens:0"),
        ("train kittens:9 --channels 4 4 4 4 4 4 4 4", "channels"),
        ("train kittens:9 --beta -1", "beta"),
        ("train kittens:9 --grey", "kittens"),
        ("train kittens:9 --epochs 0 --out OUT", "epochs"),
        ("train kittens:9 --optimizer adam", "--optimizer"),
        ("train kittens:1 --out OUT", "validation"),
        ("mix PICTURE CUT --model RUN", "CUT"),
        ("mix PICTURE MISSING --model RUN", "MISSING"),
        ("mix PICTURE PICTURE --model PICTURE", "PICTURE"),
        ("mix PICTURE PICTURE --model MISSING", "MISSING"),
        ("mix PICTURE PICTURE --model RUN --steps 0", "steps"),
        ("mix PICTURE PICTURE --model RUN --out OUT.mp4", "mp4"),
        ("sample --model RUN -n 0", "`n`"),
        ("sample --model RUN --components 3", "--components needs --images PATH"),
        ("sample --model RUN --images kittens:9 --components 0", "`components`"),
        ("sample --model RUN --images kittens:9", "`components` (=10)"),
        ("sample --model RUN --images kittens:12 -n 0", "`n`"),
        ("sample --model RUN --images MISSING", "MISSING"),
        ("info RUN --sheet x.png", "--sheet"),
        ("info BEGUN", "has not saved a model yet"),
        ("train kittens:60 --seed 99999999999999999999", "--seed"),
        ("train kittens:60 --seed -1", "--seed"),
        ("train kittens:60 --image-size 12 --channels 4", "at least 16 pixels wide"),
        ("train kittens:60 --warmup 2", "--warmup"),
        ("sample --model RUN -n 1000000000", "megapixels"),
        ("mix PICTURE PICTURE --model RUN --scale 100000", "megapixels"),
        ("mix PICTURE PICTURE --model RUN --scale 700 --out OUT.gif", "megapixels"),
        ("export RUN --out PICTURE", "must be a folder"),
        ("compose", "compose"),
        ("", "COMMAND"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: str,
    named: str,
    folder: Path,
    trained: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The line names what was wrong, and nothing is left behind."""
    cut = tmp_path / "CUT.jpg"
    Image.fromarray(draw_kittens(1)[0][0].transpose(1, 2, 0)).save(cut)
    cut.write_bytes(cut.read_bytes()[:-200])
    (tmp_path / "EMPTY").mkdir()
    (tmp_path / "HTML").mkdir()
    (tmp_path / "BEGUN").mkdir()
    (tmp_path / "BEGUN" / "run.json").write_text("{}")
    (tmp_path / "HTML" / "page.jpg").write_text("<html><body>Not found</body></html>")
    places = {
        "PICTURE": folder / "1.png",
        "RUN": trained,
        **{name: tmp_path / name for name in PLACES},
        "CUT": cut,
    }
    before = sorted(tmp_path.rglob("*"))
    words = [str(places.get(word, word)) for word in arguments.split()]
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(stop.code or 0)
    said = capsys.readouterr()
    assert code == 2
    assert said.out == ""
    last = said.err.rstrip("\n").splitlines()
    assert len(last) == 1
    assert str(places.get(named, named)) in last[0]
    assert "Errno" not in last[0]
    left = [p for p in sorted(tmp_path.rglob("*")) if p not in before and p.is_file()]
    assert not left


def test_python_dash_m_is_the_same() -> None:
    """`python -m easyvae --version` names the version."""
    done = subprocess.run(
        [sys.executable, "-m", "easyvae", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("easyvae 0.")


def test_ctrl_c_is_exit_code_130(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The last line says that the same command goes on from the step it names."""
    from test_training_loop import interrupt, stop_at

    stop_at(monkeypatch, 0, interrupt)
    assert main(["train", str(folder), *TRAIN, "--out", str(tmp_path)]) == 130
    assert "goes on from step 2" in capsys.readouterr().err.splitlines()[-1]


def test_sigterm_is_exit_code_143(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its last line is that of Ctrl-C."""
    from test_training_loop import stop_at

    stop_at(monkeypatch, 0, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert main(["train", str(folder), *TRAIN, "--out", str(tmp_path)]) == 143
    assert "goes on from step 2" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments", [["train", "", "--out", "x"], ["train", "kittens:60", "--validation", ""]]
)
def test_an_empty_path_is_not_the_current_folder(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """As of a variable that is not set: nothing is read or written there."""
    monkeypatch.chdir(tmp_path)
    assert main([*arguments, "--channels", "4", "--image-size", "16", "--quiet"]) == 2
    assert "is empty" in capsys.readouterr().err
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    "error",
    [
        FileNotFoundError(2, "No such file", "a\x1b[2J\a\nb\udce9"),
        ValueError("a\x1b[2J\a\nb\udce9: is no model"),
        RuntimeError("a\x1b[2J\a b\udce9"),
    ],
)
def test_an_error_is_one_line_that_can_be_printed(
    error: Exception, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever name a file has, its error neither commands the terminal nor forges a line."""

    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(COMMANDS["info"], "run", fail)
    assert main(["info", "x"]) in (1, 2)
    said = capsys.readouterr().err
    assert said.endswith("\n")
    assert said[:-1].isprintable()
    assert r"\x1b[2J\x07" in said


def test_training_twice_in_one_folder_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the first run has drawn is no data of the second, which resumes."""
    for i, pixels in enumerate(draw_kittens(20, size=16)[0]):
        Image.fromarray(pixels.transpose(1, 2, 0)).save(tmp_path / f"{i}.png")
    monkeypatch.chdir(tmp_path)
    assert main(["train", ".", *TRAIN]) == 0
    assert list(tmp_path.glob("runs/*/curves.png"))
    assert "20 pictures, 0 byte-identical copies, 0 unreadable" in capsys.readouterr().err
    assert main(["train", ".", *TRAIN]) == 0
    said = capsys.readouterr().err
    assert "20 pictures" in said
    assert "1 run folder left out" in said
    assert main(["train", "runs/" + tmp_path.name, *TRAIN]) == 2
    assert "holds a run or comparison of easyvae" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
@pytest.mark.parametrize("name", ["run.json", ".lock", "history.csv", "curves.png"])
def test_a_pipe_in_a_run_folder_is_not_waited_for(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run folder may be anyone's: what is in a file's place there is refused, by its path."""
    os.mkfifo(tmp_path / name)
    assert main(["train", str(folder), *TRAIN, "--out", str(tmp_path), "--quiet"]) in (1, 2)
    said = capsys.readouterr().err
    refused = f"{tmp_path / name}: is not a regular file"
    if name == "history.csv":  # of a run that is not there
        refused = "holds history.csv but no run.json"
    assert refused in said
    assert (tmp_path / name).is_fifo()


def test_without_matplotlib_a_run_has_no_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is trained all the same, and a line names what to install."""
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert main(["train", "kittens:30", *TRAIN, "--out", str(tmp_path), "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err.startswith("no curves.png: plotting needs matplotlib: pip install ")
    assert "curves" not in said.out


def test_torchs_errors_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Those of a model that no memory could hold, for one."""
    assert main(["train", "kittens:60", "--channels", "1000000000"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
