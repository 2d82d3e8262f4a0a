"""Calls that a thread waits for: ``f.blocking(...)``, but not on the thread of the pool's loop.

The call is the one that ``exchange`` makes, run by the thread itself and handed over to the pool's
loop. For a stream it is an iterator, which asks for one value at a time.
"""

from __future__ import annotations

import contextvars
from collections.abc import Coroutine, Generator
from functools import partial
from types import TracebackType
from typing import Any, TypeVar

from catena.context.ownership import running_loop
from catena.dispatch.caller.exchange import make_dispatch
from catena.dispatch.caller.hand_over import find_way
from catena.dispatch.caller.stream import Stream
from catena.dispatch.caller.thread_loop import ThreadLoop
from catena.dispatch.declaration import Declaration
from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.open_pools import Finder, apply_scope, find_dispatcher
from catena.errors import BlockingRefused
from catena.events import announced

T = TypeVar("T")


def run_blocking(
    declared: Declaration,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    find: Finder = find_dispatcher,
) -> Any:
    """Run a routine on a worker while this thread waits; return its result, or an iterator.

    Raises what awaiting it raises, and BlockingRefused on the thread of the pool's loop.
    """
    __tracebackhide__ = True
    through = find_way(declared, find)
    _check_thread(through, declared.name)
    again = partial(apply_scope, through)
    if declared.stream:
        return BlockingStream[Any](Stream[Any](declared, args, kwargs, find=again), through)
    return ThreadLoop().run_coroutine(make_dispatch(declared, again)(args, kwargs))


def _check_thread(through: Dispatcher, routine: str) -> None:
    """Raise BlockingRefused on the thread that runs the pool's loop, and ForkedPool in a child."""
    through.check_process(routine)
    if through.loop is running_loop():
        raise announced(BlockingRefused(routine=routine))


class BlockingStream(Generator[T, Any, None]):
    """A stream as an iterator: it behaves as a local generator, and each step may block.

    One thread at a time may go on with it, whichever that is.
    """

    def __init__(self, stream: Stream[T], through: Dispatcher) -> None:
        self._here = ThreadLoop()
        self._stream = stream
        self._through = through

    def __next__(self) -> T:
        """Drive the generator to its next yield; StopIteration at its end."""
        __tracebackhide__ = True
        return self._run_step(self._stream.__anext__())

    def send(self, value: Any, /) -> T:
        """Drive it on with the value that its ``yield`` returns there."""
        __tracebackhide__ = True
        return self._run_step(self._stream.asend(value))

    def throw(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
        /,
    ) -> T:
        """Drive it on with an exception raised at its ``yield``."""
        __tracebackhide__ = True
        return self._run_step(self._stream.athrow(typ, val, tb))

    def close(self) -> None:
        """Close the generator where it is suspended, and wait until it has cleaned up."""
        __tracebackhide__ = True
        self._run_step(self._stream.aclose())

    def _run_step(self, step: Coroutine[Any, Any, Any]) -> Any:
        __tracebackhide__ = True
        try:
            _check_thread(self._through, self._stream.routine)
            return self._here.run_coroutine(step)
        except StopAsyncIteration:
            raise StopIteration from None
        finally:
            step.close()

    def __del__(self) -> None:
        # In nobody's Context: the collector runs in that of whoever happens to be at work.
        contextvars.Context().run(self._stream.give_up)

    def __repr__(self) -> str:
        return f"<blocking {repr(self._stream)[1:-1]}>"
