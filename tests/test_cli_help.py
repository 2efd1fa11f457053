"""The command line's help and usage errors: complete, to the point, and at once."""

import argparse
import inspect
import subprocess
import sys

import pytest
import torch

from easyvae import VAE, fit
from easyvae.cli import COMMANDS, common, main, make_parser
from easyvae.losses import RECONSTRUCTION_TERMS
from easyvae.model.network import ACTIVATIONS, NORMS
from easyvae.training.distributed import choose_precision
from easyvae.training.optim import DEFAULT_BATCH_SIZE, DEFAULT_LR


def parser_of(command: str) -> argparse.ArgumentParser:
    """Returns the parser of one command."""
    (commands,) = (action for action in make_parser()._actions if action.dest == "==SUPPRESS==")
    found = dict(commands.choices or {})[command]
    assert isinstance(found, argparse.ArgumentParser)
    return found


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` of each, and of all together, ends with exit code 0."""
    with pytest.raises(SystemExit) as stop:
        main([*command.split(), "--help"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: easyvae {command}".strip())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_describes_every_argument(command: str) -> None:
    """In a few words; it never shows a default of Python's kind."""
    parser = parser_of(command)
    assert [action.dest for action in parser._actions if not action.help] == []
    text = parser.format_help()
    assert not any(word in text for word in ("None", "==", "[]", "default: [", "default: ("))


@pytest.mark.parametrize("command", COMMANDS)
def test_help_states_each_default_once_as_it_is_typed(command: str) -> None:
    """What an option says is its default is understood as just that."""
    parser = parser_of(command)
    for action in parser._actions:
        if action.option_strings and action.default not in (None, [], False, "==SUPPRESS=="):
            text = common.Help("")._get_help_string(action)
            assert text.count("default: ") == 1
            typed = text.rpartition("(default: ")[2].removesuffix(")").split()
            again = parser.parse_known_args([*needed(parser), action.option_strings[-1], *typed])
            default = action.default
            assert getattr(again[0], action.dest) == (
                list(default) if isinstance(default, tuple) else default
            )


def needed(parser: argparse.ArgumentParser) -> list[str]:
    """Returns words for the arguments that a command cannot do without."""
    words = []
    for action in parser._actions:
        if action.required:
            words += [*action.option_strings[:1], "x"]
    return words


def test_train_states_its_defaults() -> None:
    """Those of the model, the loss and the training, each beside its option."""
    text = " ".join(parser_of("train").format_help().split())
    for option, default in {
        "--channels": "32 64 128 256",
        "--latent": "128",
        "--image-size": "64",
        "--kernel-size": "4",
        "--stride": "2",
        "--activation": "silu",
        "--beta": "0.1",
        "--reconstruction": "bce",
        "--epochs": "20",
        "--lr": "0.002",
        "--validation": "0.1",
        "--seed": "0",
    }.items():
        beside = text.rpartition(f" {option} ")[2].partition(" --")[0]
        assert f"(default: {default})" in beside, option


def test_choices_and_defaults_are_the_librarys() -> None:
    """What the command line lists without loading the library is what the library has."""
    assert common.ACTIVATIONS == tuple(ACTIVATIONS)
    assert common.NORMS == NORMS
    assert common.RECONSTRUCTIONS == tuple(RECONSTRUCTION_TERMS)
    assert common.LR == DEFAULT_LR
    words = f"default: {DEFAULT_BATCH_SIZE}, or {DEFAULT_BATCH_SIZE // 2} with warps"
    assert words in common.BATCH_SIZES
    for precision in common.PRECISIONS:
        choose_precision(precision, torch.device("cpu"))
    given = make_parser().parse_args(["train", "x"])
    for name in ("epochs", "precision", "seed", "device"):
        assert getattr(given, name) == inspect.signature(fit).parameters[name].default
    assert float(given.validation) == inspect.signature(fit).parameters["validation"].default
    for name in ("image_size", "kernel_size", "stride", "residual_blocks"):
        assert getattr(given, name) == [inspect.signature(VAE).parameters[name].default]
    for name in ("activation", "norm"):
        assert getattr(given, name) == inspect.signature(VAE).parameters[name].default


@pytest.mark.parametrize(
    "arguments",
    ["--help", "--version", "train --help", "app --help", "mix", "train PATH --bogus", "bogus"],
)
def test_help_and_usage_errors_do_not_wait_for_torch(arguments: str) -> None:
    """Neither torch nor NumPy is loaded for them."""
    code = (
        "import sys; from easyvae.cli import main\n"
        f"try: main({arguments.split()})\n"
        "except SystemExit: print(*{'torch', 'numpy'} & sys.modules.keys(), 'loaded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == " loaded".strip()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("train PATH --bogus 3", "train: unrecognized arguments: --bogus 3"),
        ("info PATH another", "info: unrecognized arguments: another"),
        ("mix A B", "mix: the following arguments are required: --model"),
        ("train PATH --epochs x", "train: argument --epochs: invalid int value: 'x'"),
        ("--bogus info PATH", ": unrecognized arguments: --bogus"),
    ],
)
def test_usage_errors_point_to_the_commands_own_help(
    arguments: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For an unknown option too, and in one line."""
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    assert stop.value.code == 2
    command = f"easyvae {said.partition(':')[0]}".strip()
    assert capsys.readouterr().err == f"easyvae {said} (see {command} --help)\n".replace(" :", ":")
