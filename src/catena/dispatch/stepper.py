"""An async-generator routine at work, one step at a time.

All steps that one chain drives run in one Context AND one task, so a variable set before a
``yield`` and reset after it, or an ``asyncio.timeout`` around it, work as in a local generator.
When another chain takes over the stream, it gets a Context and a task of its own.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any

from catena.context.current import current
from catena.context.mount import Prepared, unmount
from catena.dispatch.contexts import Contexts
from catena.dispatch.declaration import Declaration
from catena.dispatch.running import arguments, dumps_result, failed
from catena.dispatch.values import captured, mount_frame, opened
from catena.events import Execution
from catena.wire import failure
from catena.wire.frames import ExceptionFrame, Next, Result, Send, Throw

if TYPE_CHECKING:
    from catena.dispatch.session import Session

__all__ = ["RunningStream"]

Drive = Next | Send | Throw


class RunningStream:
    """Runs an async generator for a session; one step is outstanding at most."""

    def __init__(
        self, session: Session, declared: Declaration, worker: str, contexts: Contexts
    ) -> None:
        self.session = session
        self.declared = declared
        self.worker = worker
        self.idle = False
        self._contexts = contexts
        self._driver: _Driver | None = None
        self._generator: AsyncGenerator[Any, Any] | None = None
        self._observed: Execution | None = None
        self._known: Prepared | None = None

    def drive(self, frame: Drive) -> None:
        """Hand a step to the driver of the chain that asks for it."""
        manifest = frame.manifest
        chain_id = manifest.chain_id if manifest is not None else b""
        driver = self._driver
        if driver is None or (driver.ended or driver.chain_id not in (chain_id, b"")):
            if driver is not None:
                driver.put(None)
            context, known = self._contexts.fresh(manifest)
            driver = self._driver = _Driver(self, chain_id, context)
            self._known = known
        self.idle = False
        driver.put(frame)

    def cancel(self, *, idle: bool) -> None:
        """Cancel the step that runs, or close the suspended generator."""
        if self._driver is None:
            return
        if idle:
            self._driver.put(_CLOSE)
        else:
            self._driver.interrupt()

    async def step(self, frame: Drive) -> Result | ExceptionFrame:
        """Run one step in the driver's task; return the answer."""
        session, declared, call = self.session, self.declared, self.session.task.call
        try:
            known, self._known = self._known, None
            if current.get() is None:
                self._contexts.enter(frame.manifest, known)
            else:
                mount_frame(frame.manifest, to_worker=True)
            try:
                value = await self._advance(frame)
            except StopAsyncIteration:
                return self._last(Result(call, b"N.", captured(to_worker=False)))
            payload = dumps_result(value, declared)
            manifest = captured(to_worker=False)
            return Result(call, payload, manifest, True, session.cancelled)
        except BaseException as error:
            if self._generator is not None:
                await self._close_quietly(error)
            return self._last(failed(error, call, declared, self.worker), error)

    async def close(self) -> ExceptionFrame:
        """Close the suspended generator, in the driver's Context; return the last frame."""
        error: BaseException = asyncio.CancelledError()
        try:
            if self._generator is not None:
                await self._generator.aclose()
        except BaseException as raised:
            error = raised
        return self._last(failed(error, self.session.task.call, self.declared, self.worker), error)

    async def _advance(self, frame: Drive) -> Any:
        generator = self._generator
        if self.session.cancelled:
            # The Cancel came before this step had begun: it begins by being cancelled.
            if generator is None:
                raise asyncio.CancelledError
            return await generator.athrow(asyncio.CancelledError())
        if generator is None:
            args, kwargs = arguments(self.session.task.payload, self.declared)
            if Execution.listeners:
                self._observed = Execution(self.declared.name, True, self.session.task.call)
                self._observed.__enter__()
            generator = self._generator = self.declared.function(*args, **kwargs)
        match frame:
            case Next():
                return await generator.asend(None)
            case Send():
                value = opened(frame.payload, "the sent value", self.declared.name)
                return await generator.asend(value)
            case Throw():
                return await generator.athrow(failure.load(frame.payload))

    async def _close_quietly(self, error: BaseException) -> None:
        """Close a generator whose step failed outside of it; what that raises joins the error."""
        generator = self._generator
        if generator is None:
            return
        try:
            await generator.aclose()
        except BaseException as raised:
            error.add_note(f"(closing the generator raised {type(raised).__name__}: {raised})")

    def _last(self, answer: Any, error: BaseException | None = None) -> Any:
        observed, self._observed = self._observed, None
        if observed is not None:
            observed.finish(None if isinstance(error, GeneratorExit) else error)
        return answer


class _Close:
    """Asks a driver to close the generator."""


_CLOSE = _Close()


class _Driver:
    """One chain's task: takes drives one after the other and answers each."""

    def __init__(
        self, stream: RunningStream, chain_id: bytes, context: contextvars.Context
    ) -> None:
        self.chain_id = chain_id
        self.ended = False
        self._stream = stream
        self._stepping = False
        self._inbox: asyncio.Queue[Drive | _Close | None] = asyncio.Queue()
        loop = stream.session.sessions.link.loop
        self._task: asyncio.Task[None] = asyncio.Task(self._run(), loop=loop, context=context)

    def put(self, what: Drive | _Close | None) -> None:
        """Hand over the next step, the request to close, or (None) the end of the driver."""
        self._inbox.put_nowait(what)

    def interrupt(self) -> None:
        """Cancel the step that runs; one that has not begun sees the session's flag."""
        if self._stepping:
            self._task.cancel()

    async def _run(self) -> None:
        answer: Result | ExceptionFrame | None = None
        while (what := await self._inbox.get()) is not None:
            self._stepping = True
            if isinstance(what, _Close):
                answer = await self._stream.close()
            else:
                answer = await self._stream.step(what)
            self._stepping = False
            while self._task.cancelling():
                self._task.uncancel()
            chain = current.get()
            if not self.chain_id and chain is not None:
                self.chain_id = chain.id
            more = isinstance(answer, Result) and answer.more
            if more and self._stream.session.over:
                # The link was lost during the step: nobody will drive or close this generator.
                answer = await self._stream.close()
                more = False
            self._stream.idle = more
            if not more:
                self.ended = True
                unmount()
            self._stream.session.reply(answer)
            if not more:
                return
        self.ended = True
        unmount()
