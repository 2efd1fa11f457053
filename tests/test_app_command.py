"""The command `easyvae app`: what it serves, and how it says what is wrong."""

import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from app_tools import httpx, make_model
from easyvae import VAE
from easyvae.cli import app as command
from easyvae.cli import main
from easyvae.core.files import printable


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


def run_naming(folder: Path, pictures: Any) -> Path:
    """Makes a run folder of a stranger, and returns its model's file."""
    folder.mkdir(parents=True)
    make_model().save(folder / "model.safetensors")
    known = {"data": "a", "validation": None, "seed": 0}
    (folder / "run.json").write_text(json.dumps({"pictures": pictures, "must_match": known}))
    return folder / "model.safetensors"


class Terminal(io.StringIO):
    """Somebody who answers, and whom questions reach."""

    def isatty(self) -> bool:
        return True


def test_kittens_need_no_question(tmp_path: Path) -> None:
    """Those that a run was trained on, up to a number, and those where it does not tell."""
    options = "--channels 4 --latent 2 --image-size 16 --epochs 1 --device cpu --quiet".split()
    assert main(["train", "kittens:12", *options, "--out", str(tmp_path / "run")]) == 0
    for host in ("127.0.0.1", "0.0.0.0"):
        for file, pictures in (
            (tmp_path / "run" / "model.safetensors", "kittens:12"),
            (tmp_path / "nowhere.safetensors", "kittens"),
        ):
            assert command.pictures_of_run(file, host) == pictures
    most = run_naming(tmp_path / "most", f"kittens:{command.MOST_KITTENS}")
    assert command.pictures_of_run(most, "::1") == f"kittens:{command.MOST_KITTENS}"
    assert command.pictures_of_run(run_naming(tmp_path / "array", None), "::1") == "kittens"


STRANGE = [
    "/etc",
    "../..",
    "cats.zip",
    "kittens:50000000",
    "kittens:x",
    "//host/share",
    "./kittens",
]


@pytest.mark.parametrize("named", [*STRANGE, "a\x1b[2J\x07\nb\udce9"])
@pytest.mark.parametrize("host", ["127.0.0.1", pytest.param("0.0.0.0", marks=pytest.mark.slow)])
def test_what_a_run_names_is_not_opened_by_itself(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    named: str,
    host: str,
) -> None:
    """Nothing of it is looked at; the error has the whole path, and what to pass."""
    monkeypatch.chdir(tmp_path)
    file = run_naming(tmp_path / "run", named)
    monkeypatch.setattr(command, "open_pictures", None)  # to open any would be an error
    if host == "0.0.0.0":  # beyond this machine no question will do
        monkeypatch.setattr(sys, "stdin", Terminal("y\n"))
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    options = ["--model", str(file), "--host", host, "--port", "0", "--no-browser"]
    assert main(["app", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.isprintable()
    whole = os.path.abspath(named)  # noqa: PTH100  # as the command does: `resolve` asks the disk
    shown = printable(named if named.startswith("kittens:") else whole)
    assert f"--images {shlex.quote(shown)}, or --images kittens" in line


@pytest.mark.parametrize(("answer", "agreed"), [("y", True), ("YES", True), ("", False), ("n", 0)])
def test_in_a_terminal_it_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, agreed: bool
) -> None:
    """It shows the whole path, printable; only a yes is one."""
    monkeypatch.chdir(tmp_path)
    file = run_naming(tmp_path / "run", "cats\x1b\n")
    said = Terminal()
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n" if answer else ""))
    monkeypatch.setattr(sys, "stderr", said)
    if agreed:
        assert command.pictures_of_run(file, "localhost") == str(tmp_path / "cats\x1b\n")
    else:
        with pytest.raises(ValueError, match="--images kittens"):
            command.pictures_of_run(file, "localhost")
    assert str(tmp_path / "cats\\x1b\\n") in said.getvalue()


@pytest.mark.parametrize("options", [["--images", "nowhere"], []])
def test_with_images_given_no_run_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    """Only without is what is wrong with its settings of any interest."""
    file = run_naming(tmp_path / "run", ["/etc"])
    assert main(["app", "--model", str(file), "--port", "0", "--no-browser", *options]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert ("nowhere" if options else "run.json: is not a run's settings: `pictures`") in line


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
