"""The proxies that a worker process has met, by the id of their pool.

To restore a proxy is to look it up here, or to make one: it takes no time and connects to nobody.
The first call that goes through it connects. What is bound anywhere, or in use, is kept.
"""

from __future__ import annotations

import asyncio
import contextvars
from threading import Lock

from catena.context.ownership import running_loop
from catena.errors import ProtocolError, VersionRefused
from catena.ids import ID_BYTES
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.security.trust import NO_TRUST, Trust
from catena.wire import codec
from catena.wire.versions import MAJOR, PROTOCOL

PROXY_MOST = 256
"""How many pools a worker process knows a way to."""


class ProxyTable:
    """The proxies that a worker process has met, by id; those that nobody needs make room.

    ``trust`` says how this worker calls the others of its pool. A worker that was ``found`` by its
    pools does not know their secrets: it reaches only others that were found.
    """

    def __init__(
        self,
        name: str,
        *,
        secret: bytes = b"",
        strict: bool = False,
        trust: Trust = NO_TRUST,
        found: bool = False,
    ) -> None:
        self._found = found
        self._name = name
        self._secret = secret
        self._strict = strict
        self._trust = trust
        self._proxies: dict[bytes, Proxy] = {}
        self._lock = Lock()
        self._loop = running_loop()
        self._closing: set[asyncio.Task[None]] = set()

    def get(self, encoded: bytes, id: bytes) -> Proxy | None:
        """Return the proxy of an id, made from its encoded form when it is new here.

        P2: from any thread; a form of a later epoch changes the members of the live object. None
        for an id that is new and came without a form. Raises ProtocolError for a form that does not
        parse, is another pool's or is one too many, and VersionRefused for workers of a later major
        version.
        """
        if not encoded:
            return self._proxies.get(id)
        facts = _check_facts(codec.decode_proxy(encoded))
        if id not in (b"", facts.id):
            raise ProtocolError(reason="a call names another pool than the proxy that it brings")
        if self._found:
            facts = facts._replace(members=tuple(one for one in facts.members if one.found))
        loop = self._loop = self._loop or asyncio.get_running_loop()
        with self._lock:
            known = self._proxies.get(facts.id)
            if known is None:
                self._make_room()
                known = self._proxies[facts.id] = self._make_proxy(facts, loop)
        if facts.epoch > known.epoch:
            if running_loop() is loop:
                known.replace_members(facts)
            else:
                loop.call_soon_threadsafe(known.replace_members, facts)
        return known

    def _make_proxy(self, facts: codec.ProxyFacts, loop: asyncio.AbstractEventLoop) -> Proxy:
        return Proxy(
            facts.id,
            facts.members,
            self._name,
            epoch=facts.epoch,
            secret=self._secret,
            strict=self._strict,
            trust=self._trust,
            loop=loop,
        )

    def list_members(self) -> list[Member]:
        """Return the workers of all these pools."""
        return [one for proxy in self._proxies.values() for one in proxy.list_watched()]

    def _make_room(self) -> None:
        """Forget the proxies that no link has brought and nobody uses any more.

        Raises ProtocolError where there is no such proxy.
        """
        if len(self._proxies) < PROXY_MOST:
            return
        for id, proxy in list(self._proxies.items()):
            if proxy.leases or proxy.leases.bound or proxy.is_busy:
                continue
            del self._proxies[id]
            if proxy.is_used:
                self._close_later(proxy)
        if len(self._proxies) >= PROXY_MOST:
            raise ProtocolError(reason=f"{PROXY_MOST} pools are in use on this worker")

    def _close_later(self, proxy: Proxy) -> None:
        """End the links of a proxy, in a task of its loop."""

        def close() -> None:
            closing = proxy.loop.create_task(proxy.close(), context=contextvars.Context())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

        # The loop's own thread waits for nothing: what is under way goes on.
        proxy.loop.call_soon_threadsafe(close, context=contextvars.Context())

    async def close(self) -> None:
        """End the links of all proxies."""
        await asyncio.gather(*self._closing, *(proxy.close() for proxy in self._proxies.values()))


def _check_facts(facts: codec.ProxyFacts) -> codec.ProxyFacts:
    """Return what a proxy says. Raises VersionRefused, and ProtocolError for what is no id."""
    if facts.major > MAJOR:
        raise VersionRefused(local=PROTOCOL, remote=f"{facts.major}.0")
    if len(facts.id) != ID_BYTES:
        reason = f"the id of a proxy has {ID_BYTES} bytes, this one has {len(facts.id)}"
        raise ProtocolError(reason=reason)
    return facts
