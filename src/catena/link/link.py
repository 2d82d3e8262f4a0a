"""The link: frames out and frames in, whatever carries them.

A writer gathers what one turn of the event loop queues into one message, a reader hands each frame
to the receiver. Both run in an empty Context, so nothing of a caller's context sticks to the link.
Hello goes first, both ways, with a deadline. A frame that cannot leave fails its own call and
nothing else: it is encoded here, before gRPC has it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Callable
from time import monotonic_ns
from typing import Any
from weakref import WeakSet

from catena.errors import ProtocolError, VersionRefused
from catena.escape import printable
from catena.events import FrameDropped, LinkClosed, LinkOpened
from catena.events.bus import announce
from catena.link.gate import LATE_SECONDS, Gate, patience
from catena.link.outbox import Joiner, Outbox
from catena.link.ports import Receiver, Transport
from catena.standing import counted, members
from catena.wire import codec, versions
from catena.wire.frames import Frame, Goodbye, Hello, Piece, Unknown
from catena.wording import reason

__all__ = ["HELLO_SECONDS", "Link", "links"]

_log = logging.getLogger("catena")

HELLO_SECONDS = 10.0
HIGH_WATER = 8 << 20
_PARTING_SECONDS = 1.0
_PARTING_TURNS = 8
_READ_ON_SECONDS = 1.0
_READ_ON_BYTES = 64 << 20

links: WeakSet[Link] = WeakSet()
"""Every link of this process that is up."""
# In a forked child those of its parent are down.
counted("links")(lambda: [(versions.PROTOCOL, one.protocol) for one in members(links) if one.up])


class Link:
    """One end of the stream between two processes; ``loop`` is the event loop that it lives on.

    ``address`` is where the worker listens, the same at both ends: a Unix socket's path. It is
    empty where there is none. ``secret`` is what both ends have to know.
    """

    def __init__(
        self, transport: Transport, name: str, address: str = "", secret: bytes = b""
    ) -> None:
        self.name = name
        self.address = address
        self.peer: Hello | None = None
        # The version that the peer speaks, empty before it said hello.
        self.protocol = ""
        self.capabilities: frozenset[str] = frozenset()
        self.up = False
        # Whether both ends read the same clock.
        self.same_boot = False
        self.gate = Gate()
        self._secret = secret
        self._transport = transport
        self._receiver: Receiver | None = None
        self._outbox = Outbox()
        self._joiner = Joiner()
        self.loop = asyncio.get_running_loop()
        self._wake: asyncio.Future[None] | None = None
        self._drained: deque[asyncio.Future[None]] = deque()
        # Below zero while somebody waits: who comes later stands behind.
        self._high_water = HIGH_WATER
        self._after: list[tuple[contextvars.Context, Callable[[], object]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._reading: asyncio.Task[bytes | None] | None = None
        self._ages = False
        self._substituting = False
        self._over = self.loop.create_future()
        self._instead: Callable[[Frame], object] | None = None

    @property
    def transfers(self) -> int:
        """How many frames have arrived in part."""
        return len(self._joiner)

    async def open(self, *, first: bool) -> None:
        """Exchange Hello; the side that opened the stream speaks ``first``.

        Raises ProtocolError, VersionRefused, PeerRefused, ConnectionError, or TimeoutError after
        ten seconds.
        """
        mine = versions.hello(self.name, self._secret)
        async with asyncio.timeout(HELLO_SECONDS):
            if first:
                await self._transport.write(codec.encode([mine]))
            theirs = await self._transport.read()
            if theirs is None:
                raise ConnectionError("the stream ended before the peer said hello")
            match codec.decode(theirs):
                case [Hello() as hello]:
                    self._met(hello, mine.boot)
                case _:
                    raise ProtocolError(reason="the first frame must be hello, alone")
            try:
                # Before the answer: a peer that refuses us may cut the stream as soon as it has it.
                self.capabilities = versions.agree(hello, self._secret)
            except VersionRefused:
                if not first:
                    # It learns our version, and nothing that it has not shown to know.
                    await self._transport.write(codec.encode([versions.hello(self.name)]))
                raise
            if not first:
                await self._transport.write(codec.encode([mine]))
        # Only a worker begins anything; its caller has nothing to gain from reading on.
        self._ages = self.same_boot and not first

    def _met(self, hello: Hello, boot: str) -> None:
        """Note who the peer is; its texts come in lines of ours."""
        self.peer = hello._replace(
            peer=printable(hello.peer), software=printable(hello.software, 64), secret=b""
        )
        self.protocol = f"{hello.major}.{hello.minor}"
        self.same_boot = bool(boot) and boot == hello.boot

    def start(self, receiver: Receiver) -> None:
        """Begin to move frames; the receiver is told what comes."""
        self._receiver = receiver
        self.up = True
        links.add(self)
        for work in (self._read(receiver), self._write()):
            self._tasks.append(self.loop.create_task(work, context=contextvars.Context()))
        if LinkOpened.listeners and self.peer is not None:
            opened = (self.peer.peer, self.protocol, self.peer.software, versions.PROTOCOL)
            announce(LinkOpened(*opened))

    def send(self, frame: Frame) -> None:
        """Queue a frame for the next message; when the link is down it goes nowhere.

        The receiver learns it at once when the frame cannot be sent.
        """
        if not self.up:
            if self._instead is not None:
                self._instead(frame)
            return
        try:
            self._outbox.put(frame)
        except Exception as error:
            self._not_sent(frame, error)
            return
        if self._wake is not None:
            self._awake()

    def inherit(self, instead: Callable[[Frame], object] | None = None) -> None:
        """Go down in a forked child, where nothing can be sent: ``instead`` is given the frames."""
        self.up = False
        self._instead = instead

    def after(self, done: Callable[[], object]) -> None:
        """Call ``done`` in the present Context: when a message has left, or the link is down.

        What it raises is logged.
        """
        self._after.append((contextvars.copy_context(), done))
        if not self.up:
            self._left()

    @property
    def congested(self) -> bool:
        """Whether so much waits that callers should ``await drained()`` before they send more."""
        return self._outbox.bytes > self._high_water

    async def drained(self) -> None:
        """Wait until less is queued than the high-water mark, or the link is down.

        Whoever came first goes on first, and sends before the next one does.
        """
        if not (self.up and self.congested):
            return
        waiter = self.loop.create_future()
        self._drained.append(waiter)
        self._high_water = -1
        try:
            await waiter
        finally:
            if not self.loop.is_closed():
                self.loop.call_soon(self._let_next)

    async def close(self, reason: str = "", *, timeout: float = 2.0) -> None:
        """Say goodbye, let what is queued leave, and end; at most ``timeout`` seconds."""
        self.send(Goodbye(0, printable(reason)))
        try:
            async with asyncio.timeout(timeout):
                while self.up and self._outbox:
                    await asyncio.sleep(0.001)
                await self._transport.close()
        except (TimeoutError, ConnectionError) as error:
            self.fail(error)
            await self._transport.abort()
        self.fail(None)
        tasks = [*self._tasks, *([self._reading] if self._reading is not None else ())]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def fail(self, error: Exception | None) -> None:
        """Declare the link down and tell the receiver; later calls do nothing."""
        if self._over.done():
            return
        self.up = False
        links.discard(self)
        self._over.set_result(None)
        # Whoever still holds the link holds nothing of what was on its way.
        self._outbox.clear()
        self._joiner.clear()
        self.gate.read()
        self._release()
        self._left()
        self._awake()
        if error is not None and not isinstance(error, ConnectionError | TimeoutError):
            # A peer that broke the rules, or a fault of ours: nobody else would hear of it.
            _log.error("%r was ended", self, exc_info=error)
        if LinkClosed.listeners:
            peer = self.peer.peer if self.peer else ""
            announce(LinkClosed(peer, error, self.protocol, versions.PROTOCOL))
        if self._receiver is not None:
            self._receiver.ended(error)

    async def wait_ended(self) -> None:
        """Wait until the link is down."""
        await asyncio.shield(self._over)

    async def _write(self) -> None:
        try:
            while self.up:
                if not self._outbox:
                    self._wake = self.loop.create_future()
                    await self._wake
                # One more turn: what other tasks are about to send goes into the same message.
                await asyncio.sleep(0)
                message = self._encoded(self._outbox.take())
                if message:
                    await self._transport.write(message)
                if self._after:
                    self._left()
                if self._drained:
                    self._let_next()
        except Exception as error:
            self.fail(error)

    def _encoded(self, frames: list[Frame]) -> bytes:
        try:
            message = codec.encode(frames)
        except Exception:
            message = b"".join(map(self._encoded_alone, frames))
        return codec.stamped(message, monotonic_ns()) if self.same_boot and message else message

    def _encoded_alone(self, frame: Frame) -> bytes:
        """Return the message of a single frame, empty when it cannot leave."""
        try:
            return codec.encode([frame])
        except Exception as error:
            self._not_sent(frame, error)
            return b""

    def _not_sent(self, frame: Frame, error: Exception) -> None:
        """Let the receiver end the call of a frame; the link ends where that is not possible."""
        if self._substituting or self._receiver is None or type(frame) is Piece:
            self.fail(error)
            return
        self._substituting = True
        try:
            self._receiver.unsent(frame, error)
        except Exception as fault:
            self.fail(fault)
        finally:
            self._substituting = False

    async def _read(self, receiver: Receiver) -> None:
        error: Exception | None = None
        receive = receiver.receive
        try:
            while (message := await self._next()) is not None:
                frames = codec.decode(message)
                if self._ages and (age := codec.age(message, monotonic_ns())) > LATE_SECONDS:
                    frames = await self._with_what_follows(frames, age)
                self.gate.read()
                for frame in frames:
                    if frame.call and type(frame) is not Piece:
                        receive(frame)
                    else:
                        self._arrived(frame)
        except Exception as reason:
            error = reason
        if isinstance(error, ProtocolError):
            await self._part(error)
        self.fail(error)
        if error is not None:
            await self._transport.abort()

    async def _next(self) -> bytes | None:
        """Return the next message; raise what reading raises."""
        reading, self._reading = self._reading, None
        return await (self._transport.read() if reading is None else reading)

    async def _with_what_follows(self, frames: list[Frame], age: float) -> list[Frame]:
        """Return an old message's frames and those that wait behind it, to be handed out together.

        Among those may be the Cancel of a call that would begin now. It is over when a message is
        new, or none comes.
        """
        self.gate.reads_on()
        until, size = self.loop.time() + _READ_ON_SECONDS, 0
        while age > LATE_SECONDS and size < _READ_ON_BYTES and self.loop.time() < until:
            reading = self._reading = self._reading or self.loop.create_task(
                self._transport.read(), context=contextvars.Context()
            )
            await asyncio.wait((reading,), timeout=patience(age))
            if not reading.done() or reading.cancelled() or reading.exception() is not None:
                break
            message = reading.result()
            if message is None:
                break
            self._reading = None
            size += len(message)
            age = codec.age(message, monotonic_ns())
            frames += codec.decode(message)
        return frames

    async def _part(self, error: ProtocolError) -> None:
        """Say goodbye to a peer that broke the rules, with the reason, before the stream is cut."""
        self.send(Goodbye(0, printable(error.text())))
        until, turns = self.loop.time() + _PARTING_SECONDS, 0
        while self.up and (self._outbox or self._wake is None) and self.loop.time() < until:
            turns += 1
            await asyncio.sleep(0.001 if turns > _PARTING_TURNS else 0)

    def _arrived(self, frame: Frame) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        if type(frame) is Piece:
            whole = self._joiner.add(frame)
            if whole is not None:
                self._arrived(whole)
        elif frame.call:
            receiver.receive(frame)
        elif type(frame) is Goodbye:
            reason = printable(frame.reason)
            if reason:
                _log.warning("%r: the peer ends it: %s", self, reason)
            receiver.goodbye(reason)
        elif type(frame) is Unknown:
            # Of a later minor version; what it has to say is no call's business.
            if FrameDropped.listeners:
                announce(FrameDropped(0, frame.symbol))
        else:
            raise ProtocolError(reason="an illegal frame of the link", frame=frame.symbol)

    def _awake(self) -> None:
        wake, self._wake = self._wake, None
        # When a loop shuts down it cancels the writer, and with it what that waits for.
        if wake is not None and not wake.done():
            wake.set_result(None)

    def _left(self) -> None:
        waiting, self._after = self._after, []
        for context, done in waiting:
            try:
                context.run(done)
            except BaseException as error:
                # SystemExit would end the link and the loop.
                _log.error("what was to follow a message raised %s", reason(error), exc_info=True)

    def _let_next(self) -> None:
        """Let the first of those who wait for room go on, if there is any."""
        waiters = self._drained
        while waiters and waiters[0].done():
            waiters.popleft()
        if not waiters:
            self._high_water = HIGH_WATER
        elif self._outbox.bytes <= HIGH_WATER:
            waiters.popleft().set_result(None)

    def _release(self) -> None:
        waiters, self._drained = self._drained, deque()
        self._high_water = HIGH_WATER
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        peer: Any = self.peer.peer if self.peer else "nobody yet"
        return f"<Link {self.name} to {peer} {'up' if self.up else 'down'}>"
