"""What a thread without an event loop waits with, while a call of its own is under way.

A call is one coroutine wherever it is made. A thread that blocks runs that coroutine itself, step
by step in its own Context, and waits between the steps for what the pool's loop posts and for the
call's timers. So this is an event loop as far as calls need one: it makes futures, keeps timers,
and is posted to from other threads; nothing runs while its thread is elsewhere.
"""

from __future__ import annotations

import asyncio
import contextvars
import signal
import threading
from asyncio import AbstractEventLoop, Future
from collections.abc import Callable, Coroutine, Generator
from contextlib import contextmanager
from functools import partial
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Any, TypeVar

from catena.context.ownership import running_loop

T = TypeVar("T")

_MOST = 60.0
"""How many seconds it waits at once; there is always a timer that looks after the pool's loop."""


class _Here(threading.local):
    """What this thread waits with while a blocking call runs in it."""

    loop: ThreadLoop | None = None


_here = _Here()


def waiting_loop() -> AbstractEventLoop | None:
    """Return what code waits with here: that of a blocking call, or else the running loop."""
    return _here.loop or running_loop()


async def pause(seconds: float, until: Future[Any] | None = None) -> None:
    """Wait so many seconds, or until a future is done; it is not cancelled with the one who waits.

    Raises RuntimeError where nothing can wait.
    """
    loop = waiting_loop() or asyncio.get_running_loop()
    over = loop.create_future()

    def wake(*_: object) -> None:
        if not over.done():
            over.set_result(None)

    timer = loop.call_later(seconds, wake)
    if until is not None:
        until.add_done_callback(wake)
    try:
        await over
    finally:
        timer.cancel()
        if until is not None:
            until.remove_done_callback(wake)


class Post(asyncio.Handle):
    """Something that was posted to a thread that waits."""

    def __init__(self, loop: AbstractEventLoop, work: Callable[[], object]) -> None:
        super().__init__(work, (), loop)
        self._work = work

    def run_now(self) -> None:
        """Run it, unless it was cancelled."""
        if not self.cancelled():
            self._work()


class Timer(asyncio.TimerHandle):
    """A timer of a thread that waits."""

    def __init__(self, when: float, loop: AbstractEventLoop, work: Callable[[], object]) -> None:
        super().__init__(when, work, (), loop)
        self._work = work

    def run_now(self) -> None:
        """Run it, unless it was cancelled."""
        if not self.cancelled():
            self._work()

    def cancel(self) -> None:
        """Have it not run."""
        # A loop counts those of its timers that were cancelled; here they go when they are due.
        asyncio.Handle.cancel(self)


@contextmanager
def _hold_back_interrupts() -> Generator[None]:
    """Have Ctrl-C raise where this thread waits, and nowhere within the steps of a call.

    As ``asyncio.Runner`` does it: only in the main thread, and where nobody else handles it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _note_interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _note_interrupt(*_: object) -> None:
    loop = _here.loop
    if loop is None:
        raise KeyboardInterrupt
    loop.interrupt()


def _bind_context(
    context: contextvars.Context | None, callback: Callable[..., object], args: tuple[Any, ...]
) -> Callable[[], object]:
    """Return a callback with its arguments and the Context that it runs in."""
    return partial((context or contextvars.copy_context()).run, callback, *args)


class ThreadLoop(AbstractEventLoop):
    """The futures, timers and posts of one blocking call; any thread may go on with it."""

    def __init__(self) -> None:
        self._posts: SimpleQueue[Post] = SimpleQueue()
        self._timers: list[tuple[float, int, Timer]] = []
        self._serial = count()
        self._is_interrupted = False

    def interrupt(self) -> None:
        """Have whoever waits raise KeyboardInterrupt, now or as soon as it waits."""
        self._is_interrupted = True
        self._posts.put(Post(self, _do_nothing))

    def run_coroutine(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in this thread and its Context until its end; return what it returns.

        An interrupt (KeyboardInterrupt, or what else a signal's handler raises) cancels what the
        coroutine waits for, as a task is cancelled, and is raised when it has ended.
        """
        with _hold_back_interrupts():
            try:
                return self._run_steps(coroutine)
            finally:
                self._raise_interrupt()

    def _run_steps(self, coroutine: Coroutine[Any, Any, T]) -> T:
        interrupt: BaseException | None = None
        outer, _here.loop = _here.loop, self
        step: Callable[[], Any] = partial(coroutine.send, None)
        try:
            self._run_due()
            while True:
                future = step()
                step = partial(coroutine.send, None)
                try:
                    self._wait_for(future)
                except BaseException as error:
                    interrupt = error
                    step = _cancel_step(coroutine, future)
        except StopIteration as stop:
            if interrupt is None:
                return stop.value
            raise interrupt from None
        except asyncio.CancelledError as cancelled:
            raise interrupt or cancelled from None
        finally:
            _here.loop = outer
            coroutine.close()
            del interrupt

    def _raise_interrupt(self) -> None:
        if self._is_interrupted:
            self._is_interrupted = False
            raise KeyboardInterrupt

    def _wait_for(self, future: Future[Any]) -> None:
        while not future.done():
            self._raise_interrupt()
            self._run_next()
            self._run_due()

    def _run_next(self) -> None:
        """Run what was posted next; wait for it, until the next timer is due."""
        due = self._timers[0][0] - monotonic() if self._timers else _MOST
        try:
            handle = self._posts.get(timeout=min(max(due, 0.0), _MOST))
        except Empty:
            return
        handle.run_now()

    def _run_due(self) -> None:
        """Run what was posted, and the timers whose time has come."""
        while not self._posts.empty():
            self._posts.get().run_now()
        while self._timers and self._timers[0][0] <= monotonic():
            heappop(self._timers)[2].run_now()

    def time(self) -> float:
        """Return the time that timers go by."""
        return monotonic()

    def is_running(self) -> bool:
        """Say that it takes posts: its thread will look at them when it waits."""
        return True

    def is_closed(self) -> bool:
        """Say that it takes posts."""
        return False

    def get_debug(self) -> bool:
        """Say no; futures ask."""
        return False

    def create_future(self) -> Future[Any]:
        """Return a future to be awaited in ``run_coroutine``."""
        return Future(loop=self)

    def call_soon(
        self,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Post:
        """Have a callback run when the thread waits next; from any thread."""
        handle = Post(self, _bind_context(context, callback, args))
        self._posts.put(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> Timer:
        """Have a callback run after so many seconds, if the thread waits then, or else later."""
        when = monotonic() + delay
        timer = Timer(when, self, _bind_context(context, callback, args))
        heappush(self._timers, (when, next(self._serial), timer))
        return timer

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Hand on what a callback has raised: no loop is there to report it to."""
        raise context["exception"]


def _do_nothing() -> None:
    """Is posted to wake up whoever waits."""


def _cancel_step(coroutine: Coroutine[Any, Any, T], future: Future[Any]) -> Callable[[], Any]:
    """Return the step in which a coroutine learns that it is cancelled."""
    if future.cancel():
        return partial(coroutine.send, None)
    return partial(coroutine.throw, asyncio.CancelledError())
