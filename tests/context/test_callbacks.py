"""Callbacks run on the chain of the scope that scheduled them, and never contend with it."""

from __future__ import annotations

import asyncio
import contextvars
import signal
import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

import catena
from catena.context.chain import Chain, current
from tests.support import LOOPS, run, variable

Loop = asyncio.AbstractEventLoop
Schedule = Callable[[Loop, Callable[[], None]], object]


def chain_here() -> Chain:
    """Return the current chain, which must be there."""
    chain = current.get()
    assert chain is not None
    return chain


def when_slept(loop: Loop, callback: Callable[[], None]) -> None:
    """Call back when a task is done."""
    loop.create_task(asyncio.sleep(0)).add_done_callback(lambda _: callback())


def when_resolved(loop: Loop, callback: Callable[[], None]) -> None:
    """Call back when a future has its result."""
    future = loop.create_future()
    future.add_done_callback(lambda _: callback())
    future.set_result(None)


def when_readable(loop: Loop, callback: Callable[[], None]) -> None:
    """Call back when a socket can be read, which is at once."""
    near, far = _sockets()

    def readable() -> None:
        loop.remove_reader(near)
        near.close()
        far.close()
        callback()

    loop.add_reader(near, readable)
    far.send(b"!")


def when_writable(loop: Loop, callback: Callable[[], None]) -> None:
    """Call back when a socket can be written, which is at once."""
    near, far = _sockets()

    def writable() -> None:
        loop.remove_writer(near)
        near.close()
        far.close()
        callback()

    loop.add_writer(near, writable)


def when_signalled(loop: Loop, callback: Callable[[], None]) -> None:
    """Call back at a signal, which comes at once."""

    def signalled() -> None:
        loop.remove_signal_handler(signal.SIGUSR1)
        callback()

    loop.add_signal_handler(signal.SIGUSR1, signalled)
    signal.raise_signal(signal.SIGUSR1)


def _sockets() -> tuple[socket.socket, socket.socket]:
    near, far = socket.socketpair()
    near.setblocking(False)
    return near, far


SCHEDULES: dict[str, Schedule] = {
    "call_soon": lambda loop, callback: loop.call_soon(callback),
    "call_later": lambda loop, callback: loop.call_later(0, callback),
    "call_at": lambda loop, callback: loop.call_at(loop.time(), callback),
    "call_soon_threadsafe": lambda loop, callback: loop.call_soon_threadsafe(callback),
    "done callback of a task": when_slept,
    "done callback of a future": when_resolved,
    "reader": when_readable,
    "writer": when_writable,
    "signal": when_signalled,
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_callback_runs_on_the_scheduling_chain(schedule: str, loop: str) -> None:
    """C6: it reads and writes without contention, on the same chain, and its writes stay there."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        called: asyncio.Future[tuple[Any, bytes]] = running.create_future()

        def callback() -> None:
            try:
                seen = var.get()
                token = var.set("callback")
                var.reset(token)
                var.set("callback")
                called.set_result((seen, chain_here().id))
            except Exception as error:
                called.set_exception(error)

        var.set("task")
        before = chain_here()
        SCHEDULES[schedule](running, callback)
        assert await called == ("task", before.id)
        assert (var.get(), chain_here()) == ("task", before)

    run(main(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_task_created_in_a_callback_forks_its_chain(loop: str) -> None:
    """C5, C6: the child sees what the callback set, on a chain that records the scheduler's."""
    var = variable()

    async def child() -> tuple[Any, bytes]:
        return var.get(), chain_here().parent

    async def main() -> None:
        running = asyncio.get_running_loop()
        created: asyncio.Future[asyncio.Task[Any]] = running.create_future()

        def callback() -> None:
            var.set("callback")
            created.set_result(running.create_task(child()))

        var.set("task")
        running.call_soon(callback)
        assert await (await created) == ("callback", chain_here().id)
        assert var.get() == "task"

    run(main(), loop=loop)


# ---- from another thread


TOUCHES: dict[str, Callable[[catena.ContextVar[Any]], Any]] = {
    "get": lambda var: var.get(),
    "set": lambda var: var.set("callback"),
    "reset of no token": lambda var: var.reset(object()),  # type: ignore[arg-type]
}


async def called_from(
    work: Callable[[Callable[[], None]], None], touch: str, var: catena.ContextVar[Any]
) -> Any:
    """Let ``work`` have a callback called in this loop that touches a variable; return what came.

    The callback runs when ``work`` is over.
    """
    running = asyncio.get_running_loop()
    called: asyncio.Future[Any] = running.create_future()

    def callback() -> None:
        try:
            called.set_result(TOUCHES[touch](var))
        except Exception as error:
            called.set_exception(error)

    # The loop stands still while the thread runs: the callback comes after its end.
    thread = threading.Thread(
        target=contextvars.Context().run,
        args=(work, lambda: running.call_soon_threadsafe(callback)),
    )
    thread.start()
    thread.join(10)
    return await called


def armed_outside_of_tasks(var: catena.ContextVar[Any]) -> Callable[[Callable[[], Any]], None]:
    """Set in the thread itself."""

    def work(schedule: Callable[[], Any]) -> None:
        var.set("thread")
        schedule()

    return work


def armed_in_a_task(var: catena.ContextVar[Any]) -> Callable[[Callable[[], Any]], None]:
    """Set in a task of a loop of the thread."""

    async def main(schedule: Callable[[], Any]) -> None:
        var.set("thread")
        schedule()

    return lambda schedule: asyncio.run(main(schedule))


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("touch", TOUCHES)
@pytest.mark.parametrize("armed", [armed_outside_of_tasks, armed_in_a_task])
def test_a_callback_of_an_ended_thread_may_only_look(armed: Any, touch: str, loop: str) -> None:
    """C6: what the callback may do does not hang on whether the sender happened to end before."""
    var = variable()

    async def main() -> None:
        if touch == "get":
            assert await called_from(armed(var), touch, var) == "thread"
            return
        with pytest.raises(catena.ChainContention) as caught:
            await called_from(armed(var), touch, var)
        assert caught.value.kind == "thread"

    run(main(), loop=loop)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("touch", TOUCHES)
def test_a_callback_of_a_living_thread_may_only_look(touch: str, loop: str) -> None:
    """C6: through call_soon_threadsafe a callback reads; set and reset are refused as "thread"."""
    var = variable()

    async def main() -> None:
        running = asyncio.get_running_loop()
        called: asyncio.Future[Any] = running.create_future()

        def callback() -> None:
            try:
                called.set_result(TOUCHES[touch](var))
            except Exception as error:
                called.set_exception(error)

        def in_thread() -> None:
            var.set("thread")
            running.call_soon_threadsafe(callback)

        # The executor keeps its thread.
        await running.run_in_executor(None, contextvars.Context().run, in_thread)
        if touch == "get":
            assert await called == "thread"
            return
        with pytest.raises(catena.ChainContention) as caught:
            await called
        assert caught.value.kind == "thread"

    run(main(), loop=loop)
