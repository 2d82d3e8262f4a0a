"""The way of a warm call stays short: few functions are entered, on both sides together."""

from __future__ import annotations

from unittest.mock import patch

import pytest

from catena import telemetry
from catena.dispatch.caller import exchange
from tests.house.entries import CALLS, count_entries
from tests.support import isolated

MOST = 70


@pytest.fixture(autouse=True)
def _nobody_listens() -> None:
    telemetry.install(detail="off")


@isolated
def test_a_warm_call_enters_few_functions() -> None:
    """Budget: what one call enters of Catena's own functions, from its arguments to its result."""
    found = count_entries()

    assert found.total() <= MOST * CALLS, found
    # It looked: each call was made here, and ran there.
    assert found["dispatch/caller/exchange.py: send_call"] >= CALLS
    assert any("worker/run_coroutine.py" in name for name in found)


@isolated
def test_further_functions_are_found() -> None:
    """A call that goes through more hands is counted so."""
    real = exchange.dump_arguments
    before = count_entries()

    with patch.object(exchange, "dump_arguments", _through_more_hands(real)):
        after = count_entries()

    assert after.total() >= before.total() + CALLS


def _through_more_hands(real: object) -> object:
    code = "def more(*args): return real(*args)"
    names = {"real": real}
    # As if it stood in a file of Catena.
    exec(compile(code, exchange.__file__, "exec"), names)
    return names["more"]
