"""How the end of a link is reported: its log, and what is announced of it."""

from __future__ import annotations

import logging

from catena.errors import ProtocolError
from catena.events import LinkClosed, ProtocolBroken
from catena.events.bus import announce
from catena.wire import versions
from catena.wire.frames import Hello

_log = logging.getLogger("catena")


def report_end(link: object, peer: Hello | None, protocol: str, error: Exception | None) -> None:
    """Say that a link has ended, in good order where there is no error."""
    if error is not None and not isinstance(error, ConnectionError | TimeoutError):
        # A peer that broke the rules, or a fault of ours: nobody else would hear of it. What is
        # announced may have neither its text nor where it was raised.
        _log.error("%r was ended", link, exc_info=error)
    name = peer.peer if peer else ""
    if ProtocolBroken.listeners and isinstance(error, ProtocolError):
        announce(ProtocolBroken(error, name))
    if LinkClosed.listeners:
        announce(LinkClosed(name, error, protocol, versions.PROTOCOL))
