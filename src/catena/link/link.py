"""The link: frames out and frames in, over any transport.

A writer gathers the frames that one turn of the event loop queues into one message, a reader hands
each frame to the receiver. Both run in an empty Context, so the link keeps nothing of a caller's
context alive. Hello goes first, both ways, with a deadline. A frame that cannot be encoded fails
its own call and nothing else, because it is encoded here, before gRPC gets it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any
from weakref import WeakSet

from catena.errors import ProtocolError, VersionRefused
from catena.escape import printable
from catena.events import FrameDropped, LinkOpened
from catena.events.bus import announce
from catena.link.congestion import UNREAD_LEAST, Congestion
from catena.link.ending import report_end
from catena.link.gate import LATE_SECONDS, Gate, patience
from catena.link.outbox import Joiner, Outbox
from catena.link.ports import Receiver, Transport
from catena.security.authorise import Permit
from catena.standing import copy_members, count_with
from catena.wire import codec, versions
from catena.wire.frames import (
    Decline,
    Frame,
    Goodbye,
    Hello,
    Members,
    Offer,
    Piece,
    Ping,
    Pong,
    Unknown,
    Want,
)
from catena.wording import reason

_log = logging.getLogger("catena")

HELLO_SECONDS = 10.0
_PARTING_SECONDS = 1.0
_PARTING_TURNS = 8
_READ_ON_SECONDS, _READ_ON_BYTES = 1.0, 64 << 20
_LATE_NS = int(LATE_SECONDS * 1e9)

links: WeakSet[Link] = WeakSet()
"""Every link of this process that is up."""
# In a forked child those of its parent are down.
count_with("links")(
    lambda: [(versions.PROTOCOL, one.protocol) for one in copy_members(links) if one.up]
)


class Link:
    """One end of the stream between two processes; ``loop`` is the event loop that it lives on.

    ``address`` is where the worker listens, the same at both ends: a Unix socket's path. It is
    empty where there is none. ``secret`` is what both know, ``permit`` whether the peer may call.
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
        # When the last message came, by the monotonic clock.
        self.heard_at = 0.0
        self.gate = Gate()
        self.permit: Permit | None = None
        self._secret = secret
        self._transport = transport
        self._receiver: Receiver | None = None
        self._outbox = Outbox()
        self._congestion = Congestion(self._outbox)
        self._joiner = Joiner()
        self.loop = asyncio.get_running_loop()
        self._wake: asyncio.Future[None] | None = None
        self._after: list[tuple[contextvars.Context, Callable[[], object]]] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._reading: asyncio.Task[bytes | None] | None = None
        self._ages = self._serves = self._substituting = False
        self._over = self.loop.create_future()
        self._instead: Callable[[Frame], object] | None = None

    @property
    def transfers(self) -> int:
        """How many frames have arrived in part."""
        return len(self._joiner)

    async def exchange_hello(self, *, first: bool) -> None:
        """Exchange Hello; the side that opened the stream speaks ``first``.

        Raises ProtocolError, VersionRefused, PeerRefused, ConnectionError, or TimeoutError after
        ten seconds.
        """
        mine = versions.make_hello(self.name, self._secret)
        async with asyncio.timeout(HELLO_SECONDS):
            if first:
                await self._transport.write(codec.encode_message([mine]))
            theirs = await self._transport.read()
            if theirs is None:
                raise ConnectionError("the stream ended before the peer said hello")
            match codec.decode_message(theirs).frames:
                case [Hello() as hello]:
                    self._note_peer(hello, mine.boot)
                case _:
                    raise ProtocolError(reason="the first frame must be hello, alone")
            try:
                # Before the answer: a peer that refuses us may cut the stream as soon as it has it.
                self.capabilities = versions.agree_on_capabilities(hello, self._secret)
            except VersionRefused:
                if not first:
                    # It learns our version, and nothing that it has not shown to know.
                    bare = codec.encode_message([versions.make_hello(self.name)])
                    await self._transport.write(bare)
                raise
            if not first:
                used = tuple(one for one in mine.capabilities if one in self.capabilities)
                answer = codec.encode_message([mine._replace(capabilities=used)])
                await self._transport.write(answer)
        # Only a worker begins anything; its caller has nothing to gain from reading on.
        self._ages = self.same_boot and not first
        self._serves = not first

    def _note_peer(self, hello: Hello, boot: str) -> None:
        """Note who the peer is; its texts come in lines of ours."""
        self.peer = hello._replace(
            peer=printable(hello.peer), software=printable(hello.software, 64), secret=b""
        )
        self.protocol = f"{hello.major}.{hello.minor}"
        self.same_boot = bool(boot) and boot == hello.boot

    def start(self, receiver: Receiver) -> None:
        """Begin to move frames; the receiver takes what comes."""
        self._receiver = receiver
        self.up = True
        links.add(self)
        for work in (self._read_messages(receiver), self._write_messages(), self._cut_stream()):
            self._tasks.append(self.loop.create_task(work, context=contextvars.Context()))
        if LinkOpened.listeners and self.peer is not None:
            opened = (self.peer.peer, self.protocol, self.peer.software, versions.PROTOCOL)
            announce(LinkOpened(*opened, versions.find_lacking(self.capabilities)))

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
            self._end_unsent(frame, error)
            return
        wake = self._wake
        # When a loop shuts down it cancels the writer, and with it what that waits for.
        if wake is not None and not wake.done():
            wake.set_result(None)

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
            self._call_followers()

    @property
    def congested(self) -> bool:
        """Whether so much waits that callers should ``await drained()`` before they send more."""
        return self._outbox.bytes > self._congestion.limit

    async def wait_drained(self) -> None:
        """Wait until less is queued than the high-water mark, or the link is down.

        Whoever came first goes on first, and sends before the next one does.
        """
        if self.up and self.congested:
            await self._congestion.wait_for_room()

    async def close(self, reason: str = "", *, timeout: float = 2.0) -> None:
        """Say goodbye, let what is queued leave, and end; at most ``timeout`` seconds."""
        self.send(Goodbye(0, printable(reason)))
        try:
            async with asyncio.timeout(timeout):
                while self.up and self._outbox.bytes:
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
        """Declare the link down, also to the receiver; later calls do nothing."""
        if self._over.done():
            return
        self.up = False
        links.discard(self)
        self._over.set_result(None)
        # Whoever still holds the link holds nothing of what was on its way.
        self._outbox.clear()
        self._joiner.clear()
        self.gate.has_read()
        self._congestion.release_all()
        self._call_followers()
        if self._wake is not None:
            # The writer has nothing more to do.
            self._wake.cancel()
        report_end(self, self.peer, self.protocol, error)
        if self._receiver is not None:
            self._receiver.link_ended(error)

    async def wait_ended(self) -> None:
        """Wait until the link is down."""
        await asyncio.shield(self._over)

    async def _cut_stream(self) -> None:
        """Cut the stream when the link is down: the peer is not to take it for up."""
        await self.wait_ended()
        await self._transport.abort()

    async def _write_messages(self) -> None:
        try:
            while self.up:
                if not self._outbox.bytes:
                    self._wake = self.loop.create_future()
                    await self._wake
                    self._wake = None
                # One more turn: what other tasks are about to send goes into the same message.
                await asyncio.sleep(0)
                frames = self._outbox.take()
                sent_at_ns = monotonic_ns() if self.same_boot else 0
                try:
                    message = codec.encode_message(frames, sent_at_ns) if frames else b""
                except Exception:
                    message = self._encode_apart(frames, sent_at_ns)
                if message:
                    await self._transport.write(message)
                if self._after:
                    self._call_followers()
                if self._congestion.waiting or self._congestion.reader is not None:
                    self._congestion.admit_next()
        except Exception as error:
            self.fail(error)

    def _encode_apart(self, frames: list[Frame], sent_at_ns: int) -> bytes:
        """Return the message of those frames that can leave, and end the calls of the others."""
        sent: list[Frame] = []
        for frame in frames:
            try:
                codec.encode_message([frame])
            except Exception as error:
                self._end_unsent(frame, error)
            else:
                sent.append(frame)
        return codec.encode_message(sent, sent_at_ns) if sent else b""

    def _end_unsent(self, frame: Frame, error: Exception) -> None:
        """Let the receiver end the call of a frame; the link ends where that is not possible."""
        if self._substituting or self._receiver is None or type(frame) is Piece:
            self.fail(error)
            return
        self._substituting = True
        try:
            self._receiver.handle_unsent(frame, error)
        except Exception as fault:
            self.fail(fault)
        finally:
            self._substituting = False

    async def _read_messages(self, receiver: Receiver) -> None:
        error: Exception | None = None
        receive = receiver.receive
        try:
            while True:
                if self._serves and self._outbox.bytes > UNREAD_LEAST:
                    await self._congestion.wait_until_read()
                reading, self._reading = self._reading, None
                message = await (self._transport.read() if reading is None else reading)
                if message is None:
                    break
                frames, sent_at_ns = codec.decode_message(message)
                if sent_at_ns and self._ages and monotonic_ns() - sent_at_ns > _LATE_NS:
                    frames = await self._read_on(frames, sent_at_ns)
                # Nothing is left unread: what begins soon need not wait.
                self.heard_at = monotonic()
                self.gate.fresh = self.heard_at + LATE_SECONDS
                for frame in frames:
                    is_whole = frame.call and type(frame) is not Piece
                    take = receive if is_whole else self._take_frame
                    take(frame)
        except Exception as reason:
            error = reason
        if isinstance(error, ProtocolError):
            await self._say_goodbye(error)
        self.fail(error)

    async def _read_on(self, frames: list[Frame], sent_at_ns: int) -> list[Frame]:
        """Return an old message's frames and those that wait behind it, to be handed out together.

        Among those may be the Cancel of a call that would begin now. It is over when a message is
        new, or none comes.
        """
        self.gate.reads_on()
        until, size = self.loop.time() + _READ_ON_SECONDS, 0
        while size < _READ_ON_BYTES and self.loop.time() < until:
            age = (monotonic_ns() - sent_at_ns) / 1e9 if sent_at_ns else 0.0
            if age <= LATE_SECONDS:
                break
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
            more, sent_at_ns = codec.decode_message(message)
            frames += more
        self.gate.has_read()
        return frames

    async def _say_goodbye(self, error: ProtocolError) -> None:
        """Say goodbye to a peer that broke the rules, with the reason, before the stream is cut."""
        self.send(Goodbye(0, printable(error.text())))
        until, turns = self.loop.time() + _PARTING_SECONDS, 0
        while self.up and (self._outbox.bytes or self._wake is None) and self.loop.time() < until:
            turns += 1
            await asyncio.sleep(0.001 if turns > _PARTING_TURNS else 0)

    def _take_frame(self, frame: Frame) -> None:
        receiver = self._receiver
        if receiver is None:
            return
        if type(frame) is Piece:
            whole = self._joiner.add(frame)
            if whole is not None:
                self._take_frame(whole)
        elif frame.call or type(frame) in (Want, Offer, Decline, Members):
            receiver.receive(frame)
        elif type(frame) is Goodbye:
            reason = printable(frame.reason)
            if reason:
                _log.warning("%r: the peer ends it: %s", self, reason)
            receiver.receive_goodbye(reason)
        elif type(frame) in (Unknown, Pong):
            # A frame of a later minor version need not be known; of a Pong, its coming says all.
            if FrameDropped.listeners and type(frame) is Unknown:
                announce(FrameDropped(0, frame.symbol))
        elif type(frame) is Ping:
            self.send(Pong(0, frame.number))
        else:
            raise ProtocolError(reason="an illegal frame of the link", frame=frame.symbol)

    def _call_followers(self) -> None:
        waiting, self._after = self._after, []
        for context, done in waiting:
            try:
                context.run(done)
            except BaseException as error:
                # SystemExit would end the link and the loop.
                _log.error("what was to follow a message raised %s", reason(error), exc_info=True)

    def __repr__(self) -> str:
        peer: Any = self.peer.peer if self.peer else "nobody yet"
        return f"<Link {self.name} to {peer} {'up' if self.up else 'down'}>"
