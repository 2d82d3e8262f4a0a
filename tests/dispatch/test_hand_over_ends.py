"""How a call ends that was handed over: interrupts, loops that stop, and who observes it."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import pytest

import catena
from catena.dispatch.caller import hand_over, handed_call
from catena.dispatch.dispatcher import dispatcher
from catena.events import Dispatch, Execution
from catena.events.bus import observe
from catena.testing import recording
from tests.dispatch.ends import Ends, connected
from tests.dispatch.handed import WAYS, call_there, in_thread
from tests.support import Looking, isolated, run, variable

color = variable("color")
ended: list[str] = []
started = threading.Event()
SECONDS = 20.0


@catena.routine
async def wait_for_ever(text: str) -> None:
    """Wait, and note what was cancelled."""
    started.set()
    try:
        await asyncio.Event().wait()
    finally:
        ended.append(text)
        color.set("cancelled")


@catena.routine
async def greet() -> str:
    """Return at once."""
    return "hello"


class Serving:
    """A loop in a thread of its own, with both ends of a link, that can stand still."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._context = contextvars.copy_context()
        self._stack = AsyncExitStack()
        self._thread: threading.Thread | None = None
        self.ends: Ends = self._complete(self._enter())
        self.through = self._context[dispatcher]

    async def _enter(self) -> Ends:
        return await self._stack.enter_async_context(connected())

    def _complete(self, coroutine: Any) -> Any:
        task = self.loop.create_task(coroutine, context=self._context)
        return self.loop.run_until_complete(task)

    def start(self) -> None:
        """Have the loop run."""
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()

    def stop(self) -> None:
        """Have the loop stand still."""
        if self._thread is not None:
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(SECONDS)
            self._thread = None

    def close(self) -> None:
        """End all of it."""
        self.stop()
        self._complete(self._stack.aclose())
        self.loop.close()


@contextmanager
def serving() -> Iterator[Serving]:
    """Run a loop with a link in another thread, and dispatch to it from this one."""
    one = Serving()
    one.start()
    dispatcher.set(one.through)
    started.clear()
    ended.clear()
    try:
        yield one
    finally:
        one.close()


@contextmanager
def interruptible() -> Iterator[None]:
    """Take SIGINT as Python does; it is ignored where the tests were started in the background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@isolated
def test_an_interrupt_cancels_the_routine() -> None:
    """D1c: Ctrl-C in the thread that waits sends Cancel; the last answer is mounted."""
    main = threading.main_thread().ident
    assert main == threading.get_ident()

    def interrupt() -> None:
        started.wait(SECONDS)
        signal.pthread_kill(main, signal.SIGINT)

    with serving() as one, interruptible():
        thread = threading.Thread(target=interrupt)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            wait_for_ever.blocking("interrupted")
        thread.join(SECONDS)
        assert ended == ["interrupted"]
        assert color.get() == "cancelled"
        # The thread may go on.
        assert greet.blocking() == "hello"
        assert one.ends.caller.open_calls == 0


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_a_loop_that_stops_meanwhile_loses_its_calls(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D1c, P10: nobody waits for ever; the error says that the call had begun."""
    monkeypatch.setattr(handed_call, "LOOK_SECONDS", 0.02)
    with serving() as one:

        def stop() -> None:
            started.wait(SECONDS)
            one.stop()

        thread = threading.Thread(target=stop)
        thread.start()
        with pytest.raises(catena.WorkerLost, match="event loop has ended") as lost:
            call_there(way, wait_for_ever, "lost")
        assert lost.value.begun in (True, None)
        thread.join(SECONDS)
        with pytest.raises(catena.NoPool, match="does not run"):
            call_there(way, greet)
        one.start()
        assert call_there(way, greet) == "hello"


@isolated
def test_a_loop_that_stops_while_a_worker_is_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """P10: nothing was sent, and the error is NoPool."""
    monkeypatch.setattr(hand_over, "LOOK_SECONDS", 0.02)
    reaching = threading.Event()
    with serving() as one:

        async def reach_worker(_: str) -> Any:
            reaching.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(one.through, "pick_connection", lambda: None)
        monkeypatch.setattr(one.through, "reach_worker", reach_worker)

        def stop() -> None:
            reaching.wait(SECONDS)
            one.stop()

        thread = threading.Thread(target=stop)
        thread.start()
        with pytest.raises(catena.NoPool, match="does not run"):
            greet.blocking()
        thread.join(SECONDS)
        one.start()
        monkeypatch.undo()
        assert greet.blocking() == "hello"


@isolated
@pytest.mark.parametrize("way", WAYS)
def test_it_is_observed_where_it_was_made(way: str) -> None:
    """P10: its operation begins and ends in its caller's thread, and knows worker and number."""
    seen: list[int] = []
    looking = Looking(
        lambda _: seen.append(threading.get_ident()),
        lambda *_: seen.append(threading.get_ident()),
    )

    def work() -> int:
        assert call_there(way, greet) == "hello"
        return threading.get_ident()

    async def main() -> None:
        async with connected():
            with recording(Dispatch, Execution) as recorded, observe(looking, Dispatch):
                thread = await in_thread(work)
        assert seen == [thread, thread]
        [dispatch], [execution] = recorded.of(Dispatch), recorded.of(Execution)
        assert dispatch.attempts == 1
        assert dispatch.attempt is not None
        assert dispatch.attempt.endpoints.worker == "far"
        assert dispatch.call == execution.call

    run(main())
