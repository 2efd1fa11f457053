"""Tell about a set of pictures or about a model file."""

import argparse
import json
from pathlib import Path
from typing import Any

from easyvae.cli.common import existing_parent, open_pictures

SHEET = 100
"""How many pictures a contact sheet shows."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `easyvae info`."""
    parser.add_argument("path", metavar="PATH", help="pictures, kittens[:N], or a model")
    parser.add_argument("--sheet", metavar="FILE", help="write a contact sheet of the pictures")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")


def run(args: argparse.Namespace) -> None:
    """Prints what there is to know."""
    path = Path(args.path)
    if path.suffix == ".safetensors" or (path / "model.safetensors").is_file():
        if args.sheet:
            raise ValueError("--sheet needs pictures, and this is a model")
        text, figures = _describe_model(args.path)
    elif (path / "run.json").is_file():
        raise ValueError(f"{path} holds a run that has not saved a model yet")
    else:
        if args.sheet:
            _write_sheet(args.path, existing_parent(args.sheet))
        text, figures = _describe_pictures(args.path)
    print(json.dumps(figures) if args.json else text)


def _describe_model(path: str) -> tuple[str, dict[str, Any]]:
    from easyvae.model import VAE

    model = VAE.load(path)
    parameters = sum(p.numel() for p in model.parameters())
    return repr(model), {"kind": "model", "parameters": parameters, "config": model.config}


def _describe_pictures(path: str) -> tuple[str, dict[str, Any]]:
    from easyvae.data import inspect_pictures
    from easyvae.data.built_in import kittens_in

    count = kittens_in(path)
    if count is not None:
        text = f"{count:,} kittens, drawn at any size"
        return text, {"kind": "pictures", "pictures": count}
    inspection = inspect_pictures(path)
    return str(inspection), {
        "kind": "pictures",
        "pictures": inspection.pictures,
        "sizes": {f"{width}x{height}": n for (width, height), n in inspection.sizes.most_common()},
        "modes": dict(inspection.modes),
        "formats": dict(inspection.formats),
        "copies": inspection.copies,
        "nearly_black": inspection.nearly_black,
        "unreadable": dict(inspection.unreadable),
        "skipped": dict(inspection.skipped),
        "ignored": inspection.ignored,
    }


def _write_sheet(path: str, out: Path) -> None:
    import torch

    from easyvae.plots import save_images

    pictures = open_pictures(path, (3, 64, 64))
    chosen = torch.linspace(0, len(pictures) - 1, min(SHEET, len(pictures))).long()
    save_images(pictures.gather(chosen), out, columns=10)
