"""The caller's end of an async-generator routine: it asks for one value at a time.

It behaves as a local async generator does, from the first ``anext`` that starts it to the texts of
its errors. A stream that is collected while it is suspended sends Cancel and nothing else.
"""

from __future__ import annotations

import itertools
import os
from asyncio import AbstractEventLoop
from collections.abc import AsyncGenerator
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, cast
from weakref import WeakSet

from catena.context.ownership import running_loop
from catena.dispatch.caller.answers import apply_answer
from catena.dispatch.caller.call import Call
from catena.dispatch.caller.exchange import begin_dispatch, send_with_slots
from catena.dispatch.caller.hand_over import no_pool
from catena.dispatch.caller.thread_loop import ThreadLoop
from catena.dispatch.caller.waiting import await_answer
from catena.dispatch.declaration import Declaration
from catena.dispatch.holding import open_loan
from catena.dispatch.open_pools import Finder, find_dispatcher
from catena.dispatch.payloads import pickle_payload
from catena.dispatch.posting import post
from catena.events import Dispatch
from catena.remote_exceptions.pickled import merge_returned, pickle_exception
from catena.transfer.capture import capture_drive
from catena.transfer.manifest import ChainManifest
from catena.wire.frames import Frame, Next, Result, Send, Throw

T = TypeVar("T")

_marks = itertools.count()

_BEGAN_ELSEWHERE = "this stream has begun on another event loop, and goes on there alone"

streams: WeakSet[Stream[Any]] = WeakSet()
"""Every stream of this process that was started and has not ended."""


class Stream(AsyncGenerator[T, Any]):
    """What calling an async-generator routine returns: an async generator run by a worker.

    Nothing is sent before the first step. Each step raises what the routine raises there, and
    besides NoPool, SerializationError, WorkerLost, ChainContention or ProtocolError.
    """

    def __init__(
        self,
        declared: Declaration,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        find: Finder = find_dispatcher,
    ) -> None:
        self._declared = declared
        self._find = find
        self._arguments: tuple[tuple[Any, ...], dict[str, Any]] | None = (args, kwargs)
        self._call: Call | None = None
        self._running = False
        self._mark = ""
        self._closed = False
        self._operation: Dispatch | None = None

    @property
    def routine(self) -> str:
        """The name of its routine."""
        return self._declared.name

    def __aiter__(self) -> Stream[T]:
        return self

    async def __anext__(self) -> T:
        """Drive the generator to its next yield; StopAsyncIteration at its end."""
        __tracebackhide__ = True
        return await self._run_step("anext", None)

    async def asend(self, value: Any) -> T:
        """Drive it on with the value that its ``yield`` returns there."""
        __tracebackhide__ = True
        if self._call is None and value is not None and not self._closed:
            raise TypeError("can't send non-None value to a just-started async generator")
        return await self._run_step("asend", None if value is None else _Sent(value))

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> T:
        """Drive it on with an exception raised at its ``yield``."""
        __tracebackhide__ = True
        try:
            return await self._throw(_exception_of(typ, val, tb))
        finally:
            # What is raised refers to this frame: were it in there as well, that would be a circle.
            del typ, val, tb

    async def aclose(self) -> None:
        """Close the generator where it is suspended, and wait until it has cleaned up."""
        __tracebackhide__ = True
        if self._call is None or self._closed or self._call.verdict:
            if self._running:
                raise _already_running("aclose")
            self._close()
            return
        try:
            await self._run_step("aclose", GeneratorExit())
        except (StopAsyncIteration, GeneratorExit):
            return
        self._give_up()
        raise RuntimeError("async generator ignored GeneratorExit")

    async def _throw(self, error: BaseException) -> T:
        __tracebackhide__ = True
        try:
            if self._closed and not self._running:
                # As CPython has it for a generator that has ended.
                return None  # type: ignore[return-value]
            if self._call is not None:
                return await self._run_step("athrow", error)
            self._close()
            if isinstance(error, StopIteration | StopAsyncIteration):
                # PEP 479 holds for a generator that never ran, too.
                text = f"async generator raised {type(error).__name__}"
                raise RuntimeError(text) from error  # noqa: TRY004 - as CPython has it
            raise error
        finally:
            del error

    async def _run_step(self, name: str, what: _Sent | BaseException | None) -> T:
        __tracebackhide__ = True
        if self._running:
            raise _already_running(name)
        if self._closed:
            raise StopAsyncIteration
        # A link that is down, as those of a parent process are, has its own error.
        link = self._call and self._call.connection.link
        if link and link.up and link.loop is not running_loop():
            self._check_loop(link.loop)
        self._running = True
        self._mark = ""
        try:
            call = self._call
            if call is None:
                call, frame = await self._begin_call()
            else:
                frame = await self._drive_on(call, what)
            return self._take_result(call, frame)
        except BaseException as error:
            if self._call is None or self._call.over:
                self._close(error)
            elif not issubclass(type(error), Exception):
                # Cancelled and the grace is over, interrupted or closed: this step has no end.
                self._give_up(error)
            if not self._is_back(error, what):
                raise
        finally:
            self._running = False
        try:
            # As from a local generator it is the very exception that was thrown; here, since in the
            # handler above it would get a context.
            raise cast("BaseException", what)
        finally:
            del what

    def _check_loop(self, loop: AbstractEventLoop) -> None:
        """Raise NoPool on another event loop than the one on which the stream has begun."""
        if not isinstance(loop, ThreadLoop):
            raise no_pool(self._declared, _BEGAN_ELSEWHERE)

    async def _begin_call(self) -> tuple[Call, Frame]:
        args, kwargs = self._arguments or ((), {})
        self._arguments = None
        if Dispatch.observers:
            self._operation = begin_dispatch(self._declared)
        call, frame = await send_with_slots(
            self._declared, (args, kwargs), self._operation, self._find
        )
        self._call = call
        streams.add(self)
        return call, frame

    async def _drive_on(self, call: Call, what: _Sent | BaseException | None) -> Frame:
        # The payload first: where it cannot be written, the chain was not sent either.
        name = self._declared.name
        if what is None:
            drive = Next(call.id, self._capture_chain(call))
        elif type(what) is _Sent:
            data = pickle_payload(what.value, "the sent value", name)
            drive = Send(call.id, data, self._capture_chain(call))
        else:
            self._mark = f"{os.getpid()}-{next(_marks)}"
            dumps = partial(pickle_exception, worker="caller", routine=name, mark=self._mark)
            data = pickle_payload(what, "the thrown exception", name, dumps)
            drive = Throw(call.id, data, self._capture_chain(call))
        loan = open_loan()
        call.send_drive(drive)
        if loan is not None:
            loan.lend()
        try:
            return await await_answer(call)
        finally:
            if loan is not None:
                loan.take_back()

    def _is_back(self, error: BaseException, what: _Sent | BaseException | None) -> bool:
        """Say whether an exception is the one that this step has thrown."""
        return bool(self._mark) and merge_returned(error, cast("Any", what), self._mark)

    def _capture_chain(self, call: Call) -> ChainManifest | None:
        """Return what the worker does not have of the current chain."""
        connection = call.connection
        captured = capture_drive(connection.values, call.baseline if connection.deltas else None)
        call.baseline = None if captured is None else captured.baseline
        return None if captured is None else captured.manifest

    def _take_result(self, call: Call, frame: Frame) -> T:
        __tracebackhide__ = True
        value: T = apply_answer(call, frame)
        if type(frame) is Result and not frame.more:
            raise StopAsyncIteration
        return value

    def _close(self, error: BaseException | None = None) -> None:
        self._closed = True
        self._arguments = None
        streams.discard(self)
        operation, self._operation = self._operation, None
        if operation is not None:
            benign = issubclass(type(error), StopAsyncIteration | GeneratorExit)
            operation.end(None if benign else error)

    def give_up(self) -> None:
        """Let go of a stream that nobody asks for values any more: it sends Cancel, and no more."""
        if not self._closed:
            self._give_up(GeneratorExit())

    def _give_up(self, error: BaseException | None = None) -> None:
        """Give the stream up: the worker closes the generator in its own context."""
        if self._call is not None:
            self._call.cancel()
            self._call.operation = None
        self._close(error)

    def __del__(self) -> None:
        call = self._call
        if call is None or self._closed:
            return
        # Not here: the collector runs in the thread and Context of whoever happens to be at work.
        post(call.connection.link.loop, _cancel_abandoned, call, self._operation)

    def __repr__(self) -> str:
        state = "closed" if self._closed else "running" if self._running else "suspended"
        return f"<catena stream {self._declared.name} {state}>"


# What an `await` of one is refused with names the class.
Stream.__name__ = "Stream (use `async for`)"


def _cancel_abandoned(call: Call, operation: Dispatch | None) -> None:
    call.cancel()
    call.operation = None
    if operation is not None:
        operation.end(GeneratorExit())


class _Sent:
    """A value on its way into the generator; it may itself be an exception."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def _already_running(name: str) -> RuntimeError:
    # CPython calls a step by asend an anext as well.
    name = "anext" if name == "asend" else name
    return RuntimeError(f"{name}(): asynchronous generator is already running")


def _exception_of(
    typ: type[BaseException] | BaseException, val: BaseException | object, tb: TracebackType | None
) -> BaseException:
    """Return the exception that ``athrow`` was given in one of its three forms."""
    given = cast("object", typ)
    # Not by isinstance, which asks the exception for its class.
    if issubclass(type(given), BaseException):
        error = cast("BaseException", given)
    elif isinstance(typ, type) and issubclass(typ, BaseException):  # pyright: ignore[reportUnnecessaryIsInstance]
        error = val if isinstance(val, typ) else typ() if val is None else typ(val)
    else:
        raise TypeError(
            "exceptions must be classes or instances deriving from BaseException,"
            f" not {type(given).__name__}"
        )
    return error if tb is None else error.with_traceback(tb)
