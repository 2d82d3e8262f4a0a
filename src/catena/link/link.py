"""The link: frames out and frames in, whatever carries them.

A writer gathers what one turn of the event loop queues into one message, a reader hands each frame
to the receiver. Both run in an empty Context, so nothing of a caller's context sticks to the link.
Hello goes first, both ways, with a deadline.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import Any, Protocol
from weakref import WeakSet

from catena.errors import ProtocolError
from catena.events import LinkClosed, LinkOpened
from catena.link.outbox import Joiner, Outbox
from catena.observe import announce
from catena.wire import versions
from catena.wire.frames import Frame, Goodbye, Hello, Piece

__all__ = ["HELLO_SECONDS", "Link", "Receiver", "Transport", "links"]

_log = logging.getLogger("catena")

HELLO_SECONDS = 10.0
HIGH_WATER = 8 << 20

links: WeakSet[Link] = WeakSet()
"""Every link of this process that is up."""


class Transport(Protocol):
    """What carries messages; gRPC's client and server sides and the memory link are transports."""

    async def write(self, batch: list[Frame], /) -> None:
        """Send one message. Raises ConnectionError when the other side is gone."""
        ...

    async def read(self) -> list[Frame] | ProtocolError | None:
        """Return the next message's frames, why it has none, or None at the end of the stream.

        Raises ConnectionError when the stream broke off.
        """
        ...

    async def close(self) -> None:
        """Let go of the stream; what was written before has left."""
        ...

    async def abort(self) -> None:
        """Let go of the stream at once."""
        ...


class Receiver(Protocol):
    """Who is told what a link brings; called from the event loop, must not block."""

    def receive(self, frame: Frame, /) -> None:
        """Take one frame."""
        ...

    def goodbye(self) -> None:
        """Learn that the peer takes no more calls, or makes none."""
        ...

    def ended(self, error: Exception | None, /) -> None:
        """Learn that the link is down; no frame comes after this."""
        ...


class Link:
    """One end of the stream between two processes; ``loop`` is the event loop that it lives on.

    ``address`` is where the worker listens, the same at both ends: a Unix socket's path. It is
    empty where there is none.
    """

    def __init__(self, transport: Transport, name: str, address: str = "") -> None:
        self.name = name
        self.address = address
        self.peer: Hello | None = None
        # The version that the peer speaks, empty before it said hello.
        self.protocol = ""
        self.capabilities: frozenset[str] = frozenset()
        self.up = False
        self._transport = transport
        self._receiver: Receiver | None = None
        self._outbox = Outbox()
        self._joiner = Joiner()
        self.loop = asyncio.get_running_loop()
        self._wake: asyncio.Future[None] | None = None
        self._drained: list[asyncio.Future[None]] = []
        self._after: list[tuple[contextvars.Context, Callable[[], object]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._over = self.loop.create_future()

    @property
    def transfers(self) -> int:
        """How many frames have arrived in part."""
        return len(self._joiner)

    async def open(self, *, first: bool) -> None:
        """Exchange Hello; the side that opened the stream speaks ``first``.

        Raises ProtocolError, VersionRefused, ConnectionError, or TimeoutError after ten seconds.
        """
        mine = versions.hello(self.name)
        async with asyncio.timeout(HELLO_SECONDS):
            if first:
                await self._transport.write([mine])
            theirs = await self._transport.read()
            match theirs:
                case [Hello() as hello]:
                    self.peer = hello
                    self.protocol = f"{hello.major}.{hello.minor}"
                case None:
                    raise ConnectionError("the stream ended before the peer said hello")
                case ProtocolError():
                    raise theirs
                case _:
                    raise ProtocolError(reason="the first frame must be hello, alone")
            try:
                # Before the answer: a peer that refuses us may cut the stream as soon as it has it.
                self.capabilities = versions.agree(hello)
            finally:
                if not first:
                    await self._transport.write([mine])

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
        """Queue a frame for the next message; when the link is down it goes nowhere."""
        if not self.up:
            return
        self._outbox.put(frame)
        if self._wake is not None:
            self._awake()

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
        return self._outbox.bytes > HIGH_WATER

    async def drained(self) -> None:
        """Wait until less is queued than the high-water mark, or the link is down."""
        while self.up and self.congested:
            waiter = self.loop.create_future()
            self._drained.append(waiter)
            await waiter

    async def close(self, reason: str = "", *, timeout: float = 2.0) -> None:
        """Say goodbye, let what is queued leave, and end; at most ``timeout`` seconds."""
        self.send(Goodbye(0, reason))
        try:
            async with asyncio.timeout(timeout):
                while self.up and self._outbox:
                    await asyncio.sleep(0.001)
                await self._transport.close()
        except (TimeoutError, ConnectionError) as error:
            self.fail(error)
            await self._transport.abort()
        self.fail(None)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def fail(self, error: Exception | None) -> None:
        """Declare the link down and tell the receiver; later calls do nothing."""
        if self._over.done():
            return
        self.up = False
        links.discard(self)
        self._over.set_result(None)
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
                await self._transport.write(self._outbox.take())
                if self._after:
                    self._left()
                if self._drained and not self.congested:
                    self._release()
        except Exception as error:
            # A frame that cannot be encoded is no less an end than a stream that broke off.
            self.fail(error)

    async def _read(self, receiver: Receiver) -> None:
        error: Exception | None = None
        receive = receiver.receive
        try:
            while (batch := await self._transport.read()) is not None:
                if isinstance(batch, ProtocolError):
                    raise batch  # noqa: TRY301 - it ends the link like any other
                for frame in batch:
                    if frame.call and type(frame) is not Piece:
                        receive(frame)
                    else:
                        self._arrived(frame)
        except Exception as reason:
            error = reason
        self.fail(error)
        if error is not None:
            await self._transport.abort()

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
            receiver.goodbye()
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
            except Exception:
                _log.exception("what was to follow a message raised")

    def _release(self) -> None:
        waiters, self._drained = self._drained, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def __repr__(self) -> str:
        peer: Any = self.peer.peer if self.peer else "nobody yet"
        return f"<Link {self.name} to {peer} {'up' if self.up else 'down'}>"
