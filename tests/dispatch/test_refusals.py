"""What a peer may not send, and calls that a worker cannot take: refused, announced, counted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena
from catena.errors import ProtocolError
from catena.events import CallRefused, ProtocolBroken
from catena.testing import recording
from catena.wire.frames import NackCode, Next, Result, Want
from tests.dispatch.ends import caller_and_hand, hand_and_sessions, opening
from tests.link.ends import settle
from tests.support import run


@catena.routine
async def halve(number: int) -> int:
    """Answer with half of the number."""
    return number // 2


def breaches(heard: Any) -> list[tuple[str, str, int]]:
    """Return who has broken the rules, what that has ended, and the number of the call."""
    return [(one.peer, one.ended, one.call) for one in heard.of(ProtocolBroken)]


def test_a_frame_out_of_its_turn_ends_its_call_alone() -> None:
    """M7: at the worker, which says so to the caller and goes on with other calls."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            task, drive = opening(1, halve, 8)
            with recording(ProtocolBroken) as heard:
                await hand.send(task, Result(1, b"N."))
                assert await hand.symbols(1) == ["exception"]
            assert breaches(heard) == [("there", "call", 1)]
            assert "illegal frame" in str(heard.of(ProtocolBroken)[0].error)
            await hand.send(*(one._replace(call=2) for one in (task, drive)))
            assert await hand.symbols(2) == ["ack", "return"]
            assert sessions.open_calls == 0

    run(main())


def test_an_answer_out_of_its_turn_ends_its_call_alone() -> None:
    """M7: at the caller, whose call fails with the reason."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            calling = asyncio.create_task(halve(8))
            task = await hand.frame()
            await hand.frame()
            with recording(ProtocolBroken) as heard:
                await hand.send(Next(task.call))
                with pytest.raises(ProtocolError):
                    await calling
            assert breaches(heard) == [("w1", "call", task.call)]

    run(main())


@pytest.mark.parametrize("slots", [0, 2, 2**31])
def test_slots_that_there_are_not_are_not_waited_for(slots: int) -> None:
    """P13: who wants them would wait for ever, and each number would be kept."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            with recording(ProtocolBroken) as heard:
                await hand.send(Want(0, slots))
                await settle()
            assert not sessions.link.up
            assert breaches(heard) == [("there", "link", 0)]
            assert f"{slots} slots are wanted of 1" in str(heard.of(ProtocolBroken)[0].error)

    run(main())


def test_a_number_that_was_used_ends_the_link() -> None:
    """M7: the number of a call is used once, and what comes under it again is nobody's."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            await hand.send(*opening(1, halve, 8))
            assert await hand.symbols(2) == ["ack", "return"]
            with recording(ProtocolBroken) as heard:
                await hand.send(*opening(1, halve, 8))
            assert breaches(heard) == [("there", "link", 0)]
            assert not sessions.link.up

    run(main())


def test_a_call_that_is_refused_is_announced_by_its_worker() -> None:
    """D5: with the name that the caller gave, the caller, and the code that it gets."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            task, drive = opening(1, halve, 8)
            with recording(CallRefused) as heard:
                await hand.send(task._replace(callable=b"no pickle"), drive)
                nack: Any = await hand.frame()
                assert nack.code is NackCode.UNLOADABLE
            assert heard.events == [CallRefused(task.routine, "there", "UNLOADABLE")]

    run(main())
