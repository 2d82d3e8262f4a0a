"""A context variable as seen by the code that keeps, sends or compares its value.

Both the chain, which records variables, and ``ContextVar``, which knows chains, import ``Variable``
from here; so neither has to import the other.
"""

from __future__ import annotations

import contextvars
from typing import Any, Literal, Protocol

from catena.ids import Key

Propagation = Literal["both", "forward"]


class _Mark:
    """A value that no user can set."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


MISSING: Any = _Mark("<missing>")
"""Stands for a default that was not given."""

UNSET: Any = _Mark("<unset>")
"""What a backing variable holds while there is no value."""

UNREAD: Any = _Mark("<unread>")
"""What a backing variable holds while its binding has the value as bytes."""


class Variable(Protocol):
    """A declared variable, or the stub of one that arrived before its declaration."""

    backing: contextvars.ContextVar[Any]
    """The stdlib variable that holds the value."""

    @property
    def key(self) -> Key:
        """``(namespace, name)``, its identity in every process."""
        ...

    @property
    def declared(self) -> bool:
        """Whether code of this process declared it."""
        ...

    @property
    def propagate(self) -> Propagation:
        """Whether values come back from workers ("both") or only go there ("forward")."""
        ...

    @property
    def default(self) -> Any:
        """The declared default, or ``MISSING``."""
        ...
