"""What a WorkerPool may be given: mistakes are named where they are made."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena


def set_up() -> None:
    """A function that somebody takes for a bootstrap."""


@pytest.mark.parametrize(
    ("options", "kind", "text"),
    [
        ({"spawn": "2"}, TypeError, "spawn must be a whole number, it is '2'"),
        ({"spawn": 2.0}, TypeError, "spawn must be a whole number, it is 2.0"),
        ({"spawn": True}, TypeError, "spawn must be a whole number, it is True"),
        ({"spawn": 0}, ValueError, "spawn must be at least 1, it is 0"),
        ({"slots": 0}, ValueError, "slots must be at least 1, it is 0"),
        ({"slots": 1.5}, TypeError, "slots must be a whole number, it is 1.5"),
        ({"max_waiting": -1}, ValueError, "max_waiting must not be negative, it is -1"),
        ({"max_calls_in_flight": 0}, ValueError, "max_calls_in_flight must be at least 1, it is 0"),
        ({"refuse": "never"}, ValueError, "refuse must be module:function, it is 'never'"),
        ({"refuse": set_up}, TypeError, "refuse must be the name of a function"),
        ({"start_timeout": "5"}, TypeError, "start_timeout must be a number of seconds"),
        ({"start_timeout": 0}, ValueError, "start_timeout must be positive, it is 0"),
        ({"stop_timeout": float("nan")}, ValueError, "stop_timeout must be positive, it is nan"),
        ({"loop": "trio"}, ValueError, "loop must be one of auto, asyncio, uvloop"),
        ({"loop": 3}, ValueError, "loop must be one of auto, asyncio, uvloop, it is 3"),
        ({"bootstrap": "setup"}, ValueError, "bootstrap must be module:function, it is 'setup'"),
        ({"bootstrap": 3}, TypeError, "bootstrap must be a text such as 'module:function'"),
        ({"bootstrap": set_up}, TypeError, f"pass '{__name__}:set_up'"),
        ({"bootstrap": lambda: None}, TypeError, "define it in a module of its own"),
    ],
    ids=str,
)
def test_a_wrong_argument_is_named(
    options: dict[str, Any], kind: type[Exception], text: str
) -> None:
    """C16: misuse fails at construction, with the argument's name and what it was."""
    with pytest.raises(kind) as caught:
        catena.WorkerPool(**options)

    assert text in str(caught.value)


def test_the_number_of_workers_may_be_given_by_position() -> None:
    """P8: `WorkerPool(4)` reads as in other libraries."""
    assert repr(catena.WorkerPool(4)) == repr(catena.WorkerPool(spawn=4))


def test_a_plain_with_says_what_to_write() -> None:
    """P8: opening a pool waits for workers, so it is an `async with`."""
    pool = catena.WorkerPool(1)

    with pytest.raises(TypeError, match=r"`async with catena\.WorkerPool"), pool:  # type: ignore[attr-defined]
        pass


def test_a_pool_is_not_awaited() -> None:
    """P8: `await WorkerPool()` is no way to open one either."""

    async def main() -> None:
        with pytest.raises(TypeError):
            await catena.WorkerPool(1)  # type: ignore[misc]

    asyncio.run(main())
