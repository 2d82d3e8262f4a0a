"""An async-generator routine at work, one step at a time.

All steps that one chain drives run in one Context AND one task, so a variable set before a
``yield`` and reset after it, or an ``asyncio.timeout`` around it, work as in a local generator.
When another chain takes over the stream, it gets a Context and a task of its own.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from time import monotonic, perf_counter_ns
from typing import Any

from catena.context.chain import current
from catena.dispatch.answers import mount_frame
from catena.dispatch.holding import holding
from catena.dispatch.payloads import pickle_payload, unpickle_payload
from catena.dispatch.worker.deadline import TimeLeft
from catena.dispatch.worker.observation import ExecutionObservation
from catena.dispatch.worker.run_coroutine import answer_exception, unpickle_arguments
from catena.dispatch.worker.session import AcceptedCall, Session, end_in_net
from catena.events import Execution, Lease
from catena.remote_exceptions.pickled import unpickle_exception
from catena.transfer.baseline import Baseline
from catena.transfer.capture import capture_answer
from catena.transfer.manifest import ChainManifest
from catena.transfer.mount import unmount
from catena.transfer.states.kept import KeptState
from catena.wire.frames import Cancel, Drive, ExceptionFrame, Next, Result, Send, Throw
from catena.wording import reason


class RunningStream:
    """Runs an async generator for a session; one step is outstanding at most."""

    def __init__(
        self, session: Session, accepted: AcceptedCall, frame: Drive, time: TimeLeft | None
    ) -> None:
        self.session = session
        self.idle = False
        self._declared = accepted.declared
        self._time = time
        self._contexts = accepted.contexts
        self._bound = accepted.base.bound
        self._base: KeptState | None = accepted.base
        self._generator: AsyncGenerator[Any, Any] | None = None
        self._observation: ExecutionObservation | None = None
        self._ended: BaseException | None = None
        self._kept: dict[bytes, ChainDriver] = {}
        self._driver = ChainDriver(self, _chain_id(frame), accepted.base)
        self._driver.put(frame)

    def take_drive(self, frame: Drive) -> None:
        """Hand a step to the driver of the chain that asks for it."""
        chain_id = _chain_id(frame)
        driver = self._driver
        # An unarmed Context is taken over by the first chain that has none of its own here.
        usable = driver.chain_id in (chain_id, b"") and chain_id not in self._kept
        if driver.ended or not usable:
            driver = self._switch_driver(chain_id)
        self.idle = False
        driver.put(frame)

    def cancel(self, message: str | None = None, *, idle: bool) -> None:
        """Cancel the step that runs, or close the suspended generator."""
        if idle:
            self._driver.put(Cancel(self.session.task.call, message))
        else:
            self._driver.cancel_step(message)

    async def run_step(self, frame: Drive, driver: ChainDriver) -> Result | ExceptionFrame:
        """Run one step in the driver's task; return the answer."""
        session, call, values = self.session, self.session.task.call, self._contexts.values
        whole = session.sessions.whole
        try:
            gate = session.sessions.link.gate
            if self._generator is None and monotonic() > gate.fresh:
                # The loop was held up: a Cancel may lie in the socket.
                await gate.wait_passed()
            if self._base is not None:
                self._bound.leases[session] = self._bound.source, perf_counter_ns()
            self._observe_drive(frame, driver)
            self._mount_chain(frame.manifest, driver)
            try:
                value = await self._advance_generator(frame)
            except StopAsyncIteration:
                manifest, _ = capture_answer(values, driver.baseline, whole=whole)
                return self._finish_answer(Result(call, b"N.", manifest))
            payload = pickle_payload(value, "the result", self._declared.name)
            manifest, driver.baseline = capture_answer(values, driver.baseline, whole=whole)
            if self._observation is not None:
                manifest = self._observation.add_carrier(manifest)
            return Result(call, payload, manifest, "yield+" if session.cancelled else "yield")
        except BaseException as error:
            if self._generator is not None:
                await self._close_quietly(error)
            return self._answer_failure(error, driver)

    async def close(self, driver: ChainDriver) -> ExceptionFrame:
        """Close the suspended generator, in the driver's Context; return the last frame."""
        error: BaseException = self.session.make_cancellation()
        try:
            if self._generator is not None:
                await self._generator.aclose()
        except BaseException as raised:
            error = raised
        return self._answer_failure(error, driver)

    def end_drivers(self) -> None:
        """Let go of the Contexts of all chains but the one that answers last."""
        kept, self._kept = self._kept, {}
        for driver in kept.values():
            driver.put(None)

    def announce_end(self) -> None:
        """Announce how the call ended, when its chain has been taken out, and let go of the rest.

        Its slots are free, and its lease is released.
        """
        self._bound.leases.pop(self.session, None)
        if self.session.held is not None:
            self.session.held.end()
        observation, self._observation = self._observation, None
        if observation is not None:
            observation.announce_end(self._ended)
        self._ended = None

    def _switch_driver(self, chain_id: bytes) -> ChainDriver:
        """Return the driver of another chain; keep the old one's while a token lives in it."""
        old = self._driver
        self._kept[old.chain_id] = old
        for id, one in list(self._kept.items()):
            if id != chain_id and (one.ended or not one.pinned):
                self._kept.pop(id).put(None)
        driver = self._kept.pop(chain_id, None)
        if driver is None or driver.ended:
            driver = ChainDriver(self, chain_id, KeptState(self._bound))
        self._driver = driver
        return driver

    def _observe_drive(self, frame: Drive, driver: ChainDriver) -> None:
        """Note a drive; observers see the call begin, and each new Context."""
        observation = self._observation
        if observation is not None:
            observation.note_drive(frame)
            if not driver.observation:
                observation.enter_context()
        elif self._base is not None and (Execution.observers or Lease.observers):
            self._observation = ExecutionObservation(
                self.session, self._declared.name, self._bound, frame
            )
        driver.observation = True

    def _mount_chain(self, manifest: ChainManifest | None, driver: ChainDriver) -> None:
        base, self._base = self._base, None
        if base is not None:
            driver.baseline = self._contexts.enter(manifest, base)
        else:
            values = self._contexts.values
            driver.baseline = mount_frame(manifest, values, driver.baseline, to_worker=True)
        chain = current.get()
        if chain is not None:
            # Another chain may take over while a token of this one waits for its reset.
            chain.home.keeps_pins = True

    async def _advance_generator(self, frame: Drive) -> Any:
        if not self.session.cancelled:
            step = self._begin_step(frame)
        elif self._generator is not None:
            # The Cancel came before this step had begun: it begins by being cancelled.
            step = self._generator.athrow(self.session.make_cancellation())
        else:
            raise self.session.make_cancellation()
        return await (step if self._time is None else self._time.run_body(step))

    def _begin_step(self, frame: Drive) -> Awaitable[Any]:
        name = self._declared.name
        generator = self._generator
        if generator is None:
            args, kwargs = unpickle_arguments(self.session.task.payload, self._declared)
            generator = self._generator = self._declared.function(*args, **kwargs)
        match frame:
            case Next():
                return generator.asend(None)
            case Send():
                return generator.asend(unpickle_payload(frame.payload, "the sent value", name))
            case Throw():
                what = "the thrown exception"
                error = unpickle_payload(frame.payload, what, name, unpickle_exception)
                return generator.athrow(error)

    async def _close_quietly(self, error: BaseException) -> None:
        """Close a generator whose step failed outside of it; what that raises joins the error."""
        generator = self._generator
        if generator is None:
            return
        try:
            await generator.aclose()
        except BaseException as raised:
            error.add_note(f"(closing the generator raised {reason(raised)})")

    def _answer_failure(self, error: BaseException, driver: ChainDriver) -> ExceptionFrame:
        values = self._contexts.values
        answer = answer_exception(error, self.session, self._declared, values, driver.baseline)
        return self._finish_answer(answer, error)

    def _finish_answer(self, answer: Any, error: BaseException | None = None) -> Any:
        if self._observation is not None:
            self._ended = error
            answer = answer._replace(manifest=self._observation.add_carrier(answer.manifest))
        return answer


def _chain_id(frame: Drive) -> bytes:
    return b"" if frame.manifest is None else frame.manifest.chain_id


class ChainDriver:
    """One chain's task: takes drives one after the other and answers each."""

    def __init__(self, stream: RunningStream, chain_id: bytes, base: KeptState) -> None:
        self.chain_id = chain_id
        self.baseline: Baseline | None = None
        self.ended = False
        # Whether observers have seen its Context.
        self.observation = False
        self._stepping = False
        # Here, in a step that began without a chain: tokens of that step have no pins.
        self._minted = False
        self._inbox: asyncio.Queue[Drive | Cancel | None] = asyncio.Queue()
        self._context = base.context.copy()
        if stream.session.held is not None:
            self._context.run(holding.set, stream.session.held)
        loop = stream.session.sessions.link.loop
        self._task: asyncio.Task[None] = asyncio.Task(
            # The stream refers to its drivers, so none of them keeps it once it is done.
            self._run(stream),
            loop=loop,
            context=self._context,
        )

    @property
    def pinned(self) -> bool:
        """Whether a token may still be reset in its Context."""
        chain = self._context.get(current)
        return self._minted or (chain is not None and chain.home.pinned)

    def put(self, what: Drive | Cancel | None) -> None:
        """Hand over the next step, a Cancel that closes the generator, or None for its end."""
        self._inbox.put_nowait(what)

    def cancel_step(self, message: str | None) -> None:
        """Cancel the step that runs; one that has not begun sees the session's flag."""
        if self._stepping:
            self._task.cancel(message)

    async def _run(self, stream: RunningStream) -> None:
        try:
            await self._take_drives(stream)
        except BaseException as error:
            # The caller waits, and nobody else would see it.
            self.ended = True
            stream.announce_end()
            end_in_net(stream.session, error)

    async def _take_drives(self, stream: RunningStream) -> None:
        answer: Result | ExceptionFrame | None = None
        while (what := await self._inbox.get()) is not None:
            self._stepping = True
            if isinstance(what, Cancel):
                answer = await stream.close(self)
            else:
                answer = await stream.run_step(what, self)
            self._stepping = False
            while self._task.cancelling():
                self._task.uncancel()
            chain = current.get()
            if not self.chain_id and chain is not None:
                self.chain_id = chain.id
                self._minted = not chain.home.keeps_pins
                chain.home.keeps_pins = True
            more = isinstance(answer, Result) and answer.more
            if more and stream.session.over:
                # The link was lost during the step: nobody will drive or close this generator.
                answer = await stream.close(self)
                more = False
            stream.idle = more
            if not more:
                self.ended = True
                stream.end_drivers()
                unmount()
                stream.announce_end()
            stream.session.send_answer(answer)
            if not more:
                return
        self.ended = True
        unmount()
