"""The page's own files: read once, by name; no path from a request is ever opened."""

import hashlib
from importlib.resources import files
from typing import NamedTuple

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
}


class Asset(NamedTuple):
    """A file of the page.

    Attributes:
        data: Its content.
        kind: Its media type.
        etag: Of this content.
    """

    data: bytes
    kind: str
    etag: str


def read_assets() -> dict[str, Asset]:
    """Reads the files of the page.

    Returns:
        Them, by their names.
    """
    found = {}
    for entry in files("easyvae.app").joinpath("static").iterdir():
        kind = _TYPES.get("." + entry.name.rpartition(".")[2])
        if kind is not None and entry.is_file():
            data = entry.read_bytes()
            found[entry.name] = Asset(data, kind, f'"{hashlib.sha256(data).hexdigest()[:16]}"')
    return found
