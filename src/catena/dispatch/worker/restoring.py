"""How a worker restores the proxy of a call: from an entry of the chain, or from fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from catena.dispatch.dispatcher import Dispatcher
from catena.dispatch.unrestored import UnrestoredProxy
from catena.errors import ProtocolError
from catena.transfer.manifest import Entry, EntryKind
from catena.transfer.states.bound import BoundProxy, Way
from catena.wire.frames import Task
from catena.wire.versions import PROXY_LIMIT

_ID_LIMIT = 64


class RestoredProxy(Way, Dispatcher, Protocol):
    """A dispatcher that a worker may have bound for calls."""


Proxies = Callable[[bytes, bytes], RestoredProxy | None]
"""Returns the dispatcher for a proxy (encoded, id); None for an id that is not known."""


def restore_from_entry(proxies: Proxies, entry: Entry) -> RestoredProxy | None:
    """Return the proxy that an entry brings, None where it says that there is none.

    P6: one that cannot be restored is there all the same, and the calls through it fail.
    """
    if entry.kind is EntryKind.RESET:
        return None
    try:
        if entry.kind is EntryKind.LOST:
            raise ProtocolError(reason="its process could not write it")  # noqa: TRY301
        return proxies(check_length(entry.value), b"")
    except Exception as error:
        return UnrestoredProxy(error)


def restore_from_fields(proxies: Proxies, task: Task) -> BoundProxy | None:
    """Return the proxy in the fields of a Task, None when it is not known.

    Raises ProtocolError for one that is too long, or one too many.
    """
    if len(task.proxy_id) > _ID_LIMIT:
        raise ProtocolError(reason=f"the id of its proxy takes {len(task.proxy_id):,} bytes")
    if not task.proxy_id:
        return BoundProxy(None, "fields")
    way = proxies(check_length(task.proxy), task.proxy_id)
    return None if way is None else BoundProxy(way, "fields")


def check_length(proxy: bytes) -> bytes:
    """Return an encoded proxy. Raises ProtocolError for one that is too long."""
    if len(proxy) > PROXY_LIMIT:
        reason = f"its proxy takes {len(proxy):,} bytes, and the limit is {PROXY_LIMIT:,}"
        raise ProtocolError(reason=reason)
    return proxy
