"""The scripts of the token oracle: what they say, as data that is drawn, shrunk and sent.

A script is a tuple of steps. Tokens are known by slots: whoever runs steps has a table of the
tokens it holds, and ``which`` names one of them by its place in the table, counted around, so that
almost every draw meets a token. ``Passing`` lists say which of them cross, and by what.
"""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = [
    "CARRIERS",
    "OUTCOMES",
    "Body",
    "Call",
    "Drive",
    "Drop",
    "Fail",
    "Far",
    "Fork",
    "Gather",
    "Get",
    "Inside",
    "Look",
    "Mint",
    "Near",
    "Open",
    "Passing",
    "Put",
    "Reset",
    "Set",
    "Step",
    "Take",
]

OUTCOMES = ("ok", "used", "other variable", "other context")
CARRIERS = (
    "argument",
    "keyword",
    "container",
    "result",
    "yield",
    "send",
    "exception",
    "propagated value",
)

Body = tuple[Any, ...]
"""Steps."""

Passing = tuple[tuple[int, str], ...]
"""Tokens that cross: which, and the carrier. A carrier that does not fit is a container."""


class Get(NamedTuple):
    """Read a variable."""

    var: int


class Set(NamedTuple):
    """Set a variable; the token goes into a slot, in the place of what is there."""

    var: int
    value: Any
    slot: int


class Put(NamedTuple):
    """Set a variable to a value that holds a token."""

    var: int
    which: int
    slot: int


class Take(NamedTuple):
    """Read a variable, and hold the token that is in its value."""

    var: int


class Reset(NamedTuple):
    """Reset a token by its own variable, or by that which comes so many after it."""

    which: int
    other: int = 0


class Look(NamedTuple):
    """Look at a token: its repr and its old value."""

    which: int


class Drop(NamedTuple):
    """Hold a token no more."""

    which: int


class Mint(NamedTuple):
    """Let a routine set a variable and return its token, and nothing else."""

    var: int
    value: Any
    slot: int


class Call(NamedTuple):
    """Await a routine that runs steps; an exception of it is caught, and goes on if it ``lets``."""

    body: Body
    takes: Passing = ()
    gives: Passing = ()
    lets: bool = False


class Fork(NamedTuple):
    """Run steps in a task: in a copy of the Context, or once more in the one of a number.

    ``before`` are steps taken in the copy before the task begins.
    """

    body: Body
    context: int | None = None
    before: Body = ()


class Gather(NamedTuple):
    """Run branches at the same time, each in a task of its own."""

    branches: tuple[Body, ...]


class Inside(NamedTuple):
    """Take steps that nothing is awaited for in the Context of a number, which no task enters."""

    body: Body
    context: int


class Open(NamedTuple):
    """Make a stream, which runs a part for each step, and ``closing`` when it ends."""

    stream: int
    parts: tuple[Body, ...]
    closing: Body = ()
    takes: Passing = ()
    gives: Passing = ()


class Drive(NamedTuple):
    """Drive a stream: "next", "send" or "throw" something with tokens, or "close"."""

    stream: int
    how: str = "next"
    takes: Passing = ()


class Fail(NamedTuple):
    """Raise an exception with tokens for attributes."""

    which: tuple[int, ...]


Near = Get | Set | Put | Take | Reset | Look | Drop | Inside | Fail
"""Steps that nothing is awaited for."""

Far = Mint | Call | Fork | Gather | Open | Drive
Step = Near | Far
