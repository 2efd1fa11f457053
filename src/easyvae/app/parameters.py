"""What a request asks for, checked: every number within bounds, every name one of a few.

What is not so is refused with a `RequestError`.
"""

import re
from dataclasses import dataclass
from typing import Literal

from starlette.datastructures import QueryParams

from easyvae.app.errors import RequestError

Kind = Literal["picture", "upload", "prior", "mixture"]
Method = Literal["slerp", "lerp"]

CORNERS = 4
MAX_AMOUNTS = 8
_KINDS: dict[str, Kind] = {"p": "picture", "u": "upload", "s": "prior", "g": "mixture"}
_METHODS: dict[str, Method] = {"lerp": "lerp", "slerp": "slerp"}
_NAME = re.compile(
    r"(?:(p)(\d{1,9})|(u)([0-9a-f]{16})|([sg])(\d{1,9})t(\d{1,3}))"
    rf"((?:~-?\d(?:\.\d{{1,2}})?){{0,{MAX_AMOUNTS}}})",
    re.ASCII,
)
_WEIGHT = re.compile(r"\d{1,9}(?:\.\d{1,20})?(?:e-?\d{1,2})?", re.ASCII)


@dataclass(frozen=True)
class Reference:
    """A picture's name, taken apart.

    Attributes:
        kind: Where it comes from.
        key: Its number in the set, its hash, or its seed.
        temperature: Of a sample.
        amounts: How far along each principal direction it is moved, in standard deviations.
    """

    kind: Kind
    key: str
    temperature: float = 1.0
    amounts: tuple[float, ...] = ()

    @property
    def number(self) -> int:
        """The picture's number in the set, or the sample's seed."""
        return int(self.key)


def parse_reference(name: str) -> Reference:
    """Takes a name apart.

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
    temperature = int(percent) / 100 if percent else 1.0
    # Leading zeros would give one picture many names, and so would amounts of zero.
    key = digest or str(int(number or seed))
    return Reference(kind, key, temperature, amounts if any(amounts) else ())


def is_integer(text: str) -> bool:
    """Whether a text is an integer, of nine figures at most."""
    return text.isascii() and text.isdigit() and len(text) < 10


def get_integer(query: QueryParams, name: str, low: int, high: int, default: int) -> int:
    """Returns an integer from `low` to `high`."""
    text = query.get(name, str(default))
    if not (is_integer(text) and low <= int(text) <= high):
        raise _bad(name, f"an integer from {low} to {high}")
    return int(text)


def get_method(query: QueryParams) -> Method:
    """Returns the kind of path to take, by default `"lerp"`."""
    method = _METHODS.get(query.get("method", "lerp"))
    if method is None:
        raise _bad("method", " or ".join(_METHODS))
    return method


def get_references(query: QueryParams, low: int, high: int) -> list[Reference]:
    """Returns the pictures that are named, with commas between them."""
    names = [name for name in query.get("refs", "").split(",", high + 1) if name]
    if not low <= len(names) <= high:
        count = f"{low}" if low == high else f"{low} to {high}"
        raise _bad("refs", f"the names of {count} pictures, with commas between them")
    return [parse_reference(name) for name in names]


def get_weights(query: QueryParams, count: int) -> list[float]:
    """Returns a weight for each picture, at least 0 and not all 0; by default all are alike."""
    text = query.get("weights")
    if text is None:
        return [1.0] * count
    parts = text.split(",", count + 1)
    weights = [float(part) for part in parts if _WEIGHT.fullmatch(part)]
    if not (len(parts) == len(weights) == count and max(weights) <= 1e6 and sum(weights) > 0):
        raise _bad("weights", f"{count} numbers of at least 0, not all 0, with commas between")
    return weights


def _bad(name: str, rule: str) -> RequestError:
    return RequestError(400, "bad_request", f"`{name}` must be {rule}")
