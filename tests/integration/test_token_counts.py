"""Ledgers are bounded: short counts; the long ones are ``make long`` of the same names."""

from __future__ import annotations

from tests.integration.token_counts import PERIOD, ROUND, dispatch, step

DISPATCHES = 400
STEPS = 1_000


def test_nothing_stays_of_dispatches_whose_tokens_cross() -> None:
    """T4, T8: after them live objects are as many as before, and no ledger has an id."""
    met = dispatch(DISPATCHES, 0)

    assert met["dispatches"] == DISPATCHES
    assert met["reset here"] == 2 * DISPATCHES // ROUND
    assert met["reset there"] == 3 * DISPATCHES // ROUND
    assert met["never reset"] == 2 * DISPATCHES // ROUND


def test_a_step_that_sets_costs_the_same_however_many_there_were() -> None:
    """M9, T8: a stream's frames keep their sizes, tokens or not, and nothing stays of it."""
    met = step(STEPS, 0)

    assert met["steps"] == met["frames sent"] == met["frames answered"] == STEPS
    for way in ("reset here", "reset there", "never reset"):
        assert met[way] == STEPS // PERIOD
