"""Nothing accumulates: a short count; the long one is ``make long NAME=accumulate-dispatches``."""

from __future__ import annotations

from catena.transfer.states.sent import STATES
from tests.integration.accumulating import ROUND, accumulate

DISPATCHES = 400


def test_nothing_stays_of_dispatches_with_set_reset_and_fork() -> None:
    """C5, M9, T8: after the warm-up, live objects on both sides are exactly as many as before."""
    met = accumulate(DISPATCHES, 0)

    assert met["dispatches"] == DISPATCHES
    assert met["sets"] >= DISPATCHES // ROUND
    assert met["resets"] >= DISPATCHES // ROUND
    assert met["forks"] >= DISPATCHES // ROUND
    # The tables of the link are full but for what a round takes out of them again.
    assert met["states named here"] > STATES - ROUND
    assert met["states kept there"] > 2 * STATES - ROUND
