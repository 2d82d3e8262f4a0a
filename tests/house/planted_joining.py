"""The faults that the count of joins and leaves has to find; planted.py takes them in."""

from __future__ import annotations

import contextvars
import os
from typing import Any
from unittest.mock import patch

from catena.pool.following import Pauses
from catena.proxy.balance import Proxy
from tests.joining import joins
from tests.joining.joins import join_and_leave
from tests.joining.routines import FAULT
from tests.laws.fault import keep

__all__ = ["CHECKS"]

EVENTS = 8
"""A worker is killed, one hidden and one stopped; a record lies; one joins."""


def a_pool_in_motion() -> None:
    """Let workers come and go for a short while."""
    contextvars.Context().run(join_and_leave, EVENTS, 1)


CHECKS = (a_pool_in_motion,)


class _Hasty:
    """Plants a fault, and has the check wait only so long as it takes to see it."""

    def __init__(self, planted: Any) -> None:
        self._planted = planted
        self._hasty = patch.object(joins, "seconds", 3.0)

    def __enter__(self) -> None:
        self._planted.__enter__()
        self._hasty.__enter__()

    def __exit__(self, *_: object) -> None:
        self._hasty.__exit__(None, None, None)
        self._planted.__exit__(None, None, None)


def _part_with_nobody(self: Proxy, member: Any) -> None:
    """Go on as if the record were there."""


keep(
    "a worker whose record is gone gets calls",
    _Hasty(patch.object(Proxy, "part_with", _part_with_nobody)),
    a_pool_in_motion,
)
keep(
    "a worker whose link has ended is a member",
    _Hasty(patch.object(Proxy, "remove_member", lambda *_: None)),
    a_pool_in_motion,
)
keep(
    "nobody waits between two attempts",
    _Hasty(patch.object(Pauses, "draw", lambda _: 0.001)),
    a_pool_in_motion,
)
keep(
    "a worker that is stopped ends its calls",
    _Hasty(patch.dict(os.environ, {FAULT: "a worker that is stopped ends its calls"})),
    a_pool_in_motion,
)
