"""Open the mixer: a web page on which pictures turn into one another."""

import argparse
import os
import shlex
import socket
import sys
import threading
import webbrowser
from contextlib import suppress
from pathlib import Path

from easyvae.cli.common import DEMO, add_device, open_pictures
from easyvae.core.files import printable

WILDCARDS = frozenset({"0.0.0.0", "::"})
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
MOST_KITTENS = 20_000
"""How many kittens a run may name without being asked about: some 20 seconds of drawing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae app`."""
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="FILE",
        help="a .safetensors file, a run folder or a comparison's folder; given more than once "
        f"there is a switch between them (default: {DEMO}, which `easyvae demo` leaves)",
    )
    parser.add_argument(
        "--images",
        metavar="PATH",
        help="folder or zip of pictures, or kittens[:N] (default: what the run of the first "
        "model names, once you have said yes in a terminal, else kittens)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to be reached at")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser")
    add_device(parser)


def run(args: argparse.Namespace) -> None:
    """Serves the page until Ctrl-C."""
    from easyvae.app.server import create_app
    from easyvae.app.state import check_models
    from easyvae.app.uvicorn_server import listen, serve
    from easyvae.data.built_in import kittens_in
    from easyvae.model import VAE
    from easyvae.training.console import Console
    from easyvae.training.distributed import choose_device

    if not 0 <= args.port <= 65535:
        raise ValueError(f"--port (={args.port}) must be from 0 to 65535")
    files = find_models(args.model)
    device = choose_device(args.device)
    models = {name: VAE.load(path, device=device) for name, path in files.items()}
    shape = check_models(models)
    with listen(args.host, args.port) as bound:  # to be told now if it is in use
        path = args.images or pictures_of_run(next(iter(files.values())), args.host)
        count = kittens_in(path)
        if count is not None and not args.images and (shape[0] != 3 or shape[1] != shape[2]):
            raise ValueError(
                f"the model takes pictures of shape {shape}, which no kitten has, and its run "
                "does not tell what it was trained on: give --images"
            )
        if count is not None:
            _print_notice(f"opening {count:,} kittens ...")
        pictures = open_pictures(path, shape, console=Console(enabled=True))
        if pictures.report is not None:
            _print_notice(str(pictures.report))
        app = create_app(models, pictures, title=title_of(path), hosts=_names_of(args.host))
        port = bound.getsockname()[1]
        host = "127.0.0.1" if args.host in WILDCARDS else args.host
        address = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
        if args.host not in LOOPBACK:
            _print_notice(
                f"with --host {args.host} everyone who can reach this machine over the network "
                "can see these pictures and use the models, without a password or encryption; "
                "127.0.0.1 is for this machine alone"
            )

        def ready() -> None:
            print(f"the mixer is at {address} (Ctrl-C ends it)", flush=True)
            if not args.no_browser:  # which may take its time
                threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

        with suppress(KeyboardInterrupt):  # that is how it is meant to end
            serve(app, bound, ready=ready)


def find_models(given: list[str]) -> dict[str, Path]:
    """Returns the models of files, run folders and comparisons' folders, or the demo's, by name.

    Raises:
        ValueError: If there is none.
    """
    if not given and not (Path(DEMO) / "model.safetensors").is_file():
        raise ValueError(
            f"there is no model in {DEMO}/: run `easyvae demo` first, or give --model"
        )
    models: dict[str, Path] = {}
    for path in map(Path, given or [DEMO]):
        for name, file in _models_at(path):
            unique, number = name, 2
            while unique in models:
                unique, number = f"{name} ({number})", number + 1
            models[unique] = file
    return models


def _models_at(path: Path) -> list[tuple[str, Path]]:
    if not path.is_dir():
        name = path.resolve().parent.name if path.name == "model.safetensors" else path.stem
        return [(name, path)]
    if (path / "model.safetensors").is_file():
        return [(path.resolve().name, path / "model.safetensors")]
    files = sorted((path / "models").glob("*.safetensors"))
    if not files:
        raise ValueError(f"--model (={str(path)!r}) is a folder without a model")
    names = _names_in_comparison(path)
    order = list(names)
    files.sort(key=lambda file: order.index(file.stem) if file.stem in order else len(order))
    return [(names.get(file.stem, file.stem), file) for file in files]


def _names_in_comparison(folder: Path) -> dict[str, str]:
    """Returns the names of a comparison's models, in its order, by their files' stems."""
    from easyvae.comparison.result import file_name
    from easyvae.core.files import read_json

    try:
        models = read_json(folder / "results.json").get("models")
    except (OSError, ValueError):
        return {}
    return {file_name(name): name for name in models} if isinstance(models, dict) else {}


def pictures_of_run(file: Path, host: str) -> str:
    """Returns the pictures that a model's run names, once the user has agreed, or the kittens.

    A run folder may come from anyone. What it names is only looked at, and served, where the user
    says so: another's choice of folder would else be on show, or a share on a network be asked
    for. Of the built-in kittens there is nothing to show that is anybody's.

    Raises:
        ValueError: If the user has not agreed, or cannot be asked; it says what to pass.
    """
    from easyvae.data.built_in import kittens_in
    from easyvae.training.run_folder import read_run

    run = read_run(file)
    if run is None or run.pictures is None:
        return "kittens"
    named = run.pictures
    try:
        count = kittens_in(named)
    except ValueError:
        count = MOST_KITTENS + 1
    if count is None:
        named = os.path.abspath(named)  # noqa: PTH100  # `Path.resolve` would look at the disk
    elif count <= MOST_KITTENS:
        return named
    claim = f"the run of {printable(str(file))} says that it was trained on {printable(named)}"
    if host in LOOPBACK and sys.stdin and sys.stdin.isatty() and sys.stderr.isatty():
        print(f"{claim}\nshow these pictures? [y/N] ", end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return named
    raise ValueError(
        f"{claim}; such a file can come from anyone, so say which pictures to show: "
        f"--images {shlex.quote(printable(named))}, or --images kittens"
    )


def title_of(path: str) -> str:
    """Returns what to call the pictures at a path.

    Example:
        >>> title_of("pictures/cats.zip"), title_of("kittens:50"), title_of("/")
        ('cats.zip', 'kittens:50', '/')
    """
    name = Path(path).name
    if name in ("", ".."):
        name = Path(path).resolve().name
    return name or path


def _names_of(host: str) -> list[str]:
    """Returns the names that requests may give for the server."""
    if host not in WILDCARDS:
        return [host]
    name = socket.gethostname()
    return ["*", name, f"{name}.local"]


def _print_notice(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
