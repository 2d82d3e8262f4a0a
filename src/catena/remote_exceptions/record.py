"""One exception, taken apart into rows of builtins.

Rows may grow: a reader takes the fields that it knows, and a field that is missing has its default.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any, NamedTuple, TypeVar

from catena.wording import class_name, full_name

T = TypeVar("T")

_ADDRESS = re.compile(r"0x[0-9a-fA-F]+")


class Part(NamedTuple):
    """One value that an exception holds."""

    data: bytes | None
    """Its pickle, None when there is none.

    With a reason beside, of what it holds some things are shown instead.
    """
    type_name: str
    shown: str = ""
    """Its safe_repr, if it may be needed in its place; else empty."""
    why: str = ""
    """Why there is no pickle of it as it is."""
    plain: bool = False
    """Whether everything in it is built in."""


@dataclass(slots=True)
class Record:
    """One exception, taken apart. Numbers are places, of a part or of another exception."""

    type_name: str
    message: str
    whole: bytes | None = None
    """What its class's own way of pickling gives, None when it has none or that fails."""
    kind: bytes | None = None
    """Its class; None when it cannot be pickled."""
    args: list[int] = field(default_factory=list[int])
    attributes: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    fields: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    text: bytes | None = None
    """The digest_text of ``str()`` of it; None when that raises."""
    step: str = ""
    """Why the sender went on to a later step."""
    group: str | None = None
    """The message of a group."""
    members: list[int] = field(default_factory=list[int])
    cause: int | None = None
    context: int | None = None
    suppress_context: bool = False
    notes: list[str] = field(default_factory=list[str])
    hops: list[Any] = field(default_factory=list[Any])

    def to_row(self) -> tuple[Any, ...]:
        """Return the record as a row."""
        return tuple(getattr(self, name) for name in self.__match_args__)


def read_row(kind: type[T], row: Sequence[Any]) -> T:
    """Return the Record, the Part or the Hop that a row describes."""
    known: Any = kind
    return known(*row[: len(known.__match_args__)])


class Shown(str):
    """An argument that could not be brought here: its safe_repr there, and here as well."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def is_called(thing: object, name: str) -> bool:
    """Say whether the class of a thing has a full name.

    A class that is defined in a function keeps the last part of its name alone when it travels.
    """
    own, last = full_name(thing), class_name(thing)
    return own == name or (
        name.startswith(own.removesuffix(last)) and name.endswith(f".<locals>.{last}")
    )


def safe_repr(value: Any) -> str:
    """Return ``repr(value)``, or that there is none."""
    try:
        return str.__str__(repr(value))
    except BaseException:
        # SystemExit as well: it is not meant for us.
        return f"<{class_name(value)} whose repr raises>"


def digest_text(error: BaseException) -> bytes | None:
    """Return what exceptions of equal texts have in common, None when ``str()`` of it raises.

    Addresses in memory do not count.
    """
    try:
        text = str.__str__(str(error))
    except BaseException:
        # SystemExit as well: it is not meant for us.
        return None
    plain = _ADDRESS.sub("0x", text).encode("utf-8", "surrogatepass")
    return blake2b(plain, digest_size=16).digest()
