"""The faults that the count of killed workers has to find, each by its title."""

from __future__ import annotations

from unittest.mock import patch

from catena.dispatch.caller import exchange
from catena.pool.restarts import Restarts
from catena.proxy.balance import Proxy
from tests.integration import kills
from tests.integration.test_kills import (
    test_calls_end_once_and_the_pool_is_whole_again_while_workers_are_killed as a_count,
)
from tests.laws.fault import keep

__all__ = ["CHECKS"]

CHECKS = (a_count,)


class _Hasty:
    """Plants a fault, and has the check wait only so long as it takes to see it."""

    def __init__(self, target: object, name: str, replacement: object) -> None:
        self._planted = patch.object(target, name, replacement)
        self._hasty = patch.object(kills, "DEADLINE", 6.0)

    def __enter__(self) -> None:
        self._planted.__enter__()
        self._hasty.__enter__()

    def __exit__(self, *_: object) -> None:
        self._hasty.__exit__(None, None, None)
        self._planted.__exit__(None, None, None)


async def _resend(*_: object) -> bool:
    return True


keep(
    "a call is sent again after its worker was lost",
    patch.object(exchange, "wait_to_retry", _resend),
    a_count,
)
keep(
    "a worker that dies is not replaced",
    _Hasty(Restarts, "note_death", lambda *_, **__: None),
    a_count,
)
keep(
    "a replacement gets no calls",
    _Hasty(Proxy, "add_member", lambda *_: None),
    a_count,
)
