"""Calls whose arguments travel in pieces are overtaken by smaller ones, and none of them minds."""

from __future__ import annotations

import asyncio

import pytest

from catena.dispatch.worker.sessions import AHEAD
from catena.errors import ProtocolError
from catena.wire.frames import Task
from tests.contracts import routines
from tests.dispatch.ends import connected, hand_and_sessions, opening
from tests.support import run


def test_large_and_small_calls_mix() -> None:
    """M7, D3: the numbers of calls need not arrive in their order."""

    async def main() -> None:
        async with connected() as ends:
            sizes = [1, 300_000, 2, 3, 700_000, 65_000, 4, 66_000, 200_000, 5] * 3
            answers = await asyncio.gather(*(routines.double(b"x" * size) for size in sizes))
            assert [len(answer) for answer in answers] == [2 * size for size in sizes]
            assert not ends.sessions._overtaken

    run(main())


def test_a_number_that_was_left_out_may_come_once() -> None:
    """M7: an overtaken call is opened when it comes; its number is refused the second time."""

    async def main() -> None:
        async with hand_and_sessions() as (_, sessions):
            for call in (3, 1, 2):
                for frame in opening(call, routines.double, b"x"):
                    sessions.receive(frame)
            assert not sessions._overtaken
            sessions.open_sessions.clear()
            with pytest.raises(ProtocolError, match="is or was open"):
                sessions.receive(Task(2, 1, b""))

    run(main())


def test_a_number_far_ahead_is_refused() -> None:
    """M7: a peer cannot make the worker remember millions of numbers."""

    async def main() -> None:
        async with hand_and_sessions() as (_, sessions):
            with pytest.raises(ProtocolError, match="far ahead"):
                sessions.receive(Task(1 << 40, 1, b""))

    run(main())


def test_a_peer_that_leaves_out_every_second_number_is_stopped() -> None:
    """R9: how many numbers are left out is bounded, however few are left out at a time."""

    async def main() -> None:
        async with hand_and_sessions() as (_, sessions):
            sessions._overtaken.update(range(-AHEAD, -3))
            for call in (2, 4):
                sessions.receive(Task(call, 1, b""))
            with pytest.raises(ProtocolError, match="far ahead"):
                sessions.receive(Task(6, 1, b""))

    run(main())
