"""Short names of pictures, which stand in links: the same name gives the same picture.

p123          picture 123 of the set
u0f3a...      a picture that somebody has brought, by a hash of its pixels
s7t80         a new picture: the prior's sample of seed 7, at temperature 0.80
g7t80         likewise from the mixture fitted to the set's latents
p123~1.5~-2   one of these, moved along the principal directions by so many deviations
"""

import re
from dataclasses import dataclass, replace
from typing import Literal

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
