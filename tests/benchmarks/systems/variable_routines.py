"""What the variables' section dispatches, and the values that both sides know.

A call that finds another value than its number says raises `WrongContext`.
"""

from __future__ import annotations

from typing import Any, Final

import catena
from tests.benchmarks.plan import KINDS, Kind

from .common import WrongContext, here as this_process

VARIABLES: Final = max(kind.count for kind in KINDS)

variables: Final[list[catena.ContextVar[Any]]] = [
    catena.ContextVar(f"variable{index}", namespace="benchmark") for index in range(VARIABLES)
]


def text(number: int) -> str:
    """A `str` of 1 KiB, another one for each number."""
    return f"{number:01024d}"


def mapping(number: int) -> dict[str, str]:
    """A `dict` of about 1 KiB when it is pickled, another one for each number."""
    return {f"key{index:02d}": f"{number:053d}" for index in range(16)}


_VALUES: Final[dict[str, list[Any]]] = {
    "": [None],
    "str": [text(number) for number in range(VARIABLES)],
    "dict": [mapping(number) for number in range(VARIABLES)],
}


def values(kind: Kind) -> list[Any]:
    """The value of each variable of a kind, in the order of `variables`."""
    return _VALUES[kind.type][: kind.count]


def changed_index(serial: int, count: int = VARIABLES) -> int:
    """Which of so many variables the call of that number sets anew.

    It moves on by one more every hundred calls, so that a hundred tasks in lockstep rotate, too.
    """
    return (serial + serial // count) % count


def changed_text(serial: int) -> str:
    """What the call of that number sets: a value that was never there before."""
    return text(VARIABLES + serial)


@catena.routine
async def echo(serial: int, kind: int) -> int:
    """The number, there and back, after a look at one variable, another one each call, or all."""
    _check(serial, KINDS[kind])
    return serial


@catena.routine
async def here() -> tuple[int, str]:
    """Which process answers, and on which loop."""
    return this_process()


def _check(serial: int, kind: Kind) -> None:
    if kind.changing:
        _look(changed_index(serial, kind.count), changed_text(serial))
        return
    one = serial % (kind.count or 1)
    for index in range(kind.count) if kind.reading else (one,):
        _look(index, _VALUES[kind.type][index])


def _look(index: int, expected: Any) -> None:
    found = variables[index].get(None)
    if found != expected:
        raise WrongContext(f"variable {index} was {found!r} instead of {expected!r}")
