"""What a request asks for, checked: every number within bounds, every word one of a few."""

import re
from collections.abc import Sequence
from typing import Literal, TypeVar

from starlette.datastructures import QueryParams

from easyvae.app.errors import RequestError
from easyvae.app.references import Reference, parse_reference

Word = TypeVar("Word", bound=str)
CORNERS = 4
_WEIGHT = re.compile(r"\d{1,9}(?:\.\d{1,20})?(?:e-?\d{1,2})?", re.ASCII)


def is_integer(text: str) -> bool:
    """Tells whether a text is an integer, of nine figures at most."""
    return text.isascii() and text.isdigit() and len(text) < 10


def get_integer(query: QueryParams, name: str, low: int, high: int, default: int) -> int:
    """Returns an integer from `low` to `high`.

    Raises:
        RequestError: If it is none.
    """
    text = query.get(name, str(default))
    if not (is_integer(text) and low <= int(text) <= high):
        raise _bad(name, f"an integer from {low} to {high}")
    return int(text)


def get_word(query: QueryParams, name: str, words: Sequence[Word]) -> Word:
    """Returns one of some words, by default the first.

    Raises:
        RequestError: If it is another.
    """
    text = query.get(name, words[0])
    for word in words:
        if text == word:
            return word
    raise _bad(name, " or ".join(words))


def get_method(query: QueryParams) -> Literal["slerp", "lerp"]:
    """Returns the kind of path to take."""
    words: tuple[Literal["lerp"], Literal["slerp"]] = ("lerp", "slerp")
    return get_word(query, "method", words)


def get_references(query: QueryParams, low: int, high: int) -> list[Reference]:
    """Returns the pictures that are named, with commas between them.

    Raises:
        RequestError: If there are too few or many, or one of them is no name.
    """
    names = [name for name in query.get("refs", "").split(",", high + 1) if name]
    if not low <= len(names) <= high:
        few = f"{low}" if low == high else f"{low} to {high}"
        raise _bad("refs", f"the names of {few} pictures, with commas between them")
    return [parse_reference(name) for name in names]


def get_weights(query: QueryParams, count: int) -> list[float]:
    """Returns a weight for each picture, at least 0 and not all 0; by default all are alike.

    Raises:
        RequestError: If they are not that.
    """
    text = query.get("weights")
    if text is None:
        return [1.0] * count
    parts = text.split(",", count + 1)
    weights = [float(part) for part in parts if _WEIGHT.fullmatch(part)]
    good = len(parts) == len(weights) == count and max(weights) <= 1e6 and sum(weights) > 0
    if not good:
        raise _bad("weights", f"{count} numbers of at least 0, not all 0, with commas between")
    return weights


def _bad(name: str, rule: str) -> RequestError:
    return RequestError(400, "bad_request", f"`{name}` must be {rule}")
