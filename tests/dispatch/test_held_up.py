"""A worker that was held up: what was cancelled or timed out meanwhile never starts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.link.gate import LATE_SECONDS, Gate, patience
from catena.remote_exceptions.pickled import unpickle_exception
from catena.wire import codec
from catena.wire.frames import Ack, Cancel, Frame, Task
from tests.dispatch.ends import connected, hand_and_sessions, opening
from tests.dispatch.tapped import tapped
from tests.link.ends import Hand, settle
from tests.support import run

SECOND = 1_000_000_000
log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    log.clear()


@catena.routine
async def notes(name: str) -> str:
    """Write down that it began."""
    log.append(name)
    return name


@catena.routine
async def steps(name: str) -> AsyncGenerator[str, None]:
    """Write down that it began, and yield."""
    log.append(name)
    yield name


@catena.routine
async def blocks(seconds: float) -> None:
    """Keep the loop from everything else."""
    log.append("blocks")
    time.sleep(seconds)  # noqa: ASYNC251 - what this is about


def _old(*frames: Frame) -> bytes:
    """Return a message that lay in the socket for a second."""
    return codec.encode_message(frames, time.monotonic_ns() - SECOND)


async def _taken(hand: Hand, count: int) -> list[Frame]:
    return [await hand.frame() for _ in range(count)]


@pytest.mark.parametrize("routine", [notes, steps])
def test_what_was_cancelled_in_the_socket_never_starts(routine: Any) -> None:
    """P14, R3: a Cancel that lies behind an old message counts before anything is started."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            hand.message(_old(*_opened(1, routine, "cancelled")))
            hand.message(_old(*_opened(2, routine, "kept")))
            hand.message(_old(Cancel(1)))
            await _taken(hand, 4)
            assert log == ["kept"]
            await settle()

    run(main())


def _opened(call: int, routine: Any, name: str) -> tuple[Frame, ...]:
    task, drive = opening(call, routine, name)
    return (task._replace(drive=drive),)


def test_a_new_message_ends_the_reading_on() -> None:
    """P14: what came just now says that nothing older is behind it."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            hand.message(_old(*_opened(1, notes, "old")))
            hand.message(codec.encode_message(_opened(2, notes, "new"), time.monotonic_ns()))
            assert sorted([one.symbol for one in await _taken(hand, 4)]) == [
                "ack",
                "ack",
                "return",
                "return",
            ]
            assert log == ["old", "new"]

    run(main())


def test_an_old_message_alone_is_not_kept_waiting() -> None:
    """P14: where nothing follows, what was read is handed out after a moment."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            hand.message(_old(*_opened(1, notes, "alone")))
            assert [one.symbol for one in await _taken(hand, 2)] == ["ack", "return"]

    run(main())


def test_a_link_that_ends_while_it_reads_on_ends() -> None:
    """P14, D6: the end of the stream is not lost among what was read together."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            hand.message(_old(*_opened(1, notes, "late")))
            await hand.transport.close()
            await asyncio.wait_for(sessions.link.wait_ended(), 5)
            await settle()
            assert log == []

    run(main())


@pytest.mark.parametrize("routine", [notes, steps])
def test_what_waited_in_the_socket_for_longer_than_it_may_run_never_starts(routine: Any) -> None:
    """P14, D6: the time in the socket counts, where both ends read the same clock."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            task, drive = opening(1, routine, "late")
            sent_at = time.monotonic_ns() - SECOND
            late = task._replace(timeout_ns=SECOND // 2, sent_at_ns=sent_at)
            await hand.send(late, drive)
            assert await hand.frame() == Ack(1)
            answer: Any = await hand.frame()
            assert isinstance(unpickle_exception(answer.payload), TimeoutError)
            assert log == []

    run(main())


def test_time_counts_from_reading_where_clocks_differ() -> None:
    """P14: a peer of another boot has a clock of its own, so what it says of it does not count."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            sessions.link.same_boot = False
            task, drive = opening(1, notes, "runs")
            await hand.send(task._replace(timeout_ns=SECOND, sent_at_ns=1), drive)
            assert [one.symbol for one in await _taken(hand, 2)] == ["ack", "return"]

    run(main())


def test_when_a_call_was_made_is_told_beside_its_timeout() -> None:
    """P14: a call without one says nothing, and neither does one to a machine of another boot."""

    async def main() -> None:
        async with tapped() as ends:
            before = time.monotonic_ns()
            await notes("free")
            with catena.RuntimeContext(timeout=30):
                await notes("bounded")
                ends.near.same_boot = False
                await notes("elsewhere")
            told = [one.sent_at_ns for one in ends.sent if isinstance(one, Task)]
            assert before < (told[1] or 0) < time.monotonic_ns()
            assert told == [None, told[1], None]

    run(main())


def test_what_came_with_a_call_that_blocks_waits_for_what_was_cancelled_meanwhile() -> None:
    """P14, R3: calls that lie in the loop behind a blocking one begin after the socket was read."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, _):
            first = _opened(1, blocks, LATE_SECONDS * 5)  # type: ignore[arg-type]
            calls = [frame for call in range(2, 9) for frame in _opened(call, notes, str(call))]
            hand.message(codec.encode_message([*first, *calls]))
            while "blocks" not in log:
                await asyncio.sleep(0)
            hand.message(codec.encode_message([Cancel(call) for call in range(2, 8)]))
            await _taken(hand, 16)
            assert log == ["blocks", "8"]

    run(main())


def test_calls_that_block_one_after_the_other_all_run() -> None:
    """P14: who waits at the gate is let through in order, each after a look at the socket."""

    async def main() -> None:
        async with connected() as ends:
            await asyncio.gather(*(blocks(LATE_SECONDS * 1.5) for _ in range(5)))
            assert log == ["blocks"] * 5
            assert ends.sessions.open_calls == 0

    run(main())


def test_the_gate_keeps_nobody_who_was_cancelled() -> None:
    """P14: a call that is cancelled at the gate takes nobody's place."""

    async def main() -> None:
        gate = Gate()
        waiting = [asyncio.ensure_future(gate.wait_passed()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await asyncio.wait_for(asyncio.gather(*waiting[1:]), 5)
        assert waiting[0].cancelled()

    run(main())


def test_patience_grows_with_the_age() -> None:
    """P14: a short hold-up costs a millisecond, a long one ten at most."""
    assert [patience(age) for age in (0.0, 0.1, 60.0)] == [0.001, 0.005, 0.01]


def test_a_caller_never_reads_on() -> None:
    """P14: only a worker begins anything; answers are handed out as they come."""

    async def main() -> None:
        async with connected() as ends:
            assert (ends.near._ages, ends.far._ages) == (False, True)

    run(main())
