"""The proxies that a worker process has met, by the id of their pool."""

from __future__ import annotations

import asyncio

from catena.errors import ProtocolError
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.wire import codec

PROXY_MOST = 256
"""How many pools a worker process knows a way to."""


class ProxyTable:
    """The proxies that a worker process has met, by id; those that are not in use go first."""

    def __init__(self, name: str, *, secret: bytes = b"", strict: bool = False) -> None:
        self._name = name
        self._secret = secret
        self._strict = strict
        self._proxies: dict[bytes, Proxy] = {}

    def get(self, encoded: bytes, id: bytes) -> Proxy | None:
        """Return the proxy of an id, made from its encoded form when it is new here.

        None when it is new and came without one. Raises ProtocolError when that does not parse.
        """
        known = self._proxies.get(id)
        if known is None and encoded:
            found, members = codec.decode_proxy(encoded)
            self._make_room()
            known = self._proxies[found] = Proxy(
                found, members, self._name, secret=self._secret, strict=self._strict
            )
        return known

    def list_members(self) -> list[Member]:
        """Return the workers of all these pools."""
        return [member for proxy in self._proxies.values() for member in proxy.members]

    def _make_room(self) -> None:
        """Forget proxies through which nothing has been reached. Raises ProtocolError."""
        if len(self._proxies) < PROXY_MOST:
            return
        for id, proxy in list(self._proxies.items()):
            if all(member.caller is None for member in proxy.members):
                del self._proxies[id]
        if len(self._proxies) >= PROXY_MOST:
            raise ProtocolError(reason=f"{PROXY_MOST} pools are in use on this worker")

    async def close(self) -> None:
        """End the links of all proxies."""
        await asyncio.gather(*(proxy.close() for proxy in self._proxies.values()))
