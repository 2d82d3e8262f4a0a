"""Cancellation: the routine is told, its clean-up awaited, its last writes mounted."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import catena
from catena.errors import WorkerLost
from catena.pickling import pickler
from catena.remote_exceptions.pickled import pickle_exception
from catena.wire.frames import Ack, Cancel, ExceptionFrame, Next, Result
from tests.dispatch.ends import caller_and_hand, connected, hand_and_sessions, opening
from tests.link.ends import settle
from tests.support import isolated, run

state: catena.ContextVar[str] = catena.ContextVar("state", namespace="tests.cancel")
log: list[str] = []


@pytest.fixture(autouse=True)
def _fresh_log() -> None:
    log.clear()


@catena.routine
async def tidy() -> None:
    """Wait, and clean up when cancelled."""
    state.set("begun")
    log.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        state.set("tidied")
        log.append("tidied")


@catena.routine
async def deaf() -> str:
    """Answer in spite of a cancel."""
    log.append("begun")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        state.set("swallowed")
    return "answer"


@catena.routine
async def turns() -> None:
    """Turn a cancel into another exception."""
    log.append("begun")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        raise KeyError("turned") from None


@catena.routine(cancel_grace=0.05)
async def slow() -> None:
    """Take longer than the grace to clean up."""
    state.set("begun")
    log.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.3)
        state.set("late")
        log.append("late")


@catena.routine(cancel_grace=30)
async def held_up() -> None:
    """Clean up for as long as the test likes."""
    log.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        await _logged("go on")
        log.append("late")


@catena.routine
async def quick() -> None:
    """Clean up at once."""
    log.append("begun")
    try:
        await asyncio.Event().wait()
    finally:
        state.set("tidied")


@catena.routine
async def reads() -> None:
    """Note what it is cancelled with."""
    log.append("begun")
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError as cancelled:
        log.append(repr(cancelled.args))
        raise


@catena.routine
async def reads_in_a_step() -> Any:
    """Do the same in a generator."""
    yield await reads.local()


class Stubborn:
    """A message that will not be text."""

    def __str__(self) -> str:
        raise SystemExit("no text")


@catena.routine
async def own() -> None:
    """Raise a CancelledError of its own accord."""
    raise asyncio.CancelledError("mine")


@catena.routine
async def steps() -> Any:
    """Yield, then wait for ever; clean up when that ends."""
    log.append("begun")
    try:
        yield 1
        log.append("waiting")
        await asyncio.Event().wait()
    finally:
        state.set("closed")
        log.append("closed")


@catena.routine
async def stubborn() -> Any:
    """Go on yielding whatever happens."""
    n = 0
    while True:
        try:
            yield n
            n += 1
            log.append("waiting")
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("swallowed")
        except GeneratorExit:
            log.append("closed")
            raise


async def _logged(word: str) -> None:
    async with asyncio.timeout(5):
        while word not in log:
            await asyncio.sleep(0.001)


@isolated
def test_the_routine_cleans_up_and_its_writes_are_mounted() -> None:
    """D6: cancelling waits for the routine's last frame and mounts it, as a local await would."""

    async def main() -> None:
        state.set("mine")
        async with connected() as ends:

            async def work() -> None:
                try:
                    await tidy()
                finally:
                    log.append(state.get())

            task = asyncio.create_task(work())
            await _logged("begun")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert log == ["begun", "tidied", "tidied"]
            assert state.get() == "mine"
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


@isolated
def test_a_routine_that_swallows_the_cancel_answers() -> None:
    """D6: a routine that returns in spite of the cancel returns to its caller, writes included."""

    async def main() -> None:
        async with connected():

            async def work() -> tuple[str, str]:
                return await deaf(), state.get()

            task = asyncio.create_task(work())
            await _logged("begun")
            task.cancel()
            assert await task == ("answer", "swallowed")

    run(main())


def test_a_routine_that_turns_the_cancel_raises_that() -> None:
    """D6: the exception that a cancelled routine raises instead is what its caller sees."""

    async def main() -> None:
        async with connected():
            task = asyncio.create_task(turns())
            await _logged("begun")
            task.cancel()
            with pytest.raises(KeyError, match="turned"):
                await task

    run(main())


@isolated
def test_a_timeout_around_a_call_is_a_timeout() -> None:
    """D6: asyncio.timeout works over a call as over a local await."""

    async def main() -> None:
        async with connected():
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await tidy()
            assert log[-1] == "tidied"
            assert state.get() == "tidied"

    run(main())


def test_a_routines_own_cancelled_error_reaches_the_caller() -> None:
    """D6: it arrives as such, and the caller's task is not being cancelled."""

    async def main() -> None:
        async with connected():
            with pytest.raises(asyncio.CancelledError, match="mine"):
                await own()
            this = asyncio.current_task()
            assert this is not None
            assert this.cancelling() == 0

    run(main())


@isolated
def test_when_the_grace_is_over_the_caller_goes_on() -> None:
    """D6: the chain stays as the last mounted frame left it; the clean-up goes on over there."""

    async def main() -> None:
        async with connected() as ends:

            async def work() -> None:
                state.set("before")
                try:
                    await slow()
                finally:
                    log.append(state.get())

            task = asyncio.create_task(work())
            await _logged("begun")
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert log == ["begun", "before"]
            await _logged("late")
            await settle()
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


def test_a_second_cancel_stops_waiting_and_not_the_clean_up() -> None:
    """D6: who cancels twice is let go soon; the routine still ends in its own way."""

    async def main() -> None:
        async with connected():
            task = asyncio.create_task(held_up())
            await _logged("begun")
            task.cancel()
            await settle()
            task.cancel("again")
            await asyncio.wait([task], timeout=5)
            assert task.cancelled()
            with pytest.raises(asyncio.CancelledError, match="again"):
                await task
            assert "late" not in log
            log.append("go on")
            await _logged("late")

    run(main())


@isolated
@pytest.mark.parametrize("messages", [(None, None), ("one", "two"), ("same", "same")])
@pytest.mark.parametrize("routine", [quick, turns])
def test_a_second_cancel_one_turn_later_loses_no_writes(
    routine: Any, messages: tuple[str | None, str | None]
) -> None:
    """D6: the last frame of a routine that ends at once is mounted, whatever cancels again."""

    async def ended(call: Any) -> tuple[str, str]:
        log.clear()

        async def work() -> None:
            state.set("mine")
            try:
                await call()
            except BaseException as error:
                log.append(f"{type(error).__name__} {error.args[:1]} {state.get()}")

        task = asyncio.create_task(work())
        await _logged("begun")
        for message in messages:
            task.cancel(message)
            await asyncio.sleep(0)
        await asyncio.wait([task])
        return tuple(log)

    async def main() -> None:
        async with connected():
            assert await ended(routine) == await ended(routine.local)

    run(main())


@isolated
def test_a_cancellation_that_is_repeated_at_every_turn_is_one() -> None:
    """D6: a scope of anyio cancels its tasks again and again, with one message of its own."""

    async def main() -> None:
        async with connected() as ends:
            task = asyncio.create_task(_seeing(tidy()))
            await _logged("begun")
            while not task.done():
                task.cancel("by the scope")
                await asyncio.sleep(0)
            assert await task == (("by the scope",), "tidied")
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


@pytest.mark.parametrize("message", ["enough", "", "\ud800", "x" * 5000, 42, None, Stubborn()])
@pytest.mark.parametrize("call", [tidy, lambda: anext(reads_in_a_step())])
def test_the_message_of_a_cancellation_arrives_and_comes_back(call: Any, message: Any) -> None:
    """D6: the caller sees what a local await would raise; the routine sees the message as text."""

    async def main() -> None:
        async with connected():
            task = asyncio.create_task(_seeing(call()))
            await _logged("begun")
            task.cancel(message)
            args, _ = await task
            assert args == (() if message is None else (message,))

    run(main())


@pytest.mark.parametrize("message", ["enough", "\ud800", 42, None])
def test_a_routine_sees_the_message_of_a_cancellation(message: Any) -> None:
    """D6: as text, in a coroutine and in a generator that is waiting."""
    seen = () if message is None else ("?" if message == "\ud800" else str(message),)

    async def main() -> None:
        async with connected():
            for call in (reads(), anext(reads_in_a_step())):
                log.clear()
                task = asyncio.ensure_future(call)
                await _logged("begun")
                task.cancel(message)
                await asyncio.wait([task])
                assert log[-1] == repr(seen)

    run(main())


async def _seeing(call: Any) -> tuple[Any, str]:
    """Return the arguments of what cancels a call, and what its routine set."""
    state.set("mine")
    try:
        await call
    except asyncio.CancelledError as cancelled:
        return cancelled.args, state.get()
    raise AssertionError("it was not cancelled")


def test_a_call_cancelled_before_its_routine_starts_never_starts_it() -> None:
    """D6: Cancel that comes with the opening frames is heard before the body runs."""

    async def main() -> None:
        async with connected() as ends:
            for routine in (tidy, deaf):
                task = asyncio.create_task(routine())
                await asyncio.sleep(0)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            stream = steps()
            step = asyncio.create_task(anext(stream))
            await asyncio.sleep(0)
            step.cancel()
            with pytest.raises(asyncio.CancelledError):
                await step
            assert log == []
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


def test_a_stream_cancelled_in_a_step_is_closed() -> None:
    """D6: the generator's clean-up has run when the cancelled step returns."""

    async def main() -> None:
        async with connected() as ends:
            stream = steps()
            assert await anext(stream) == 1
            step = asyncio.create_task(anext(stream))
            await _logged("waiting")
            step.cancel()
            with pytest.raises(asyncio.CancelledError):
                await step
            assert log == ["begun", "waiting", "closed"]
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            assert ends.caller.open_calls == ends.sessions.open_calls == 0

    run(main())


def test_a_stream_that_swallows_a_cancel_goes_on() -> None:
    """D6: a yield after a cancel is the step's answer, and the stream can be driven on."""

    async def main() -> None:
        async with connected():
            stream = stubborn()
            assert await anext(stream) == 0
            for n in (1, 2):
                step = asyncio.create_task(anext(stream))
                await settle()
                step.cancel()
                assert await step == n
            await stream.aclose()
            assert log[-1] == "closed"

    run(main())


# ---- a lost link


@pytest.mark.parametrize("routine", [tidy, steps], ids=["call", "stream"])
def test_a_worker_that_loses_the_link_cancels_what_runs(routine: Any) -> None:
    """D6: a running body is cancelled and cleans up; its caller learns at once that it began."""

    async def main() -> None:
        async with connected() as ends:
            if routine is steps:
                stream = steps()
                await anext(stream)
                task = asyncio.create_task(anext(stream))
                await _logged("waiting")
            else:
                task = asyncio.create_task(tidy())
                await _logged("begun")
            await ends.far.close()
            with pytest.raises(WorkerLost) as lost:
                await task
            assert lost.value.begun is True
            assert lost.value.worker == "far"
            await _logged("closed" if routine is steps else "tidied")
            assert ends.sessions.open_calls == ends.caller.open_calls == 0

    run(main())


def test_a_worker_that_loses_the_link_closes_suspended_generators() -> None:
    """D6: a generator between two steps is closed in its own context."""

    async def main() -> None:
        async with connected() as ends:
            stream = steps()
            await anext(stream)
            await ends.far.close()
            await _logged("closed")

    run(main())


def test_the_step_after_a_lost_link_is_worker_lost() -> None:
    """D7: a stream whose worker went away between two steps says so; it does not repeat itself."""

    async def main() -> None:
        async with connected() as ends:
            stream = steps()
            assert await anext(stream) == 1
            await ends.far.close()
            await settle()
            with pytest.raises(WorkerLost):
                await anext(stream)
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())


@pytest.mark.parametrize("routine", [tidy, steps], ids=["call", "stream"])
def test_a_link_lost_before_the_body_starts_keeps_it_from_starting(routine: Any) -> None:
    """D6: what has not begun when the link ends does not begin for nobody."""

    async def main() -> None:
        async with hand_and_sessions() as (_, sessions):
            for frame in opening(1, routine):
                sessions.receive(frame)
            sessions.link_ended(ConnectionError("gone"))
            await settle()
            await asyncio.sleep(0.02)
            assert log == []

    run(main())


def test_a_generator_that_swallows_the_loss_is_closed_all_the_same() -> None:
    """D6: nobody will drive it again, so it is closed where it yields next."""

    async def main() -> None:
        async with hand_and_sessions() as (hand, sessions):
            await hand.send(*opening(1, stubborn))
            assert await hand.symbols(2) == ["ack", "yield"]
            await hand.send(opening(1, stubborn)[1])
            await _logged("waiting")
            sessions.link_ended(ConnectionError("gone"))
            await _logged("swallowed")
            await asyncio.sleep(0.02)
            assert log[-1] == "closed"

    run(main())


# ---- what crosses the Cancel, played by hand


def _answer(value: Any) -> bytes:
    return pickler.dumps(value)


def test_an_answer_that_crossed_the_cancel_does_not_stop_it() -> None:
    """D6: a result sent before the Cancel was heard is mounted, and the cancellation goes on."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            task = asyncio.create_task(deaf())
            assert await hand.symbols(2) == ["task", "next"]
            await hand.send(Ack(1))
            task.cancel()
            assert await hand.frame() == Cancel(1)
            await hand.send(Result(1, _answer("crossed")))
            with pytest.raises(asyncio.CancelledError):
                await task
            assert caller.open_calls == 0

    run(main())


@pytest.mark.parametrize("turns", range(12))
def test_a_stream_is_closed_whenever_its_first_step_is_cancelled(turns: int) -> None:
    """D2, D6: also where the first value has arrived, and its caller has not had its turn yet."""

    async def main() -> None:
        async with connected() as ends:
            task = asyncio.create_task(anext(steps()))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task], timeout=5)
            await settle()
            assert task.done()
            assert (ends.caller.open_calls, ends.sessions.open_calls) == (0, 0)

    run(main())


def test_a_yield_that_crossed_the_cancel_waits_for_the_close() -> None:
    """D6: the worker will find the Cancel while idle; its last frame is awaited and raised."""

    async def main() -> None:
        async with caller_and_hand() as (caller, hand):
            stream = steps()
            task = asyncio.create_task(anext(stream))
            await hand.symbols(2)
            await hand.send(Ack(1))
            task.cancel()
            assert await hand.frame() == Cancel(1)
            await hand.send(Result(1, _answer(1), None, "yield"))
            assert not task.done()
            gone = pickle_exception(asyncio.CancelledError(), worker="w1", routine="r")
            await hand.send(ExceptionFrame(1, gone))
            with pytest.raises(asyncio.CancelledError):
                await task
            assert caller.open_calls == 0

    run(main())


def test_a_second_cancel_after_a_crossed_yield_is_a_cancel() -> None:
    """D6: while the close is awaited a second cancel still lets the caller go, as a cancel."""

    async def main() -> None:
        async with caller_and_hand() as (_, hand):
            stream = steps()
            task = asyncio.create_task(anext(stream))
            await hand.symbols(2)
            await hand.send(Ack(1), Result(1, _answer(0), None, "yield"))
            assert await task == 0
            task = asyncio.create_task(anext(stream))
            assert await hand.frame() == Next(1)
            task.cancel()
            assert await hand.frame() == Cancel(1)
            await hand.send(Result(1, _answer(1), None, "yield"))
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            with pytest.raises(StopAsyncIteration):
                await anext(stream)

    run(main())
