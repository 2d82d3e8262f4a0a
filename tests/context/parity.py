"""The same program against ``contextvars`` and against Catena, and what either made of it."""

from __future__ import annotations

import contextvars
import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import catena

__all__ = ["OURS", "THEIRS", "System", "normalise", "outcome"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
_NAMESPACE = re.compile(r""" namespace=(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
_namespaces = itertools.count(1)


class System(NamedTuple):
    """One of the two: how it declares a variable, and its token class."""

    var: Callable[..., Any]
    token: type[Any]


def _declare(*args: Any, **options: Any) -> Any:
    return catena.ContextVar(*args, namespace=f"parity{next(_namespaces)}", **options)


THEIRS = System(contextvars.ContextVar, contextvars.Token)
OURS = System(_declare, catena.Token)


def normalise(text: str) -> str:
    """Return a text without addresses and namespaces, the two things in which reprs may differ."""
    return _ADDRESS.sub("", _NAMESPACE.sub("", text))


def outcome(program: Callable[[System], Any], system: System) -> tuple[str, str]:
    """Run a program in an empty Context; return what came of it: a kind and a normalised text."""
    try:
        value = contextvars.Context().run(program, system)
    except Exception as error:
        return type(error).__name__, normalise(str(error))
    return "value", normalise(repr(value))
