"""The proxies that a worker process has met, by the id of their pool."""

from __future__ import annotations

import asyncio

from catena.errors import ProtocolError
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.security.trust import NO_TRUST, Trust
from catena.wire import codec

PROXY_MOST = 256
"""How many pools a worker process knows a way to."""


class ProxyTable:
    """The proxies that a worker process has met, by id; those that are not in use go first.

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

    def get(self, encoded: bytes, id: bytes) -> Proxy | None:
        """Return the proxy of an id, made from its encoded form when it is new here.

        P2: a form of a later epoch changes the members of the live object. None for an id that is
        new and came without a form. Raises ProtocolError for a form that does not parse, or that is
        another pool's.
        """
        if not encoded:
            return self._proxies.get(id)
        facts = codec.decode_proxy(encoded)
        if id not in (b"", facts.id):
            raise ProtocolError(reason="a call names another pool than the proxy that it brings")
        if self._found:
            facts = facts._replace(members=tuple(one for one in facts.members if one.found))
        known = self._proxies.get(facts.id)
        if known is not None:
            known.replace_members(facts)
            return known
        self._make_room()
        made = self._proxies[facts.id] = Proxy(
            facts.id,
            facts.members,
            self._name,
            epoch=facts.epoch,
            secret=self._secret,
            strict=self._strict,
            trust=self._trust,
        )
        return made

    def list_members(self) -> list[Member]:
        """Return the workers of all these pools."""
        return [one for proxy in self._proxies.values() for one in proxy.list_watched()]

    def _make_room(self) -> None:
        """Forget proxies through which nothing has been reached. Raises ProtocolError."""
        if len(self._proxies) < PROXY_MOST:
            return
        for id, proxy in list(self._proxies.items()):
            if not proxy.is_used:
                del self._proxies[id]
        if len(self._proxies) >= PROXY_MOST:
            raise ProtocolError(reason=f"{PROXY_MOST} pools are in use on this worker")

    async def close(self) -> None:
        """End the links of all proxies."""
        await asyncio.gather(*(proxy.close() for proxy in self._proxies.values()))
