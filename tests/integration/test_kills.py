"""A pool whose workers die heals: a short count; the long one is ``make long NAME=kills``."""

from __future__ import annotations

from tests.integration.kills import kill

CALLS = 60


def test_calls_end_once_and_the_pool_is_whole_again_while_workers_are_killed() -> None:
    """P12, D7: each call ends, at most once; each dead worker is replaced; nothing is left."""
    met = kill(CALLS, 0)

    assert met["calls answered"] + met["calls lost"] == CALLS
    assert met["calls lost"] == met["calls lost with the exit in words"] > 0
    assert met["killed by SIGKILL"] > 0
    assert met["kills that hit a call"] > 0
