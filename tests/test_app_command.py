"""The command `easyvae app`: what it serves, and how it says what is wrong."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app_tools import Image, encode, httpx, make_model, make_pictures
from easyvae import VAE
from easyvae.cli import app as command
from easyvae.cli import main


def test_without_a_model_it_says_how_to_make_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with exit code 2."""
    monkeypatch.chdir(tmp_path)
    assert main(["app", "--no-browser"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "run `easyvae demo` first" in line


def test_a_busy_port_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It names the way out, before any picture is read."""
    make_model().save(tmp_path / "m.safetensors")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ["--model", str(tmp_path / "m.safetensors"), "--port", port, "--no-browser"]
        assert main(["app", *options]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert f"port {port} is in use: choose another with --port" in line


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (["--model", "nowhere"], "nowhere"),
        (["--model", "."], "a folder without a model"),
        (["--model", "MODEL", "--port", "70000"], "must be from 0 to 65535"),
        (["--model", "MODEL", "--port", "0", "--images", "nowhere"], "no such file or folder"),
        (["--model", "GREY", "--port", "0"], "which no kitten has"),
        (["--model", "GREY", "--model", "MODEL", "--images", "nowhere"], "one size; grey takes"),
        (["--model", "SOUND", "--images", "nowhere"], "the mixer shows pictures"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    text: str,
) -> None:
    """With exit code 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    make_model().save(tmp_path / "model" / "m.safetensors")
    VAE([4], 2, image_size=16, in_channels=1).save(tmp_path / "model" / "grey.safetensors")
    VAE([4], 2, image_size=(64,), in_channels=1).save(tmp_path / "model" / "sound.safetensors")
    files = {"MODEL": "m", "GREY": "grey", "SOUND": "sound"}
    options = [
        f"model/{files[option]}.safetensors" if option in files else option for option in options
    ]
    assert main(["app", "--no-browser", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert text in line


def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the command that installs it."""
    make_model().save(tmp_path / "m.safetensors")
    for name in [name for name in sys.modules if name.startswith("easyvae.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette", None)
    assert main(["app", "--model", str(tmp_path / "m.safetensors")]) == 1
    assert 'pip install "starlette>=' in capsys.readouterr().err


def test_models_are_found_and_named(tmp_path: Path) -> None:
    """Files, run folders and a comparison's folder, in its order; no two by one name."""
    run, other, report = tmp_path / "cats", tmp_path / "b" / "cats", tmp_path / "report"
    for folder in (run, other, report / "models"):
        folder.mkdir(parents=True)
    for path in (
        run / "model.safetensors",
        other / "model.safetensors",
        tmp_path / "x.safetensors",
    ):
        make_model().save(path)
    for name in ("beta-0.5", "beta-2"):
        make_model().save(report / "models" / f"{name}.safetensors")
    (report / "results.json").write_text(json.dumps({"models": {"beta 2": {}, "beta 0.5": {}}}))
    given = [run, other / "model.safetensors", tmp_path / "x.safetensors", report]
    found = command.find_models([str(path) for path in given])
    assert list(found) == ["cats", "cats (2)", "x", "beta 2", "beta 0.5"]
    assert found["beta 2"].name == "beta-2.safetensors"
    for text in ("[" * 100_000, '{"models": 5}', "[]", ""):  # then the files' names have to do
        (report / "results.json").write_text(text)
        assert list(command.find_models([str(report)])) == ["beta-0.5", "beta-2"]


def test_a_set_has_a_title(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder's own name, even where the path does not say it."""
    (tmp_path / "cats" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "cats")
    for path in (".", "../cats", "../cats/", "inner/..", str(tmp_path / "cats")):
        assert command.title_of(path) == "cats"


def test_the_pictures_are_those_of_the_run(tmp_path: Path) -> None:
    """If its settings tell and they are still there, else kittens."""
    cats = tmp_path / "cats"
    cats.mkdir()
    for i, pixels in enumerate(make_pictures(12).images):
        (cats / f"{i}.png").write_bytes(encode(Image.fromarray(pixels.permute(1, 2, 0).numpy())))
    options = "--channels 4 --latent 2 --image-size 16 --epochs 1 --device cpu --quiet".split()
    for path, origin in ((str(cats), str(cats)), ("kittens:12", "kittens:12")):
        out = tmp_path / f"run-{Path(path).name}"
        assert main(["train", path, *options, "--out", str(out)]) == 0
        assert command.trained_on(out / "model.safetensors") == origin
    for file in cats.iterdir():
        file.unlink()
    cats.rmdir()
    assert command.trained_on(tmp_path / "run-cats" / "model.safetensors") == "kittens"
    assert command.trained_on(tmp_path / "nowhere.safetensors") == "kittens"


@pytest.mark.skipif(os.name != "posix", reason="stopped by a signal")
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_serves_until_it_is_stopped(tmp_path: Path, host: str) -> None:
    """The page is there; Ctrl-C ends it quietly; all addresses come with a warning."""
    make_model().save(tmp_path / "m.safetensors")
    environment = {**os.environ, "EASYVAE_CACHE": str(tmp_path / "cache")}
    arguments = ["app", "--model", str(tmp_path / "m.safetensors"), "--images", "kittens:20"]
    arguments += ["--host", host, "--port", "0", "--no-browser"]
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "easyvae",
            *arguments,
            "--host",
            host,
            "--port",
            "0",
            "--no-browser",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        (address,) = re.findall(r"http://127\.0\.0\.1:\d+/", line)
        assert "<!doctype html>" in httpx.get(address, timeout=30).text
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0
    assert "Traceback" not in said
    assert ("without a password" in said) == (host == "0.0.0.0")
