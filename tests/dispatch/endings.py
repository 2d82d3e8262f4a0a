"""Ways in which a call can end, each made over a link, and what of it waits for the collector."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any
from weakref import WeakSet

import catena
from catena.wire.frames import Nack, NackCode, Next
from tests.dispatch.ends import Ends
from tests.link.ends import settle
from tests.support import variable

__all__ = ["ENDINGS", "begun", "held"]

held: WeakSet[Held] = WeakSet()
"""Every argument, value and result of an ending that is alive, at both ends."""

begun: set[str] = set()
kept: catena.ContextVar[Any] = variable("kept")


class Held:
    """What calls take along; each copy at either end is known while it lives."""

    def __init__(self) -> None:
        held.add(self)

    def __reduce__(self) -> Any:
        return Held, ()


class Refused(Exception):
    """Holds what it is about."""


class Unreadable(Held):
    """Can be written and not read."""

    def __reduce__(self) -> Any:
        return _unreadable, (Held(),)


def _unreadable(_: Held) -> None:
    raise LookupError("not to be read")


def _refuse(what: Any) -> None:
    raise Refused(what)


@catena.routine
async def echo(what: Any) -> Any:
    """Set a variable and return the argument."""
    kept.set(what)
    return what


@catena.routine
async def fail(what: Any) -> None:
    """Raise an error with a cause and a context."""
    kept.set(what)
    try:
        _refuse(what)
    except Refused as error:
        raise LookupError(what) from error


@catena.routine
async def give(what: Any) -> Any:
    """Return what cannot be read."""
    kept.set(what)
    return Unreadable()


@catena.routine(cancel_grace=0.05)
async def wait(what: Any, *, tidy: float = 0) -> None:
    """Wait for ever, and take some time to end."""
    begun.add("wait")
    try:
        await asyncio.Event().wait()
    finally:
        kept.set(what)
        await asyncio.sleep(tidy)


@catena.routine
async def nest(what: Any) -> Any:
    """Dispatch on, from a task of its own as well."""
    await asyncio.create_task(echo(what))
    return await echo(what)


@catena.routine
async def steps(what: Any) -> AsyncGenerator[Any, Any]:
    """Yield what came, and then what is sent."""
    kept.set(what)
    while True:
        what = yield what


@catena.routine
async def breaks(what: Any) -> AsyncGenerator[Any, None]:
    """Yield once, and raise."""
    yield what
    raise Refused(what)


@catena.routine
async def hangs(what: Any) -> AsyncGenerator[Any, None]:
    """Yield once, and wait for ever."""
    yield what
    begun.add("wait")
    await asyncio.Event().wait()


async def returned(_: Ends) -> None:
    """Return a value."""
    await echo(Held())


async def raised(_: Ends) -> None:
    """Raise an exception."""
    with contextlib.suppress(LookupError):
        await fail(Held())


async def nested(_: Ends) -> None:
    """Call another routine."""
    await nest(Held())


async def cancelled(_: Ends) -> None:
    """Cancel the caller."""
    await _cancelled(wait(Held()))


async def cancelled_late(_: Ends) -> None:
    """Cancel the caller of a routine that takes longer than its grace to end."""
    await _cancelled(wait(Held(), tidy=0.1))
    await asyncio.sleep(0.15)


async def cancelled_twice(_: Ends) -> None:
    """Cancel the caller, and once more while the routine cleans up."""
    task = asyncio.ensure_future(wait(Held(), tidy=0.02))
    await _begun()
    task.cancel("once")
    await asyncio.sleep(0)
    task.cancel("twice")
    await asyncio.wait([task])
    await asyncio.sleep(0.1)


async def timed_out(_: Ends) -> None:
    """Run out of time."""
    with contextlib.suppress(TimeoutError), catena.RuntimeContext(timeout=0.01):
        await wait(Held())


async def timed_out_late(_: Ends) -> None:
    """Run out of time, and out of the grace."""
    with contextlib.suppress(TimeoutError), catena.RuntimeContext(timeout=0.01):
        await wait(Held(), tidy=0.1)
    await asyncio.sleep(0.15)


async def bounded(_: Ends) -> None:
    """Return in time."""
    with catena.RuntimeContext(timeout=5, dispatch_timeout=5):
        await echo(Held())


async def unwritable(_: Ends) -> None:
    """Give an argument that cannot be pickled."""
    with contextlib.suppress(catena.SerializationError):
        await echo([Held(), threading.Lock()])


async def unreadable(_: Ends) -> None:
    """Give an argument that does not open."""
    with contextlib.suppress(catena.SerializationError):
        await echo(Unreadable())


async def unreadable_result(_: Ends) -> None:
    """Return what does not open."""
    with contextlib.suppress(catena.SerializationError):
        await give(Held())


async def refused(ends: Ends) -> None:
    """Be refused by every worker."""
    ends.sessions.draining = True
    with contextlib.suppress(Exception):
        await echo(Held())


async def broken_by_worker(ends: Ends) -> None:
    """Get a frame that may not come then."""
    task = asyncio.ensure_future(wait(Held()))
    await _begun()
    ends.far.send(Nack(max(ends.caller.calls), NackCode.BUSY))
    await asyncio.wait([task])
    assert isinstance(task.exception(), catena.ProtocolError)
    await asyncio.sleep(0.05)


async def broken_by_caller(ends: Ends) -> None:
    """Have a frame sent for the call that may not come then."""
    task = asyncio.ensure_future(wait(Held()))
    await _begun()
    ends.near.send(Next(max(ends.caller.calls)))
    await asyncio.wait([task])
    assert isinstance(task.exception(), catena.ProtocolError)
    await asyncio.sleep(0.05)


async def pool_closed(ends: Ends) -> None:
    """Have the pool closed while the routine runs."""
    task = asyncio.ensure_future(wait(Held()))
    await _begun()
    await ends.caller.close()
    await asyncio.wait([task])
    assert isinstance(task.exception(), catena.WorkerLost)
    await asyncio.sleep(0.05)


async def wrong_arguments(_: Ends) -> None:
    """Call with an argument too many."""
    with contextlib.suppress(TypeError):
        await echo(Held(), Held())  # type: ignore[call-arg]


async def link_lost(ends: Ends) -> None:
    """Lose the link while the routine runs."""
    task = asyncio.ensure_future(wait(Held()))
    await _begun()
    ends.near.fail(ConnectionResetError("gone"))
    ends.far.fail(ConnectionResetError("gone"))
    await asyncio.wait([task])
    assert isinstance(task.exception(), catena.WorkerLost)


async def forked(_: Ends) -> None:
    """Set a variable in a task of its own."""

    async def child() -> None:
        kept.set(Held())

    kept.set(1)
    await asyncio.create_task(child())


async def stream_ended(_: Ends) -> None:
    """Take a stream to its end."""
    with contextlib.suppress(Refused):
        async for _one in breaks(Held()):
            pass


async def stream_closed(_: Ends) -> None:
    """Send a value into a stream and close it."""
    stream = steps(Held())
    await anext(stream)
    await stream.asend(Held())
    await stream.aclose()


async def stream_thrown(_: Ends) -> None:
    """Throw into a stream."""
    stream = steps(Held())
    await anext(stream)
    with contextlib.suppress(Refused):
        await stream.athrow(Refused(Held()))


async def stream_dropped(_: Ends) -> None:
    """Leave a stream where it is."""
    stream = steps(Held())
    await anext(stream)
    del stream
    await settle()


async def stream_cancelled(_: Ends) -> None:
    """Cancel a step."""
    stream = hangs(Held())
    await anext(stream)
    await _cancelled(stream.asend(None))


async def stream_timed_out(_: Ends) -> None:
    """Let the time of a stream run out between two steps."""
    with catena.RuntimeContext(timeout=0.05):
        stream = steps(Held())
        await anext(stream)
        await asyncio.sleep(0.06)
        with contextlib.suppress(TimeoutError):
            await anext(stream)


async def stream_of_two_chains(_: Ends) -> None:
    """Drive a stream from two tasks in turn."""
    kept.set(0)
    stream = steps(Held())
    for _step in range(2):
        await asyncio.create_task(_next(stream))
        await anext(stream)
    await stream.aclose()


async def stream_lost(ends: Ends) -> None:
    """Lose the link between two steps."""
    stream = steps(Held())
    await anext(stream)
    ends.near.fail(ConnectionResetError("gone"))
    ends.far.fail(ConnectionResetError("gone"))
    with contextlib.suppress(catena.WorkerLost):
        await anext(stream)


ENDINGS: dict[str, Callable[[Ends], Awaitable[None]]] = {
    ending.__name__: ending
    for ending in (
        returned,
        raised,
        nested,
        cancelled,
        cancelled_late,
        cancelled_twice,
        timed_out,
        timed_out_late,
        bounded,
        unwritable,
        unreadable,
        unreadable_result,
        refused,
        broken_by_worker,
        broken_by_caller,
        pool_closed,
        wrong_arguments,
        link_lost,
        forked,
        stream_ended,
        stream_closed,
        stream_thrown,
        stream_dropped,
        stream_cancelled,
        stream_timed_out,
        stream_of_two_chains,
        stream_lost,
    )
}


async def _next(stream: Any) -> None:
    await anext(stream)


async def _begun() -> None:
    async with asyncio.timeout(5):
        while "wait" not in begun:
            await asyncio.sleep(0.001)
    begun.clear()


async def _cancelled(call: Awaitable[Any]) -> None:
    task = asyncio.ensure_future(call)
    await _begun()
    task.cancel("enough")
    await asyncio.wait([task])
