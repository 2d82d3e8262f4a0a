"""The faults that scripts have to find, each by its title; tests/house/planted.py takes them in."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from catena.context import to_thread, var as variables
from catena.context.home import Home
from catena.context.var import ContextVar, Token
from catena.errors import ChainContention
from tests.laws.fault import keep
from tests.parity.test_parity import (
    test_a_difference_is_as_the_table_says as a_difference,
    test_a_script_comes_to_the_same as a_script,
)

__all__ = ["CHECKS"]

CHECKS = (a_script, a_difference)

_get, _set = ContextVar.get, ContextVar.set
_last: dict[Any, Any] = {}


def _set_for_all(self: ContextVar[Any], value: Any) -> Any:
    _last[self.key] = value
    return _set(self, value)


def _get_the_last(self: ContextVar[Any], *args: Any) -> Any:
    return _last.get(self.key, _get(self, *args))


keep(
    "what a child sets leaks",
    patch.multiple(ContextVar, get=_get_the_last, set=_set_for_all),
    a_script,
    kinds=("C5: a created task sees its creator's values as they were then", "asyncio"),
)
keep(
    "a callback's writes leak",
    patch.multiple(ContextVar, get=_get_the_last, set=_set_for_all),
    a_script,
    kinds=("C6: add_reader and add_writer copy the scope that adds them", "uvloop"),
)
keep(
    "a task that was not forked does not fork",
    patch.object(Home, "is_here", lambda self: True),
    a_script,
    by=ChainContention,
    kinds=("C5: a task that is made without the loop's factory has a copy all the same", "uvloop"),
)
keep(
    "a thread is given its caller's chain",
    patch.object(to_thread, "fork_here", lambda chain: chain),
    a_script,
    by=ChainContention,
    kinds=("C10: to_thread takes a copy of the values along and brings nothing back", "asyncio"),
)
keep(
    "that a token is used is seen by the stdlib's alone",
    patch.object(Token, "used", False),
    a_script,
    kinds=("T2: a used token raises RuntimeError, before anything else is looked at", "no loop"),
)
keep(
    "a missing argument is a value",
    patch.object(ContextVar, "set", lambda self, value=None: _set(self, value)),
    a_script,
    kinds=("C1: set takes exactly one argument", "no loop"),
)
keep(
    "the guard lets everybody pass",
    patch.object(variables, "admit", lambda chain, **_: chain),
    a_difference,
    kinds=("C10: asyncio's own to_thread, once something is set", "asyncio"),
)
keep(
    "the guard lets a callback set on another's chain",
    patch.object(variables, "admit", lambda chain, **_: chain),
    a_difference,
    kinds=(
        "C6: a set in a callback that another thread sent through call_soon_threadsafe",
        "uvloop",
    ),
)
keep(
    "a token has no hash",
    patch.object(Token, "__hash__", None),
    a_difference,
    kinds=("T1: tokens have a hash", "no loop"),
)
