"""Pools follow workers that come and go; the long count is ``make long NAME=joins-and-leaves``."""

from __future__ import annotations

from tests.joining.joins import join_and_leave
from tests.laws.law import reached
from tests.support import isolated

EVENTS = 36


@isolated
def test_calls_end_once_while_workers_join_leave_die_and_lie() -> None:
    """P8, P12, D7: only what was killed loses a call; members are those that live and are there."""
    met = join_and_leave(EVENTS, 1)

    floors = {"joined": 6, "killed": 1, "stopped": 1, "record removed": 1, "calls lost": 1}
    reached(met, floors | {"calls answered": 100, "streams ended": 30, "lie removed": 3})
