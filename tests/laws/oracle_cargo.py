"""What crosses when a script of the token oracle is run: errands, parcels and exceptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.laws.oracle_scripts import Body, Passing

__all__ = ["Box", "Errand", "Failing", "Note", "Parcel", "Place", "Side"]

Note = tuple[Any, ...]
Place = tuple[int, ...]
Box = dict[str, list[tuple[int, Any]]]


class Side(NamedTuple):
    """What a script is run with."""

    variables: tuple[Any, ...]
    call: Callable[..., Any]
    mint: Callable[..., Any]
    stream: Callable[..., Any]


class Errand(NamedTuple):
    """What a routine is to do: its steps, what it gives back, and of which slots its tokens are."""

    body: Any
    gives: Passing
    place: Place
    hops: dict[int, int]
    slots: tuple[int, ...]
    closing: Body = ()


class Parcel(NamedTuple):
    """What goes back, or into a stream: notes, and tokens, of which one is outside of the box."""

    notes: list[Note]
    hops: dict[int, int]
    carrier: str
    slot: int
    token: Any
    box: Box


class Failing(Exception):
    """What a script raises; its attributes are notes, tokens and how often they have crossed."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.notes: list[Note] = []
        self.tokens: dict[int, Any] = {}
        self.hops: dict[int, int] = {}
