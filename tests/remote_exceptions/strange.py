"""Exceptions that resist whoever takes them apart or rebuilds them, one of each by name."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Self


class NoSet(Exception):
    """It refuses every assignment."""

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("immutable")


class Asked(Exception):
    """It ends the process when it is asked for what it has not."""

    def __getattr__(self, name: str) -> Any:
        raise SystemExit(name)


class Watched(Exception):
    """It ends the process when it is asked for anything."""

    def __getattribute__(self, name: str) -> Any:
        raise SystemExit(name)


class Shouting(Exception):
    """Neither of its texts can be had."""

    def __str__(self) -> str:
        raise SystemExit("str")

    def __repr__(self) -> str:
        raise KeyboardInterrupt


class Properties(Exception):
    """What the interpreter keeps of it is hidden by properties."""

    def _raise(self) -> Any:
        raise RuntimeError("no")

    args = __dict__ = property(_raise)  # type: ignore[assignment]
    __context__ = __cause__ = __traceback__ = __notes__ = property(_raise)  # type: ignore[assignment]
    __suppress_context__ = property(_raise)  # type: ignore[assignment]


class Ways(Exception):
    """None of its ways of pickling returns."""

    def __reduce__(self) -> Any:
        raise SystemExit("reduce")

    def __getstate__(self) -> Any:
        raise KeyboardInterrupt


class State(Exception):
    """It can be written and not be opened."""

    def __setstate__(self, state: Any) -> None:
        raise SystemExit("setstate")


class Loaded(Exception):
    """What its pickle calls ends the process."""

    def __reduce__(self) -> Any:
        return sys.exit, ("load",)


class Interrupting(Exception):
    """Its constructor, called with its args, is interrupted."""

    def __init__(self, code: int, reason: str = "") -> None:
        if not reason:
            raise KeyboardInterrupt
        super().__init__(code)


class Unequal(Exception):
    """It can neither be compared nor hashed."""

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")

    __hash__ = None  # type: ignore[assignment]


class _Meta(type):
    """Its classes can neither be asked, nor be compared, nor be hashed."""

    def __instancecheck__(cls, instance: object) -> bool:
        raise RuntimeError("isinstance")

    def __subclasscheck__(cls, subclass: type) -> bool:
        raise RuntimeError("issubclass")

    def __eq__(cls, other: object) -> bool:
        raise RuntimeError("eq")

    def __hash__(cls) -> int:
        raise RuntimeError("hash")

    def __getattribute__(cls, name: str) -> Any:
        if name in ("__mro__", "__dict__", "__qualname__", "__name__"):
            raise RuntimeError(name)
        return type.__getattribute__(cls, name)


class Meta(Exception, metaclass=_Meta):
    """Its class resists."""


class Derives(ExceptionGroup[Exception]):
    """A group that refuses assignment, and to be made anew."""

    def __new__(cls, *_: object) -> Self:
        return super().__new__(cls, "derived", [ValueError(1)])

    def __setattr__(self, name: str, value: object) -> None:
        raise TypeError("immutable")

    def derive(self, excs: Any) -> Any:
        """Return nothing of use."""
        raise SystemExit("derive")


class Cancelled(asyncio.CancelledError):
    """A cancellation of a class of its own."""


class Noted(Exception):
    """Its notes have a slot."""

    __slots__ = ("__notes__",)


RESISTING: dict[str, BaseException] = {
    "no assignment": NoSet("x"),
    "__getattr__": Asked("x"),
    "__getattribute__": Watched("x"),
    "no text": Shouting("x"),
    "properties": Properties("x"),
    "no pickle": Ways("x"),
    "no state": State("x"),
    "leaving": Loaded("x"),
    "constructor": Interrupting(1, "x"),
    "no equality": Unequal("x"),
    "group": Derives(),
    "cancellation": Cancelled("x"),
    "slot of notes": Noted("x"),
}
