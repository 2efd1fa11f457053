"""The command `easyvae`: one module per subcommand, each with its arguments and what it does.

Results go to standard output, progress to standard error. Errors are one line there, with exit
code 2 for bad usage or input and 1 for a failure.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from easyvae.cli import app, compare, demo, evaluate, export, info, mix, sample, train
from easyvae.cli.common import Help
from easyvae.core.files import printable
from easyvae.core.signals import Terminated
from easyvae.core.version import __version__

COMMANDS = {
    "demo": demo,
    "train": train,
    "mix": mix,
    "sample": sample,
    "compare": compare,
    "evaluate": evaluate,
    "app": app,
    "export": export,
    "info": info,
}
BAD_INPUT = (ValueError, TypeError, FileNotFoundError, IsADirectoryError, NotADirectoryError)


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line and point to its own help."""

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        # A command would hand what it does not know to the parser of all commands, whose error
        # points to the wrong help.
        namespace, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return namespace, unknown

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: What comes after the program's name; `sys.argv` by default.

    Returns:
        The exit code.
    """
    args = make_parser().parse_args(arguments)
    try:
        args.run(args)
    except KeyboardInterrupt as stop:
        return _fail(130, "stopped" + (f"; {stop}" if str(stop) else ""))
    except Terminated as stop:
        return _fail(143, "stopped" + (f"; {stop.advice}" if stop.advice else ""))
    except BrokenPipeError:
        sys.stderr.close()  # the reader of our output has gone: nobody is left to tell
        return 1
    except BAD_INPUT as error:
        return _fail(2, error)
    except (OSError, ImportError, FloatingPointError) as error:  # the last is a NonFiniteError
        return _fail(1, error)
    except (MemoryError, RuntimeError) as error:  # torch's, for one, where memory does not suffice
        return _fail(1, str(error).partition("\n")[0] or "out of memory")
    return 0


def make_parser() -> argparse.ArgumentParser:
    """Builds the parser of all commands."""
    parser = _Parser(
        prog="easyvae",
        description="Variational autoencoders from a list of channel counts.",
        epilog="PATH is a folder or zip of pictures, or `kittens` / `kittens:5000`, the "
        "built-in set (write ./kittens for a folder of that name).",
    )
    parser.add_argument("--version", action="version", version=f"easyvae {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").partition("\n")[0]
        sub = commands.add_parser(name, help=summary, description=summary, formatter_class=Help)
        command.add_arguments(sub)
        sub.set_defaults(run=command.run)
    return parser


def _fail(code: int, reason: object) -> int:
    if isinstance(reason, OSError) and reason.filename is not None:
        # As our own errors, without a number.
        reason = f"{printable(str(reason.filename))}: {reason.strerror}"
    print(f"easyvae: {printable(' '.join(str(reason).split()))}", file=sys.stderr)
    return code
