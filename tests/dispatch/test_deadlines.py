"""Deadlines: how long a call may run and its hand-over may take, and what others inherit."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import pytest

import catena
from catena.context.options import Options, options
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.dispatcher import dispatcher
from catena.pickling import pickler
from catena.remote_exceptions.pickled import pickle_exception, unpickle_exception
from catena.wire.frames import Ack, Cancel, ExceptionFrame, Nack, NackCode, Result, Task
from tests.dispatch.ends import Through, caller_and_hand, connected, hand_and_sessions, opening
from tests.link.ends import Hand, settle
from tests.support import LOOPS, isolated, run

state: catena.ContextVar[str] = catena.ContextVar("state", namespace="tests.deadlines")
log: list[str] = []

# A busy machine begins a routine well within SOON; a call whose time is up before has no cause.
SOON, LATER = 0.25, 30.0
SOON_NS = int(SOON * 1e9)
CANCELLED = pickle_exception(asyncio.CancelledError(), worker="w1", routine="r")
VALUE = pickler.dumps("value")


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    log.clear()


@catena.routine
async def tidy() -> None:
    """Wait, and take a while to clean up; a second cancellation would cut that short."""
    log.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(2 * SOON)
        state.set("tidied")
        log.append("tidied")


@catena.routine
async def outer() -> None:
    """Dispatch on, and see how that ends."""
    try:
        await tidy()
    finally:
        log.append(f"outer saw {state.get()}")


@catena.routine(timeout=SOON)
async def short() -> None:
    """A bound of its own."""
    await tidy.local()


@catena.routine
async def deaf() -> str:
    """Answer in spite of a cancel."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        state.set("swallowed")
    return "answer"


@catena.routine
async def turns() -> None:
    """Turn a cancel into another exception."""
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise KeyError("turned") from None


@catena.routine(cancel_grace=SOON)
async def hasty() -> None:
    """A short grace; a hand plays its worker."""


@catena.routine(dispatch_timeout=SOON)
async def handed() -> str:
    """A bounded hand-over of its own, and a long grace; a hand plays its worker."""
    return ""


@catena.routine(dispatch_timeout=SOON, cancel_grace=SOON)
async def dropped() -> None:
    """A bounded hand-over and a short grace; a hand plays its worker."""


@catena.routine
async def plain() -> str:
    """No options; a hand plays its worker."""
    return ""


@catena.routine
async def inherits(depth: int) -> list[Options | None]:
    """Return the options that so many calls have, each made by the one before."""
    return [options.get(), *(await inherits(depth - 1) if depth else [])]


@catena.routine
async def steps() -> Any:
    """Yield twice, then wait; note when that ends."""
    try:
        yield 1
        yield 2
        await asyncio.Event().wait()
    finally:
        log.append("closed")


async def _opened(hand: Hand) -> Task:
    task = await hand.frame()
    assert isinstance(task, Task)
    assert await hand.symbols(1) == ["next"]
    return task


@pytest.mark.parametrize("loop", LOOPS)
@isolated
def test_an_expired_call_is_cancelled_and_its_last_frame_mounted(loop: str) -> None:
    """D6: TimeoutError, after the routine has cleaned up undisturbed, with what it wrote."""

    async def main() -> None:
        async with connected() as ends:
            with pytest.raises(TimeoutError) as caught, catena.RuntimeContext(timeout=SOON):
                await tidy()
            assert type(caught.value) is TimeoutError
            assert log == ["begun", "tidied"]
            assert state.get() == "tidied"
            assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main(), loop=loop)


@isolated
def test_a_nested_call_inherits_the_deadline_and_is_cleaned_up_first() -> None:
    """D6: two deep, each is cancelled once, so each waits for the one it called."""

    async def main() -> None:
        async with connected() as ends:
            with pytest.raises(TimeoutError), catena.RuntimeContext(timeout=SOON):
                await outer()
            assert log == ["begun", "tidied", "outer saw tidied"]
            assert state.get() == "tidied"
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


@isolated
def test_a_routine_that_swallows_it_or_turns_it() -> None:
    """D6: an answer in spite of the Cancel comes too late; another exception is what is raised."""

    async def main() -> None:
        async with connected():
            with catena.RuntimeContext(timeout=SOON):
                with pytest.raises(TimeoutError):
                    await deaf()
                assert state.get() == "swallowed"
                with pytest.raises(KeyError, match="turned"):
                    await turns()

    run(main())


def test_the_caller_goes_on_when_the_grace_is_over() -> None:
    """D6: without a last frame there is TimeoutError, and what comes later ends the call."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            with pytest.raises(TimeoutError), catena.RuntimeContext(timeout=SOON):
                await hasty()
            await _opened(hand)
            assert await hand.frame() == Cancel(1)
            assert caller.open_calls == 1
            await hand.send(Ack(1), ExceptionFrame(1, CANCELLED))
            assert caller.open_calls == 0

    run(main())


def test_no_time_left_sends_nothing() -> None:
    """D6: a call whose time is up before it is sent fails without a frame."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            with pytest.raises(TimeoutError), catena.RuntimeContext(timeout=0):
                await plain()
            assert await hand.nothing()

    run(main())


@pytest.mark.parametrize("crossing", ["worker's timer", "routine cancelled"])
def test_a_cancellation_from_outside_stays_one(crossing: str) -> None:
    """D6: with the time up as well, who is cancelled from outside sees CancelledError."""
    late = pickle_exception(TimeoutError("late"), worker="w1", routine="r")
    last = ExceptionFrame(1, late if crossing == "worker's timer" else CANCELLED)

    async def bounded() -> None:
        with catena.RuntimeContext(timeout=SOON):
            await plain()

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            task = asyncio.create_task(bounded())
            await _opened(hand)
            await hand.send(Ack(1))
            assert await hand.frame() == Cancel(1)
            task.cancel()
            await settle()
            await hand.send(last)
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await hand.nothing()

    run(main())


@isolated
def test_an_outer_timeout_and_a_deadline_compose() -> None:
    """D6: the one that is first decides, and neither takes the other for its own."""

    async def main() -> None:
        async with connected():
            with pytest.raises(TimeoutError) as caught, catena.RuntimeContext(timeout=LATER):
                async with asyncio.timeout(SOON) as around:
                    await tidy()
            assert around.expired()
            async with asyncio.timeout(LATER) as around:
                with pytest.raises(TimeoutError) as caught, catena.RuntimeContext(timeout=SOON):
                    await tidy()
            assert "tidy ran out of time" in str(caught.value)
            assert not around.expired()

    run(main())


def test_the_worker_keeps_the_time_on_its_own() -> None:
    """D6: a caller that says nothing more gets the TimeoutError of the worker's own timer."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            task, drive = opening(1, tidy)
            await hand.send(task._replace(timeout_ns=SOON_NS), drive)
            assert await hand.frame() == Ack(1)
            answer: Any = await hand.frame()
            error = unpickle_exception(answer.payload)
            assert type(error) is TimeoutError
            assert type(error.__cause__) is asyncio.CancelledError
            assert log == ["begun", "tidied"]
            assert sessions.open_calls == 0

    run(main())


def test_the_worker_cancels_once() -> None:
    """D6: a Cancel that comes when the time is up already does not cut the clean-up short."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            task, drive = opening(1, tidy)
            await hand.send(task._replace(timeout_ns=SOON_NS), drive)
            assert await hand.frame() == Ack(1)
            while not sessions.open_sessions[1].expired:
                await asyncio.sleep(0)
            await hand.send(Cancel(1))
            answer: Any = await hand.frame()
            assert type(unpickle_exception(answer.payload)) is asyncio.CancelledError
            assert log == ["begun", "tidied"]
            assert sessions.open_calls == 0

    run(main())


def test_time_left_is_inherited_and_shrinks() -> None:
    """D8: each nested call has the deadline of the first, none of its seconds, and the option."""

    async def main() -> None:
        async with connected():
            with catena.RuntimeContext(timeout=LATER, dispatch_timeout=7.5):
                seen = [one or Options() for one in await inherits(2)]
            assert [(one.timeout, one.dispatch_timeout) for one in seen] == 3 * [(None, 7.5)]
            assert len([one for one in seen if one.deadline]) == 3
            assert await inherits(1) == [None, None]

    run(main())


def test_what_is_sent() -> None:
    """D8: an explicit value is on the wire, as a duration, and an unset one is absent."""

    async def told(hand: Hand, what: Any, **given: float) -> tuple[int | None, int | None]:
        with catena.RuntimeContext(**given):
            call = asyncio.create_task(what())
        task = await _opened(hand)
        await hand.send(Ack(task.call), Result(task.call, VALUE))
        await call
        return task.timeout_ns, task.dispatch_timeout_ns

    async def main() -> None:
        second = 1_000_000_000
        async with caller_and_hand() as (_, hand):
            assert await told(hand, plain) == (None, None)
            assert await told(hand, plain, dispatch_timeout=2) == (None, 2 * second)
            assert await told(hand, plain, dispatch_timeout=math.inf) == (None, 2**64 - 1)
            assert await told(hand, plain, timeout=math.inf) == (2**64 - 1, None)
            # A routine's own bound of its hand-over is none of the calls that it makes.
            assert await told(hand, handed) == (None, None)
            left, _ = await told(hand, plain, timeout=20)
            assert 0 < left <= 20 * second
            left, _ = await told(hand, short, timeout=20)
            assert second < left <= 20 * second
            with catena.RuntimeContext(timeout=20, kill_after=3):
                call = asyncio.create_task(plain())
            task = await _opened(hand)
            await hand.send(Ack(task.call), Result(task.call, VALUE))
            await call
            assert task.kill_after_ns == 3 * second
            options.set(Options(deadline=asyncio.get_running_loop().time() + 10))
            left, _ = await told(hand, plain, timeout=20)
            assert 0 < left <= 10 * second

    run(main())


@isolated
def test_a_routines_own_timeout() -> None:
    """D8: a routine's declaration holds where no block says anything, also when sent by value."""

    async def main() -> None:
        async with connected():
            with pytest.raises(TimeoutError):
                await short()
            assert log == ["begun", "tidied"]
            copied = pickler.loads(pickler.dumps(_closure()))
            assert copied.__catena_routine__.timeout == 3
            assert copied.__catena_routine__.dispatch_timeout == 4
            assert copied.__catena_routine__.kill_after == 5

    run(main())


def _closure() -> Any:
    @catena.routine(timeout=3, dispatch_timeout=4, kill_after=5)
    async def local() -> None:
        """Sent by value."""

    return local


def test_without_an_ack_the_hand_over_expires() -> None:
    """D6: Cancel is sent, the grace waited for, and DispatchTimeout raised with its facts."""

    async def main() -> None:
        async with caller_and_hand(2) as (_, hand, __, other):
            with pytest.raises(catena.DispatchTimeout) as caught:
                await dropped()
            assert (await _opened(hand)).call == 1
            assert await hand.frame() == Cancel(1)
            assert await other.nothing()
            error = caught.value
            assert isinstance(error, TimeoutError)
            assert (error.worker, error.seconds) == ("w1", SOON)
            assert error.routine.endswith("dropped")

    run(main())


def test_a_nack_within_the_grace_tries_another_worker() -> None:
    """D6, D7: only the proof that the call did not begin sends it elsewhere."""

    async def main() -> None:
        async with caller_and_hand(2) as (_, first, __, second):
            call = asyncio.create_task(handed())
            await _opened(first)
            assert await first.frame() == Cancel(1)
            await first.send(Nack(1, NackCode.DRAINING))
            task = await _opened(second)
            await second.send(Ack(task.call), Result(task.call, VALUE))
            assert await call == "value"

    run(main())


@isolated
@pytest.mark.parametrize("last", ["exception", "crossed", "answered"])
def test_an_ack_within_the_grace_is_too_late(last: str) -> None:
    """D6: what the routine did all the same is mounted, and the call has failed."""
    answers = {
        "exception": ExceptionFrame(1, CANCELLED),
        "crossed": Result(1, VALUE),
        "answered": Result(1, VALUE, symbol="return+"),
    }

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            call = asyncio.create_task(handed())
            await _opened(hand)
            assert await hand.frame() == Cancel(1)
            await hand.send(Ack(1), answers[last])
            with pytest.raises(catena.DispatchTimeout):
                await call
            assert caller.open_calls == 0

    run(main())


def test_an_ack_in_time_ends_the_hand_over() -> None:
    """D6: an accepted call may take as long as it likes."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            call = asyncio.create_task(handed())
            await _opened(hand)
            await hand.send(Ack(1))
            await asyncio.sleep(2 * SOON)
            assert await hand.nothing()
            await hand.send(Result(1, VALUE))
            assert await call == "value"

    run(main())


@pytest.mark.parametrize("name", ["timeout", "dispatch_timeout"])
def test_reaching_a_worker_counts(name: str) -> None:
    """D6: the time that a connection takes is part of the hand-over, and of the whole."""

    class Unreachable(Through):
        async def reach_worker(self, routine: str) -> WorkerConnection:
            await asyncio.Event().wait()
            raise AssertionError(routine)

    async def main() -> None:
        dispatcher.set(Unreachable())
        with pytest.raises(TimeoutError) as caught, catena.RuntimeContext(**{name: SOON}):
            await plain()
        assert isinstance(caught.value, catena.DispatchTimeout) == (name == "dispatch_timeout")
        if isinstance(caught.value, catena.DispatchTimeout):
            assert str(caught.value).startswith("no worker that could be reached accepted")

    run(main())


def test_a_worker_that_is_lost_says_so() -> None:
    """D7: a bounded call on a lost link is WorkerLost, as any other."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            with catena.RuntimeContext(timeout=LATER, dispatch_timeout=LATER):
                call = asyncio.create_task(plain())
            await _opened(hand)
            await hand.transport.close()
            with pytest.raises(catena.WorkerLost):
                await call

    run(main())


@isolated
def test_a_stream_is_bounded_as_a_whole() -> None:
    """D6: the step during which the time is up raises, the generator is closed, and it is over."""

    async def main() -> None:
        async with connected() as ends:
            stream = steps()
            with catena.RuntimeContext(timeout=SOON):
                assert await anext(stream) == 1
            assert await anext(stream) == 2
            with pytest.raises(TimeoutError):
                await anext(stream)
            assert log == ["closed"]
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


@pytest.mark.parametrize("then", ["anext", "aclose"])
def test_a_suspended_stream_is_closed_when_its_time_is_up(then: str) -> None:
    """D6: nobody has to ask for the worker to be free again; the next step tells."""

    async def main() -> None:
        async with connected() as ends:
            with catena.RuntimeContext(timeout=SOON):
                stream = steps()
                assert await anext(stream) == 1
            while "closed" not in log:
                await asyncio.sleep(SOON)
            await settle()
            assert ends.caller.open_calls == ends.sessions.open_calls == 0
            if then == "anext":
                with pytest.raises(TimeoutError):
                    await anext(stream)
            else:
                await stream.aclose()
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            assert catena.statistics().streams == 0

    run(main())


def test_a_streams_first_hand_over_is_bounded() -> None:
    """D6: dispatch_timeout bounds a stream's first step until its Ack, and no later one."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            with catena.RuntimeContext(dispatch_timeout=SOON):
                stream = steps()
                first = asyncio.create_task(anext(stream))
            await _opened(hand)
            await hand.send(Ack(1), Result(1, VALUE, None, "yield"))
            assert await first == "value"
            later = asyncio.create_task(anext(stream))
            assert await hand.symbols(1) == ["next"]
            await asyncio.sleep(2 * SOON)
            assert await hand.nothing()
            await hand.send(Result(1, VALUE))
            with pytest.raises(StopAsyncIteration):
                await later

    run(main())


def test_every_worker_busy() -> None:
    """C16: each worker is asked once, and Busy tells who refused and why."""

    async def refuse(hand: Hand, text: str) -> None:
        task = await _opened(hand)
        await hand.send(Nack(task.call, NackCode.BUSY, text))

    async def main() -> None:
        async with caller_and_hand(2) as (_, one, __, two):
            call = asyncio.create_task(plain())
            await refuse(one, "3 calls")
            await refuse(two, "4 calls")
            with pytest.raises(catena.Busy) as caught:
                await call
            assert (caught.value.worker, caught.value.reason) == ("w1, w2", "4 calls")
            assert await one.nothing()
            call = asyncio.create_task(plain())
            await refuse(one, "")
            task = await _opened(two)
            await two.send(Ack(task.call), Result(task.call, VALUE))
            assert await call == "value"

    run(main())
