"""A caller and a worker on one link, and every frame that went over it in either direction."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from catena.context.proxy import PROXY_KEY
from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.dispatcher import dispatcher
from catena.dispatch.worker.sessions import Sessions
from catena.link.link import Link
from catena.link.memory import MemoryTransport, make_pair
from catena.transfer.manifest import NO_CHAIN, ChainManifest, Entry
from catena.wire import codec, manifests as closed
from catena.wire.frames import ExceptionFrame, Frame, Hello, Next, Result, Send, Task, Throw
from tests.dispatch.ends import PROXY, Ends, Through
from tests.link.ends import settle

__all__ = ["Tapped", "bytes_of", "changed", "tapped"]


@dataclass
class Tapped(Ends):
    """Both ends, what the caller sent and what the worker answered.

    ``roots`` are the numbers of states that have the proxy alone.
    """

    sent: list[Frame] = field(default_factory=list[Frame])
    answered: list[Frame] = field(default_factory=list[Frame])
    roots: set[int] = field(default_factory=set[int])

    @property
    def drives(self) -> list[Next | Send | Throw]:
        """Every drive frame that was sent, those that came with their Task too."""
        parts = [one.drive if isinstance(one, Task) else one for one in self.sent]
        return [one for one in parts if isinstance(one, Next | Send | Throw)]

    @property
    def manifests(self) -> list[ChainManifest]:
        """The manifests of the drive frames."""
        found = [one.manifest for one in self.drives if one.manifest is not None]
        for one in found:
            if any(entry.key == PROXY_KEY for entry in changed(one)):
                self.roots.add(one.base)
        return found

    @property
    def told(self) -> list[ChainManifest]:
        """What they say of a chain: those that say more than the proxy, and without that."""
        chains = [_without_proxy(one, self.roots) for one in self.manifests]
        return [one for one in chains if one != NO_CHAIN]

    @property
    def answers(self) -> list[Result | ExceptionFrame]:
        """Every answer."""
        return [one for one in self.answered if isinstance(one, Result | ExceptionFrame)]

    def forget(self) -> None:
        """Forget the frames so far."""
        assert self.manifests is not None
        self.sent.clear()
        self.answered.clear()


def changed(manifest: ChainManifest | None) -> list[Entry]:
    """Return the entries of a manifest."""
    return [] if manifest is None else list(closed.unpack_entries(manifest.entries))


def _without_proxy(manifest: ChainManifest, roots: set[int]) -> ChainManifest:
    """Return a manifest as it would be if there were no proxy."""
    base = 0 if manifest.base in roots else manifest.base
    others = [entry for entry in changed(manifest) if entry.key != PROXY_KEY]
    return manifest._replace(base=base, entries=closed.pack_entries(others))


def bytes_of(frame: Frame) -> int:
    """Return how many bytes a frame takes in a message."""
    return len(codec.encode_message([frame]))


@asynccontextmanager
async def tapped(
    *, strict: bool = False, lacking: tuple[str, ...] = (), old: str = "worker"
) -> AsyncIterator[Tapped]:
    """Connect a caller with a worker while the block runs; ``strict`` holds for both.

    The side that is named by ``old`` has never heard of the capabilities in ``lacking``.
    """
    one, other = make_pair()
    near, far = Link(one, "near", "here.sock"), Link(other, "far", "here.sock")
    aged = {"caller": near, "worker": far}[old]
    sent, answered = _recorded(one), _recorded(other)
    _without(one if aged is near else other, lacking)
    await asyncio.gather(near.exchange_hello(first=True), far.exchange_hello(first=False))
    aged.capabilities = aged.capabilities - set(lacking)
    caller = WorkerConnection(near, PROXY, strict=strict)
    through = Through(caller)
    sessions = Sessions(far, "w1", lambda encoded, _: through if encoded else None, strict=strict)
    near.start(caller)
    far.start(sessions)
    token = dispatcher.set(through)
    try:
        yield Tapped(caller, sessions, sent, answered)
    finally:
        dispatcher.reset(token)
        await near.close()
        await far.close()
        await settle()


def _recorded(transport: MemoryTransport) -> list[Frame]:
    """Write down what is written to a transport, from now on."""
    frames: list[Frame] = []
    write = transport.write

    async def recorded(message: bytes) -> None:
        frames.extend(codec.decode_message(message).frames)
        await write(message)

    transport.write = recorded
    return frames


def _without(transport: MemoryTransport, lacking: tuple[str, ...]) -> None:
    """Take capabilities out of the Hello that a transport writes."""
    write: Callable[[bytes], Any] = transport.write

    async def aged(message: bytes) -> None:
        batch = codec.decode_message(message)
        await write(
            codec.encode_message([_aged(one, lacking) for one in batch.frames], batch.sent_at_ns)
        )

    transport.write = aged


def _aged(frame: Frame, lacking: tuple[str, ...]) -> Frame:
    if not isinstance(frame, Hello):
        return frame
    return frame._replace(capabilities=tuple(set(frame.capabilities) - set(lacking)))
