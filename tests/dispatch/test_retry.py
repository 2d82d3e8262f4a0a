"""Retry: calls that are made again when their worker is lost, and those that are not."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.dispatch.caller import retries
from catena.dispatch.declaration import declaration_of
from catena.events import CallRetried, Dispatch
from catena.pickling import pickler
from catena.testing import recording
from catena.wire.frames import Ack, Nack, NackCode, Next, Result, Task
from tests.dispatch.ends import caller_and_hand
from tests.link.ends import Hand, settle
from tests.support import isolated, run, variable

number: catena.ContextVar[int] = variable("number")
ONE, TWO = pickler.dumps(1), pickler.dumps(2)


@catena.routine(retry=catena.Retry(attempts=3, pause=0))
async def again(value: int) -> int:
    """May run twice; hands play its workers."""
    return value


@catena.routine(retry=catena.Retry(attempts=3, pause=0))
async def numbers() -> AsyncGenerator[int, None]:
    """A stream that may begin twice."""
    yield 1


@catena.routine
async def once(value: int) -> int:
    """May not run twice."""
    return value


async def taken(hand: Hand) -> tuple[Task, Next]:
    """Return the Task of a call and its first drive, as a worker gets them."""
    task, drive = await hand.frame(), await hand.frame()
    assert isinstance(task, Task)
    assert isinstance(drive, Next)
    return task, drive


async def lose(hand: Hand) -> None:
    """End the link as a worker that is killed does."""
    await hand.transport.close()
    await settle()


def start(work: Any) -> asyncio.Task[Any]:
    """Start what a test waits for later."""
    return asyncio.get_running_loop().create_task(work)


@isolated
def test_a_call_is_made_again_with_the_chain_as_the_caller_has_it() -> None:
    """D7: after WorkerLost the next worker gets the same arguments, and the caller's variables."""

    async def main() -> None:
        async with caller_and_hand(2) as (_, first, _, second):
            number.set(1)
            with recording(CallRetried, Dispatch) as recorded:
                calling = start(again(7))
                task, drive = await taken(first)
                await first.send(Ack(task.call))
                await lose(first)
                repeated, redriven = await taken(second)
                assert repeated.payload == task.payload
                assert drive.manifest is not None
                assert redriven.manifest is not None
                assert redriven.manifest.entries == drive.manifest.entries
                await second.send(Ack(repeated.call), Result(repeated.call, ONE))
                assert await calling == 1
            routine = declaration_of(again).name
            assert recorded.of(CallRetried) == [CallRetried(routine, "w1", 2)]
            [dispatch] = recorded.of(Dispatch)
            assert dispatch.attempts == 2

    run(main())


@isolated
@pytest.mark.parametrize("accepted", [True, False])
def test_a_routine_without_retry_runs_once(accepted: bool) -> None:
    """D7: without a Retry the lost call fails at once, and no other worker gets anything."""

    async def main() -> None:
        async with caller_and_hand(2) as (_, first, _, second):
            calling = start(once(7))
            task, _ = await taken(first)
            if accepted:
                await first.send(Ack(task.call))
            await lose(first)
            with pytest.raises(catena.WorkerLost) as lost:
                await calling
            assert lost.value.attempts == 1
            assert await second.nothing()

    run(main())


@isolated
def test_the_error_speaks_for_all_attempts() -> None:
    """D7: it says how many attempts were made, and that the routine had begun in one of them."""

    async def main() -> None:
        async with caller_and_hand(3) as (_, first, _, second, _, third):
            calling = start(again(7))
            task, _ = await taken(first)
            await first.send(Ack(task.call))
            for hand in (first, second, third):
                if hand is not first:
                    await taken(hand)
                await lose(hand)
            with pytest.raises(catena.WorkerLost, match="3 attempts were made") as lost:
                await calling
            assert (lost.value.worker, lost.value.attempts, lost.value.begun) == ("w3", 3, True)

    run(main())


@isolated
def test_a_call_that_all_refuse_after_a_loss_does_not_count_as_never_begun() -> None:
    """D7: Busy says that a call has not begun; after a lost attempt that is not known."""

    async def main() -> None:
        async with caller_and_hand(2) as (_, first, _, second):
            calling = start(again(7))
            await taken(first)
            await lose(first)
            task, _ = await taken(second)
            await second.send(Nack(task.call, NackCode.BUSY, "full"))
            with pytest.raises(catena.WorkerLost, match="full") as lost:
                await calling
            assert (lost.value.begun, lost.value.attempts) == (None, 2)

    run(main())


@isolated
def test_a_stream_is_begun_again_before_its_first_value() -> None:
    """D7: a stream that has given nothing begins again on another worker."""

    async def main() -> None:
        async with caller_and_hand(2) as (_, first, _, second):
            stream = numbers()
            stepping = start(anext(stream))
            task, _ = await taken(first)
            await first.send(Ack(task.call))
            await lose(first)
            task, _ = await taken(second)
            await second.send(Ack(task.call), Result(task.call, ONE, None, "yield"))
            assert await stepping == 1
            stepping = start(anext(stream))
            await second.frame()
            await second.send(Result(task.call, b"N.", None, "return"))
            with pytest.raises(StopAsyncIteration):
                await stepping

    run(main())


@isolated
def test_a_stream_is_not_begun_again_after_its_first_value() -> None:
    """D7: values that were seen cannot be taken back, so the loss is the caller's to handle."""

    async def main() -> None:
        async with caller_and_hand(2) as (_, first, _, second):
            stream = numbers()
            stepping = start(anext(stream))
            task, _ = await taken(first)
            await first.send(Ack(task.call), Result(task.call, ONE, None, "yield"))
            assert await stepping == 1
            stepping = start(anext(stream))
            await first.frame()
            await lose(first)
            with pytest.raises(catena.WorkerLost) as lost:
                await stepping
            assert lost.value.attempts == 1
            assert await second.nothing()

    run(main())


@isolated
def test_a_pool_that_closes_ends_its_calls() -> None:
    """D7: the pool's own end is no loss of a worker: nothing is made again."""

    async def main() -> None:
        async with caller_and_hand(2) as (near, first, _, second):
            calling = start(again(7))
            await taken(first)
            await near.close()
            with pytest.raises(catena.WorkerLost) as lost:
                await calling
            assert (lost.value.closed, lost.value.attempts) == (True, 1)
            assert await second.nothing()

    run(main())


@isolated
def test_the_time_goes_on_counting() -> None:
    """D7: an attempt takes along what is left; without enough for the pause there is none."""

    async def main() -> None:
        async with caller_and_hand(3) as (_, first, _, second, _, third):
            with catena.RuntimeContext(timeout=60):
                calling = start(again(7))
                task, _ = await taken(first)
                await lose(first)
                repeated, _ = await taken(second)
                assert repeated.timeout_ns < task.timeout_ns
                calling.cancel()
            slow = catena.routine(retry=catena.Retry(pause=61))(once.local)
            with catena.RuntimeContext(timeout=60):
                calling = start(slow(7))
                await taken(third)
                await lose(third)
                with pytest.raises(catena.WorkerLost) as lost:
                    await calling
                assert lost.value.attempts == 1

    run(main())


@isolated
def test_cancelling_in_the_pause_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """D7: a caller that is cancelled between two attempts is done at once."""

    async def main() -> None:
        waits = asyncio.Event()

        async def sleep(_: float) -> None:
            waits.set()
            await asyncio.Event().wait()

        async with caller_and_hand(2) as (_, first, _, second):
            calling = start(again(7))
            await taken(first)
            with monkeypatch.context() as patched:
                patched.setattr(retries, "pause", sleep)
                await first.transport.close()
                await waits.wait()
            calling.cancel()
            with pytest.raises(asyncio.CancelledError):
                await calling
            assert await second.nothing()

    run(main())


def test_the_pauses_grow() -> None:
    """D7: each pause is twice the one before."""
    retry = catena.Retry(attempts=4, pause=0.1)

    assert [retry.pause_after(made) for made in (1, 2, 3)] == [0.1, 0.2, 0.4]


def test_a_retry_travels_with_a_routine_by_value() -> None:
    """D7: what a routine was declared with holds where it is called from, on workers too."""

    def declare() -> Any:
        @catena.routine(retry=catena.Retry(attempts=5, pause=1.5), timeout=3)
        async def inner() -> None: ...

        return inner

    there = declaration_of(pickler.loads(pickler.dumps(declare())))

    assert (there.retry, there.timeout) == (catena.Retry(attempts=5, pause=1.5), 3)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"attempts": 0}, ValueError, "attempts must be at least 1, it is 0"),
        ({"attempts": 2.5}, TypeError, "attempts must be a whole number, it is 2.5"),
        ({"attempts": True}, TypeError, "attempts must be a whole number, it is True"),
        ({"pause": -1}, ValueError, "pause must be finite and not negative, it is -1"),
        ({"pause": math.inf}, ValueError, "pause must be finite and not negative, it is inf"),
        ({"pause": math.nan}, ValueError, "pause must be finite and not negative, it is nan"),
        ({"pause": "1"}, TypeError, "pause must be a number of seconds, it is '1'"),
    ],
)
def test_a_wrong_retry_is_refused(
    options: dict[str, Any], error: type[Exception], says: str
) -> None:
    """D7: whoever makes it learns which value is wrong."""
    with pytest.raises(error, match=says):
        catena.Retry(**options)


def test_a_routine_takes_no_number_for_a_retry() -> None:
    """D7: the error shows what to write."""
    with pytest.raises(TypeError, match=r"such as Retry\(attempts=3\), it is 3"):
        catena.routine(retry=3)  # type: ignore[call-overload]
