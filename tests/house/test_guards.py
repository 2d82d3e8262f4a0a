"""The budget where nobody listens: guard tests, counted as they are made, by class of event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from unittest.mock import patch

import pytest

from catena import telemetry
from catena.context import var
from catena.events import TokenReset
from catena.events.bus import announce, subscribe
from tests.benchmarks.systems.guards import counted, total
from tests.dispatch.ends import connected
from tests.support import isolated, run, variable
from tests.telemetry.story import add, number

CALLS = 20
MOST = 12
"""Guard tests of a call, both sides, that set a variable and reset it."""


@pytest.fixture(autouse=True)
def nobody_listens() -> Iterator[None]:
    """Neither spans nor metrics nor logs, whatever loggers there are."""
    telemetry.install(detail="off")
    yield
    telemetry.uninstall()


def of_calls() -> Counter[str]:
    """Count the guard tests of so many calls, both sides, on a link that knows them."""

    async def work() -> Counter[str]:
        number.set(1)
        async with connected():
            await add(2)
            with counted() as counts:
                for _ in range(CALLS):
                    await add(2)
            return counts

    return run(work())


@isolated
def test_a_call_makes_few_guard_tests() -> None:
    """Budget: each thing that happens in a call is asked for once, none for each variable."""
    counts = of_calls()

    each = {name: times / CALLS for name, times in counts.items()}
    assert each["TokenReset"] == 1
    assert each["Mount"] == 2
    assert each["Unmounted"] == 1
    assert each["Dispatch"] == 1
    assert total(counts) <= MOST * CALLS, each


@isolated
def test_a_reset_costs_one_guard_test_and_a_set_none() -> None:
    """Budget: a reset with nobody listening costs one attribute test."""
    mine = variable()
    mine.set(1)
    with counted() as counts:
        token = mine.set(2)
        assert counts == {}
        mine.reset(token)

    assert counts == {"TokenReset": 1}


@isolated
def test_a_guard_test_more_is_found() -> None:
    """Planted: a set asks as well."""
    plain = var.ContextVar.set

    def asking(self: var.ContextVar[int], value: int) -> object:
        if TokenReset.listeners:
            announce(TokenReset(self.key, b"", "ok"))
        return plain(self, value)

    before = total(of_calls())
    with patch.object(var.ContextVar, "set", asking):
        assert total(of_calls()) == before + 2 * CALLS


def test_whoever_listens_is_not_lost_to_the_count() -> None:
    """Counting refuses to begin while somebody listens."""

    def listen(_: object) -> None:
        return None

    with subscribe(listen, TokenReset), pytest.raises(RuntimeError, match="TokenReset"), counted():
        pass
    assert TokenReset.listeners == ()
