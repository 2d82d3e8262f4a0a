"""Calls that are made where the pool's loop is not: on another loop, or in a thread without one."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import pickle
import threading
from collections.abc import AsyncGenerator
from typing import Any

import pytest

import catena
from catena.dispatch.caller import hand_over
from catena.dispatch.dispatcher import dispatcher
from catena.wire.frames import Nack, NackCode, Next, Task
from tests.dispatch.ends import Through, caller_and_hand, connected
from tests.dispatch.handed import WAYS, call_there, in_thread, iterate_there
from tests.link.ends import Hand
from tests.support import isolated, new_loop, run, variable

color = variable("color")
ended: list[str] = []
started = threading.Event()


class WhereItIsPickled:
    """Remembers the thread in which it was written, and in which it was read."""

    def __init__(self, seen: tuple[int, ...] = ()) -> None:
        self.seen = seen

    def __reduce__(self) -> Any:
        return _read, (threading.get_ident(), color.get("-"))


def _read(written: int, bound: str) -> tuple[int, str, int, str]:
    return written, bound, threading.get_ident(), color.get("-")


@catena.routine
async def paint(new: str) -> str:
    """Return the color and set another one."""
    old = color.get("-")
    color.set(new)
    return old


@catena.routine
async def give_back(value: Any) -> tuple[Any, Any]:
    """Return how a value came, and one that is written here."""
    color.set("there")
    return value, WhereItIsPickled()


@catena.routine
async def fail() -> None:
    """Raise."""
    color.set("failed")
    raise KeyError("no")


@catena.routine
async def paints(*colors: str) -> AsyncGenerator[str, None]:
    """Yield the color and set the next one."""
    for one in colors:
        yield color.get("-")
        color.set(one)
    raise ValueError("no more")


@catena.routine
async def wait_for_ever(text: str) -> None:
    """Wait, and note what it is cancelled with."""
    started.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        ended.append(text)
        color.set("cancelled")
        raise


@catena.routine
async def call_from_thread(way: str) -> str:
    """Call a routine from a thread of the worker, and return what it returns."""
    return await asyncio.to_thread(call_there, way, paint, "nested")


async def until(condition: Any) -> None:
    """Wait until something is so, a while at most."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


# ---- what happens where


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_the_chain_goes_and_comes_back(way: str) -> None:
    """D1c, P10: what is set here is there, and what is set there is here."""

    def work() -> list[str]:
        color.set("red")
        seen = [call_there(way, paint, "blue")]
        if way == "blocking":
            # A Runner has a Context of its own, which is gone with it.
            seen += [color.get(), paint.blocking("green"), color.get()]
        return seen

    async def main() -> None:
        async with connected() as ends:
            expected = ["red", "blue", "blue", "green"]
            assert await in_thread(work) == expected[: 4 if way == "blocking" else 1]
            assert ends.caller.open_calls == 0

    run(main())


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_pickling_and_mounting_happen_in_the_thread_that_calls(way: str) -> None:
    """D1c, P10: arguments are written, and results read, by the caller in its own Context."""

    def work() -> tuple[Any, int]:
        color.set("here")
        return call_there(way, give_back, WhereItIsPickled()), threading.get_ident()

    async def main() -> None:
        async with connected():
            (there, back), thread = await in_thread(work)
            written, bound, read, _ = there
            assert (written, bound) == (thread, "here")
            assert read == threading.get_ident() != thread
            # The chain of the answer is mounted before its value is read.
            assert back[2:] == (thread, "there")

    run(main())


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_an_exception_is_raised_where_the_call_was_made(way: str) -> None:
    """P10, D5: with the chain as it was when it was raised."""

    def work() -> str:
        color.set("red")
        with pytest.raises(KeyError, match="no"):
            call_there(way, fail)
        return color.get()

    async def main() -> None:
        async with connected():
            assert await in_thread(work) == ("failed" if way == "blocking" else "red")

    run(main())


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_a_stream_goes_step_by_step(way: str) -> None:
    """D1c, D2: it takes the chain along at each step, and ends with its error."""

    def work() -> list[str]:
        values = iterate_there(way, paints, "red", "blue")
        seen = [next(values), next(values)]
        with pytest.raises(ValueError, match="no more"):
            next(values)
        return seen

    async def main() -> None:
        async with connected() as ends:
            assert await in_thread(work) == ["-", "red"]
            assert (ends.caller.open_calls, catena.statistics().streams) == (0, 0)

    run(main())


@isolated
def test_a_nested_call_from_a_thread_of_a_worker() -> None:
    """D3: a routine's threads and loops reach the pool of the routine."""

    async def main() -> None:
        async with connected():
            for way in WAYS:
                assert await call_from_thread(way) == "-"

    run(main())


@isolated
def test_many_threads_at_once() -> None:
    """P10: each has its own answers, and nothing is left."""

    def work(number: int) -> list[str]:
        color.set(f"{number}")
        return [*(paint.blocking(f"{number} {turn}") for turn in range(20)), color.get()]

    async def main() -> None:
        async with connected() as ends:
            found = await asyncio.gather(*(in_thread(work, number) for number in range(8)))
            for number, seen in enumerate(found):
                assert seen == [f"{number}", *(f"{number} {turn}" for turn in range(20))]
            assert ends.caller.open_calls == 0
            assert ends.sessions.open_calls == 0

    run(main(), 60)


@isolated
def test_a_chain_of_another_thread_is_refused_before_anything_is_sent() -> None:
    """D1c, C10: in a plain `to_thread`; and `catena.to_thread` gives the thread a fork."""

    async def main() -> None:
        async with connected() as ends:
            color.set("mine")
            for _ in range(50):
                with pytest.raises(catena.ChainContention, match="thread"):
                    await asyncio.to_thread(paint.blocking, "theirs")
            assert ends.sessions.open_calls == 0
            assert await catena.to_thread(paint.blocking, "theirs") == "mine"
            assert color.get() == "mine"
            # The numbers that were kept for them have been given back, and are used.
            assert ends.caller.reserve_number() < 10

    run(main())


# ---- cancelling


@isolated
@pytest.mark.parametrize("way", ["asyncio", "uvloop"])
def test_cancelling_there_sends_cancel(way: str) -> None:
    """P10, D6: the routine is cancelled, and its last answer is mounted where the call was made."""

    async def cancelling() -> str:
        started.clear()
        color.set("mine")
        context = contextvars.copy_context()
        call = asyncio.create_task(wait_for_ever(way), context=context)
        while not started.is_set():
            await asyncio.sleep(0.001)
        call.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await call
        return context[color.backing]

    def work() -> str:
        with asyncio.Runner(loop_factory=lambda: new_loop(way)) as runner:
            return runner.run(cancelling())

    async def main() -> None:
        async with connected() as ends:
            assert await in_thread(work) == "cancelled"
            assert ended.pop() == way
            assert ends.caller.open_calls == 0

    run(main())


@isolated
def test_a_loop_that_ends_abandons_its_calls() -> None:
    """P10: whoever waited there is gone, so the routine is cancelled."""

    def work() -> None:
        loop = asyncio.new_event_loop()
        call = loop.create_task(wait_for_ever("abandoned"))
        started.clear()
        while not started.is_set():
            loop.run_until_complete(asyncio.sleep(0.001))
        call._log_destroy_pending = False  # type: ignore[attr-defined]
        loop.close()
        del call
        gc.collect()

    async def main() -> None:
        async with connected() as ends:
            await in_thread(work)
            gc.collect()
            await until(lambda: ended == ["abandoned"] and not ends.caller.open_calls)
            ended.clear()

    run(main())


@isolated
def test_a_blocking_stream_that_is_dropped_sends_cancel() -> None:
    """D2: it closes the generator, and asks nothing of the chain."""

    def work() -> str:
        values = paints.blocking("red", "blue")
        return next(values)

    async def main() -> None:
        async with connected() as ends:
            assert await in_thread(work) == "-"
            await until(lambda: not ends.caller.open_calls and not ends.sessions.open_calls)

    run(main())


# ---- refusals


@isolated
def test_blocking_on_the_thread_of_the_pools_loop_is_refused() -> None:
    """D1c: it would wait for itself; the error names what to write."""

    async def main() -> None:
        async with connected() as ends:
            with pytest.raises(catena.BlockingRefused, match=r"`await paint\(...\)`") as refused:
                paint.blocking("red")
            assert refused.value.routine.endswith("paint")
            with pytest.raises(catena.BlockingRefused):
                paints.blocking("red")
            with pytest.raises(TypeError, match="surplus"):
                paint.blocking("red", surplus=1)
            assert ends.sessions.open_calls == 0

    run(main())


@isolated
def test_a_blocking_stream_is_refused_on_the_thread_of_the_pools_loop() -> None:
    """D1c: where it goes on, too; elsewhere it goes on."""

    async def main() -> None:
        async with connected():
            values = await in_thread(paints.blocking, "red", "blue")
            with pytest.raises(catena.BlockingRefused):
                next(values)
            assert await in_thread(next, values) == "-"
            assert repr(values) == f"<blocking catena stream {__name__}.paints suspended>"
            await in_thread(values.close)
            assert await in_thread(list, values) == []

    run(main())


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_a_loop_that_stands_still_is_said_at_once(way: str) -> None:
    """P10: NoPool says why; nothing waits."""
    loop = asyncio.new_event_loop()
    try:
        dispatcher.set(_Standing(loop))
        with pytest.raises(catena.NoPool, match="does not run"):
            call_there(way, paint, "red")
    finally:
        loop.close()


class _Standing(Through):
    """A way whose loop does not run."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """A loop that nobody runs."""
        return self._loop


@isolated
def test_a_loop_that_is_blocked_is_said_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """D1c: a coroutine that waits for a thread that calls: one of the two has to give up."""
    monkeypatch.setattr(hand_over, "TAKEN_SECONDS", 0.05)
    found: list[str] = []

    def work() -> None:
        with pytest.raises(catena.NoPool) as refused:
            paint.blocking("red")
        found.append(str(refused.value))

    async def main() -> None:
        async with connected() as ends:
            thread = threading.Thread(target=contextvars.copy_context().run, args=(work,))
            thread.start()
            thread.join()
            assert "has not taken the call" in found[0]
            await asyncio.sleep(0.01)
            assert ends.sessions.open_calls == 0

    run(main())


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_no_pool_is_said_as_anywhere(way: str) -> None:
    """D4: the error says how to open one."""
    with pytest.raises(catena.NoPool, match="no worker pool is open here"):
        call_there(way, paint, "red")


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_a_deadline_holds(way: str) -> None:
    """D6: the time is over in the thread that waits, whatever the pool's loop does."""

    def work() -> float:
        started.clear()
        with catena.RuntimeContext(timeout=0.05), pytest.raises(TimeoutError):
            call_there(way, wait_for_ever, f"late {way}")
        return True

    async def main() -> None:
        async with connected() as ends:
            assert await in_thread(work)
            await until(lambda: not ends.caller.open_calls)
            ended.clear()

    run(main())


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_a_pool_that_closes_meanwhile_ends_the_call(way: str) -> None:
    """D7: WorkerLost says that the pool was closed, and that the call had begun."""

    def work() -> Any:
        with pytest.raises(catena.WorkerLost) as lost:
            call_there(way, wait_for_ever, "lost")
        return lost.value

    async def main() -> None:
        started.clear()
        async with connected() as ends:
            call = asyncio.create_task(in_thread(work))
            await until(started.is_set)
            await ends.caller.close()
            lost = await call
            assert (lost.closed, lost.begun, lost.worker) == (True, True, "far")
            pickle.loads(pickle.dumps(lost))
        ended.clear()

    run(main())


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_a_worker_that_refuses_is_passed_over(way: str) -> None:
    """D7: a Nack proves that the call did not begin; another worker is tried."""

    async def main() -> None:
        async with caller_and_hand(2) as (caller, first, other, second):
            call = asyncio.create_task(in_thread(call_there, way, paint, "red"))
            task = await _take_call(first)
            await first.send(Nack(task.call, NackCode.DRAINING))
            again = await _take_call(second)
            await second.send(Nack(again.call, NackCode.BUSY, "full"))
            with pytest.raises(catena.Busy, match="full"):
                await call
            await until(lambda: len(other.spare_numbers) == 1)
            assert (caller.open_calls, other.open_calls) == (0, 0)

    run(main())


async def _take_call(hand: Hand) -> Task:
    """Return the Task that came, with its callable; its drive comes after it."""
    task = await hand.frame()
    assert isinstance(task, Task)
    assert task.callable
    assert isinstance(await hand.frame(), Next)
    return task
