"""A hostile peer's hand: one link to a worker, on which it says whatever it likes, as bytes.

It speaks gRPC with no code of Catena but the codec. Each wait has a deadline, after which the
worker counts as hanging.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

from catena.grpc_loading import aio, grpc
from catena.link.service import METHOD
from catena.pickling import pickler
from catena.security.credentials import Credentials
from catena.wire import codec, versions
from catena.wire.frames import Frame, Hello, Next, Task
from tests.hostile import routines
from tests.hostile.fleet import Fleet
from tests.hostile.routines import INSIDER
from tests.laws.law import Random

__all__ = ["Peer", "linked", "waiting"]

seconds = 20.0
"""After so many a worker counts as hanging."""

_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
_GONE = (aio.AioRpcError, aio.BaseError, asyncio.InvalidStateError)
_files: dict[Credentials, Any] = {}


@asynccontextmanager
async def waiting() -> AsyncIterator[None]:
    """Bound a wait. Raises AssertionError when the worker counts as hanging."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise AssertionError(f"a worker did not answer for {seconds:g} s") from None


class Peer:
    """One link to a worker, for a peer that does what its ``name`` says.

    ``frames`` counts what it has sent, ``expected`` the events that the worker has to announce.
    """

    def __init__(self, channel: aio.Channel, name: str, random: Random) -> None:
        self.name = name
        self.random = random
        self.frames = 0
        self.expected: Counter[str] = Counter()
        self.met: Counter[str] = Counter()
        self._stream: Any = channel.stream_stream(METHOD)()
        self._waiting: list[Frame] = []
        self._last = 0
        self._functions = 0

    @property
    def kind(self) -> str:
        """What it does, without its number."""
        return self.name.partition("#")[0]

    def expect(self, event: str, many: int = 1) -> None:
        """Expect the worker to announce something of this very peer."""
        self.expected[f"{event} {self.kind}"] += many

    def next_call(self) -> int:
        """Return a number that was not used."""
        self._last += 1
        return self._last

    @property
    def last_call(self) -> int:
        """The number that was used last."""
        return self._last

    async def say_hello(self, **change: Any) -> Hello:
        """Exchange hello, and return the worker's."""
        hello = versions.make_hello(self.name)._replace(**change)
        await self.send(hello)
        theirs = await self.frame()
        assert isinstance(theirs, Hello), theirs
        return theirs

    async def send(self, *frames: Frame) -> None:
        """Send frames in one message."""
        await self.send_bytes(codec.encode_message(frames), len(frames))

    async def send_bytes(self, data: bytes, frames: int = 1) -> None:
        """Send any bytes as a message; where the stream has ended they go nowhere."""
        self.frames += frames
        with suppress(*_GONE):
            async with waiting():
                await self._stream.write(data)

    async def frame(self) -> Frame:
        """Return the next frame that comes."""
        while not self._waiting:
            async with waiting():
                message = await self._stream.read()
            assert message is not aio.EOF, f"{self.name}: the stream ended"
            self._waiting += codec.decode_message(message).frames
        return self._waiting.pop(0)

    async def symbols(self, *expected: str) -> list[Frame]:
        """Take as many frames; they have to be those."""
        found = [await self.frame() for _ in expected]
        assert [one.symbol for one in found] == [*expected], f"{self.name}: {found}"
        return found

    async def end(self) -> tuple[str, str]:
        """Read until the stream ends; return gRPC's status and its words."""
        async with waiting():
            with suppress(*_GONE):
                while (message := await self._stream.read()) is not aio.EOF:
                    self._waiting += codec.decode_message(message).frames
            code = await self._stream.code()
            return code.name, await self._stream.details() or ""

    async def farewell(self, words: str) -> None:
        """Be cut off with a goodbye that says why."""
        await self.end()
        said = [getattr(one, "reason", "") for one in self._waiting if one.symbol == "goodbye"]
        assert any(words in one for one in said), f"{self.name}: {self._waiting[-3:]}"

    def cut(self) -> None:
        """Cut the link, as a process does that dies."""
        self._stream.cancel()

    def call(self, routine: str = "rest", **change: Any) -> Task:
        """Return a Task, with its first drive, that calls a routine of the worker's module."""
        call = change.pop("call", None) or self.next_call()
        self._functions += 1
        found = getattr(routines, routine)
        task = Task(
            call,
            self._functions,
            INSIDER,
            f"tests.hostile.{routine}",
            routine == "count_up",
            pickler.dumps(found),
            drive=Next(call, change.pop("manifest", None)),
        )
        return task._replace(**change)

    async def is_served(self) -> None:
        """Have a call answered: the link is good for others."""
        await self.send(self.call())
        await self.symbols("ack", "return")


def _channel(fleet: Fleet, *, local: bool, whose: str) -> aio.Channel:
    if local:
        return aio.insecure_channel(fleet.local, options=_OPTIONS)
    credentials = fleet.credentials(whose)
    made = _files.get(credentials)
    if made is None:
        files = credentials.read()
        made = grpc.ssl_channel_credentials(files.ca, files.key, files.cert)
        _files[credentials] = made
    name = ("grpc.ssl_target_name_override", fleet.verify)
    return aio.secure_channel(fleet.secured, made, options=[*_OPTIONS, name])


_numbers: Iterator[int] = iter(range(1, 1 << 40))


@asynccontextmanager
async def linked(
    fleet: Fleet, kind: str, random: Random, *, local: bool, whose: str = "alice"
) -> AsyncIterator[Peer]:
    """Let a peer have a link of its own while the block runs."""
    channel = _channel(fleet, local=local, whose=whose)
    peer = Peer(channel, f"{kind}#{next(_numbers)}", random)
    try:
        yield peer
    finally:
        await channel.close(None)
