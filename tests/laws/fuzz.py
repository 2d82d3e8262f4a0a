"""One case of the fuzzer: a real conversation, made wrong, and what each side makes of it.

A hand plays the peer of a worker, or of a caller, on a memory link through the real codec. What
must hold, whatever arrives: every outcome has a type, what was opened and driven is answered, an
ordinary call is served right afterwards on the same link, or on a fresh one when the peer broke the
rules; and each entry that is mounted counts for itself alone.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import catena
from catena.dispatch.declaration import Declaration
from catena.dispatch.worker import run_coroutine as running, run_generator as stepper
from catena.dispatch.worker.sessions import Sessions
from catena.errors import CatenaError, ProtocolError, SerializationWarning
from catena.events import Execution, LinkClosed, Mount
from catena.events.bus import observe, subscribe
from catena.link.link import Link
from catena.pickling import pickler
from catena.remote_exceptions.pickled import unpickle_exception
from catena.wire import codec
from catena.wire.frames import Ack, ExceptionFrame, Frame, Nack, Result, Task
from tests.dispatch.ends import Through, caller_and_hand, opening
from tests.laws.fuzz_corpus import (
    PROGRAMS,
    STREAMING,
    UNBOUND,
    Absent,
    Thrown,
    corpus,
    guarded,
    harmless,
    look,
    outcomes,
    snapshot,
    trusted,
)
from tests.laws.fuzz_model import Expected, after_answer
from tests.laws.fuzz_mutations import mutated
from tests.laws.law import Random, Seen
from tests.link.ends import Hand, link_and_hand, settle
from tests.support import Looking, run

__all__ = ["case"]

_arguments = running.unpickle_arguments

SECONDS = 10.0
OWN = (Absent, Thrown, asyncio.CancelledError, GeneratorExit, TypeError)
"""What the corpus raises and throws; TypeError is what wrong arguments of a call raise."""


def case(seen: Seen, random: Random) -> None:
    """Run one case and count how it ended. Raises AssertionError when a promise is broken."""
    program = random.choice(PROGRAMS)
    to_worker = random.random() < 0.7
    side = _Worker(seen) if to_worker else _Waiting(seen, program)
    with guarded(), side.watching():
        messages = corpus()[program.__name__]
        wrong = mutated(random, [one.data for one in messages if one.to_worker is to_worker])
        try:
            contextvars.Context().run(run, side.play(wrong), SECONDS)
        except TimeoutError:
            raise AssertionError("something is never answered") from None
        side.judge()
    # Their tracebacks keep what the program held.
    outcomes.clear()


class _Side:
    """What both sides have in common: what is counted, and what must not happen."""

    name = ""

    def __init__(self, seen: Seen) -> None:
        self.seen = seen
        self.strange: list[Any] = []
        self.warned = 0
        self.mounts = 0
        self.parsed = True
        self.end: Exception | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Listen to mounts, warnings and the ends of links."""
        with ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("always", SerializationWarning)
            warnings.showwarning = self._warned
            stack.enter_context(patch.object(logging.getLogger("catena"), "disabled", True))
            stack.enter_context(subscribe(self._closed, LinkClosed))
            stack.enter_context(observe(Looking(self._mounted), Mount))
            yield

    async def play(self, wrong: Iterable[bytes]) -> None:
        """Send the messages, and then an ordinary call."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, facts: self.strange.append(facts))
        await self._play(wrong)

    def counted(self, what: str) -> None:
        """Count an outcome."""
        self.seen[f"{self.name}: {what}"] += 1

    def read(self, data: bytes) -> list[Frame]:
        """Return the frames of a message, none when it is not one."""
        try:
            return codec.decode_message(data).frames
        except ProtocolError:
            self.parsed = False
            return []

    def judge(self) -> None:
        """Hold what all cases have against what may be, and count it."""
        assert self.strange == [], f"reported to the loop: {self.strange}"
        assert self.end is None or isinstance(self.end, ProtocolError), repr(self.end)
        self.seen["parsed"] += self.parsed
        self.seen["mounted"] += self.mounts > 0
        if self.end is not None:
            self.counted("the link was ended")
        if self.mounts:
            self.counted("mounted in part, with a warning" if self.warned else "mounted whole")

    def compare(self, call: int, found: Any, expected: Any) -> None:
        """Hold the values that a call sees against what its entries say one by one."""
        self.seen["compared"] += 1
        assert found == expected, f"call {call} has other values than its entries say"

    async def _play(self, wrong: Iterable[bytes]) -> None:
        raise NotImplementedError

    def _mounted(self, _: Mount) -> None:
        self.mounts += 1

    def _closed(self, event: LinkClosed) -> None:
        if not isinstance(event.error, ConnectionError):
            self.end = self.end or event.error

    def _warned(self, *_: Any, **__: Any) -> None:
        self.warned += 1


class _Worker(_Side):
    """A worker is sent what is wrong."""

    name = "worker"

    def __init__(self, seen: Seen) -> None:
        super().__init__(seen)
        self.expected = Expected()
        self.found: dict[int, dict[str, Any]] = {}
        self.entering = 0
        self.answers: list[Frame] = []

    async def _play(self, wrong: Iterable[bytes]) -> None:
        link, hand, sessions = await _worker()
        for data in wrong:
            self.expected.sent(self.read(data))
            if link.up:
                hand.message(data)
                await settle()
        await settle()
        while link.up and not hand.transport.messages.empty():
            self.answers += await _batch(hand)
            await settle()
        if link.up:
            await self._ordinary(hand, sessions._last + 1)
            self._nothing_hangs(sessions)
        else:
            await link.close()
            link, hand, _ = await _worker()
            await self._ordinary(hand, 1)
        await link.close()
        await settle()

    async def _ordinary(self, hand: Hand, call: int) -> None:
        task, drive = opening(call, look)
        harmless(task.callable)
        harmless(task.payload)
        # What runs now is another's: it is not compared.
        self.found[call] = self.expected.calls[call] = {}
        await hand.send(task._replace(function=2**31 + 5), drive)
        last: list[Frame] = []
        while not last:
            answers = await _batch(hand)
            last = [one for one in answers if one.call == call and type(one) is not Ack]
            self.answers += [one for one in answers if one.call != call]
        assert isinstance(last[0], Result), f"an ordinary call was answered with {last[0]!r}"
        with trusted():
            found = pickler.loads(last[0].payload)
        assert set(found.values()) == {UNBOUND}, f"an ordinary call sees {found}"

    def judge(self) -> None:
        """Hold what came back against what may."""
        for frame in self.answers:
            match frame:
                case Nack():
                    self.counted(f"nack {frame.code.name}")
                case ExceptionFrame():
                    with trusted():
                        self._typed(unpickle_exception(frame.payload))
                case _:
                    self.counted(frame.symbol)
        if not self.answers and self.end is None:
            self.counted("nothing was answered")
        for call, found in self.found.items():
            if call in self.expected.calls:
                self.compare(call, found, self.expected.calls[call])
        super().judge()

    def _typed(self, error: BaseException) -> None:
        assert isinstance(error, (CatenaError, *OWN)), f"untyped: {error!r}"
        self.counted(type(error).__name__)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Look, besides, at what is bound when a call's arguments have been opened."""
        with ExitStack() as stack:
            stack.enter_context(super().watching())
            stack.enter_context(observe(Looking(self._executing), Execution))
            for module in (running, stepper):
                stack.enter_context(patch.object(module, "unpickle_arguments", self._opened))
            yield

    def _executing(self, event: Execution) -> None:
        self.entering = event.call

    def _opened(self, payload: bytes, declared: Declaration) -> Any:
        opened = _arguments(payload, declared)
        # Its execution was announced in this very step of the loop.
        if self.entering not in self.found:
            self.found[self.entering] = snapshot()
        return opened

    @staticmethod
    def _nothing_hangs(sessions: Sessions) -> None:
        for session in sessions.open_sessions.values():
            waits = session.running is None or session.running.idle
            assert waits, f"call {session.task.call} was driven and is not answered"


class _Waiting(_Side):
    """A caller is answered what is wrong."""

    name = "caller"

    def __init__(self, seen: Seen, program: Any) -> None:
        super().__init__(seen)
        self.program = program
        self.answered: list[Frame] = []

    async def _play(self, wrong: Iterable[bytes]) -> None:
        outcomes.clear()
        async with caller_and_hand() as (caller, hand):
            program = asyncio.create_task(self.program(), context=contextvars.copy_context())
            for data in wrong:
                await settle()
                self.answered += self.read(data)
                hand.message(data)
            await settle()
            served = caller.usable
            if served:
                await self._ordinary(hand)
            await caller.link.close()
            await asyncio.wait([program], timeout=SECONDS / 2)
            assert program.done(), "the program waits for an answer that cannot come"
            self._ended(program)
        if not served:
            async with caller_and_hand() as (_, hand):
                await self._ordinary(hand)

    async def _ordinary(self, hand: Hand) -> None:
        while not hand.transport.messages.empty():
            await _batch(hand)
        asking = asyncio.create_task(look(), context=contextvars.copy_context())
        opened = [one for one in await _batch(hand) if isinstance(one, Task)]
        payload = harmless(pickler.dumps("ordinary"))
        call = opened[-1].call
        await hand.send(Ack(call), Result(call, payload))
        assert await asking == "ordinary"

    def _ended(self, program: asyncio.Task[None]) -> None:
        error = None if program.cancelled() else program.exception()
        # Nobody else can be reached, says the dispatcher of these tests.
        may = (CatenaError, ConnectionError, StopAsyncIteration, *OWN)
        # A yield that answers a close is what the stdlib calls so, in these words.
        ignored = str(error) == "async generator ignored GeneratorExit"
        assert error is None or ignored or isinstance(error, may), f"untyped: {error!r}"
        self.counted("came through" if error is None else type(error).__name__)

    def judge(self) -> None:
        """Hold the program's variables against what came, where a call is awaited as a whole."""
        super().judge()
        if self.program in STREAMING:
            return
        for call, outcome in enumerate(outcomes, start=1):
            if isinstance(outcome.error, catena.WorkerLost | ProtocolError | ConnectionError):
                break
            after = after_answer(outcome.before, self.answered, call)
            if after is None:
                break
            self.compare(call, outcome.after, after)


async def _worker() -> tuple[Link, Hand, Sessions]:
    link, hand = await link_and_hand(name="w1")
    through = Through()
    sessions = Sessions(link, "w1", lambda encoded, _: through if encoded else None)
    link.start(sessions)
    return link, hand, sessions


async def _batch(hand: Hand) -> list[Frame]:
    """Return the next message of a side under test. Raises TimeoutError."""
    async with asyncio.timeout(SECONDS / 3):
        message = await hand.transport.read()
    assert message is not None, "the stream ended"
    return codec.decode_message(message).frames
