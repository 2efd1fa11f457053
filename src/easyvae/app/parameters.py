"""What a request asks for, checked: every number within bounds, every name one of a few."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeVar

from starlette.datastructures import QueryParams

from easyvae.app.errors import RequestError

MAX_AMOUNTS = 8
_KINDS: dict[str, Literal["picture", "upload", "prior", "mixture"]] = {
    "p": "picture",
    "u": "upload",
    "s": "prior",
    "g": "mixture",
}
_NAME = re.compile(
    r"(?:(p)(\d{1,9})|(u)([0-9a-f]{16})|([sg])(\d{1,9})t(\d{1,3}))"
    rf"((?:~-?\d(?:\.\d{{1,2}})?){{0,{MAX_AMOUNTS}}})",
    re.ASCII,
)


@dataclass(frozen=True)
class Reference:
    """A picture's name, taken apart.

    Attributes:
        kind: Where it comes from.
        key: Its number in the set, its hash, or its seed.
        temperature: Of a sample.
        amounts: How far along each principal direction it is moved, in standard deviations.
    """

    kind: Literal["picture", "upload", "prior", "mixture"]
    key: str
    temperature: float = 1.0
    amounts: tuple[float, ...] = ()

    @property
    def number(self) -> int:
        """The picture's number in the set, or the sample's seed."""
        return int(self.key)

    @property
    def unmoved(self) -> "Reference":
        """The picture that this one is an edit of."""
        return replace(self, amounts=())


def parse_reference(name: str) -> Reference:
    """Takes a name apart.

    Raises:
        RequestError: If it is none.

    Example:
        >>> parse_reference("p123~1.5~-2")
        Reference(kind='picture', key='123', temperature=1.0, amounts=(1.5, -2.0))
        >>> parse_reference("s7t80").temperature
        0.8
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise RequestError(
            400,
            "bad_reference",
            "a picture is named like p12, u0123456789abcdef, s7t80 or p12~1.5",
        )
    picture, number, upload, digest, sample, seed, percent, moved = match.groups()
    kind = _KINDS[picture or upload or sample]
    amounts = tuple(float(amount) for amount in moved.split("~")[1:])
    if not any(amounts):
        amounts = ()
    temperature = int(percent) / 100 if percent else 1.0
    # Leading zeros would give one picture many names.
    key = digest or str(int(number or seed))
    return Reference(kind, key, temperature, amounts)


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
