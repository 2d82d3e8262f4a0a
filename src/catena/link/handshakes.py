"""Handshakes of TLS that lead to nothing, which gRPC shows to nobody.

It does not say which of them fail, or whose. But each begins with a look at the server's files, and
the first call on a connection shows that its handshake has succeeded.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from contextvars import Context
from time import monotonic

from catena.events import HandshakeFailed
from catena.events.bus import announce

HANDSHAKE_SECONDS = 12.0
"""A connection that has brought no call after so long brings none: gRPC has closed it by then."""
_LOOK_SECONDS = 1.0


class Handshakes:
    """Counts the connections to an address with TLS that bring no call."""

    def __init__(self) -> None:
        # Where they arrive, known once it is bound.
        self.address = ""
        # Appended to by threads of gRPC.
        self._begun: deque[float] = deque()
        # When those who bring several calls over one connection have brought the last.
        self._peers: dict[str, float] = {}
        self._timer: TimerHandle | None = None

    def note_begun(self) -> None:
        """Note that a connection has come; from any thread."""
        self._begun.append(monotonic())

    def note_call(self, peer: str = "") -> None:
        """Note that a connection has brought a call.

        ``peer`` is its other end, where a connection may bring several: it counts once.
        """
        if peer:
            is_known = peer in self._peers
            self._peers[peer] = monotonic()
            if is_known:
                return
        if self._begun:
            self._begun.popleft()

    def watch(self, loop: AbstractEventLoop) -> None:
        """Look once in a while which connections have brought none, until ``stop``."""
        self.look()
        self._timer = loop.call_later(_LOOK_SECONDS, self.watch, loop, context=Context())

    def look(self) -> None:
        """Announce each connection that has brought no call in time."""
        late = monotonic() - HANDSHAKE_SECONDS
        while self._begun and self._begun[0] < late:
            self._begun.popleft()
            if HandshakeFailed.listeners:
                announce(HandshakeFailed(self.address))
        # A connection that is idle for that long has been closed.
        self._peers = {peer: seen for peer, seen in self._peers.items() if seen >= late}

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
