"""The folder of a comparison: what it was begun with is what it goes on with."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from easyvae.files import ModelFileError, read_json, write_file


def begin_folder(folder: Path, facts: Mapping[str, Any], *, resume: bool) -> None:
    """Begins a comparison in a folder, or makes sure that it goes on as it began.

    Raises:
        ValueError: If the one there has other settings; the message names them.
        ModelFileError: If its settings are damaged.
    """
    path = folder / "comparison.json"
    now = json.loads(json.dumps(facts))
    if resume and path.is_file():
        before = read_json(path)
        if missing := now.keys() - before.keys():
            raise ModelFileError(path, f"is not what `compare` writes: no {min(missing)}")
        differing = [name for name in now if before[name] != now[name]]
        if differing:
            pairs = ", ".join(
                f"{name} ({before[name]!r}, now {now[name]!r})" for name in differing
            )
            raise ValueError(
                f"`out` (={str(folder)!r}) holds a comparison that differs in {pairs}; choose "
                "another folder, or pass `resume=False` (--fresh) to train anew"
            )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`out` (={str(folder)!r}) is a file; it must be a folder")
    folder.mkdir(parents=True, exist_ok=True)
    write_file(path, (json.dumps(now, indent=1) + "\n").encode())
