"""A fault: the source made wrong on purpose, for a check that has to find that.

The faults themselves are kept in one place, tests/house/planted.py; here is what they are made of.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, NamedTuple
from unittest.mock import patch

from catena.wire.call_states import TABLE

__all__ = ["FAULTS", "Fault", "each", "edges", "given", "keep", "returning"]


class Fault(NamedTuple):
    """One fault: what it is, the check that has to find it, and the error by which that says so.

    ``kinds`` are what a parametrized check is given.
    """

    name: str
    check: Callable[..., None]
    planted: AbstractContextManager[Any]
    by: type[BaseException]
    kinds: tuple[str, ...]


FAULTS: list[Fault] = []


def keep(
    name: str,
    planted: Any,
    *checks: Callable[..., None],
    by: type[BaseException] = AssertionError,
    kinds: tuple[str, ...] = (),
) -> None:
    """Keep a fault for checks; its name is a sentence that is true while it is planted."""
    FAULTS.extend(Fault(name, check, planted, by, kinds) for check in checks)


def given(target: Any, name: str, change: Callable[[Any], Any]) -> Any:
    """Let a function work on something else than it was given first."""
    real = getattr(target, name)
    return patch.object(
        target, name, lambda one, *args, **options: real(change(one), *args, **options)
    )


def returning(target: Any, name: str, change: Callable[[Any], Any]) -> Any:
    """Let a function return something else."""
    real = getattr(target, name)
    return patch.object(target, name, lambda *args, **options: change(real(*args, **options)))


def each(change: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """Return a change of all that are in a list."""
    return lambda some: [change(one) for one in some]


def edges(state: str, *without: str, **more: str) -> Any:
    """Take edges of a state out of the grammar's table, and add others."""
    row = {symbol: after for symbol, after in TABLE[state].items() if symbol not in without}
    return patch.dict(TABLE, {state: row | more})
