"""The medium of a local network: workers that announce themselves by multicast DNS (zeroconf).

Anybody in the network can announce anything, so this is the weakest of all hints. A record carries
id, tags and name of a worker beside its address; a certificate to pin it cannot carry.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self, cast
from urllib.parse import quote, unquote

from catena.discovery.records import (
    MEMBER_LIMIT,
    check_id,
    check_record,
    join_address,
    split_address,
)
from catena.escape import printable
from catena.facts import install_command
from catena.ids import MemberRecord

try:
    from zeroconf import InterfaceChoice, NonUniqueNameException, ServiceStateChange, Zeroconf
    from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"{missing.name} is not installed: {install_command('lan')}", name=missing.name
    ) from None

SERVICE = "_catena._tcp.local."
"""The service type of workers."""

_TTL_SECONDS = 120
"""How long others believe in a worker that was killed; it would be more than an hour otherwise."""
_ANSWER_MS = 3000
"""How long a worker whose name is known is asked for its address."""
_LABEL_LIMIT = 63
"""The most characters of the name of a service."""
_TEXT_LIMIT = 255
"""The most bytes of one ``key=value``, by the specification."""
_INTERFACES = InterfaceChoice.All

_log = logging.getLogger("catena.discovery")


class LanMedium:
    """A medium with the workers that announce themselves, of one pool or of all.

    ``interfaces`` are addresses of this machine, all by default.
    """

    def __init__(self, pool: str = "", *, interfaces: Sequence[str] = ()) -> None:
        self.title = f"the local network (pool {check_id(pool)})" if pool else "the local network"
        self._pool = pool
        self._interfaces = list(interfaces)
        self._changed = asyncio.Event()
        self._found: dict[str, MemberRecord] = {}
        self._complaints: dict[str, str] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._crowded = False
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None

    async def look(self) -> frozenset[MemberRecord]:
        """Return the members that have been heard of. Raises OSError when nothing can be heard."""
        if self._zeroconf is None:
            self._zeroconf = AsyncZeroconf(interfaces=self._interfaces or _INTERFACES)
            self._browser = AsyncServiceBrowser(
                self._zeroconf.zeroconf, SERVICE, handlers=[self._note_change]
            )
        self._changed.clear()
        return frozenset(self._found.values())

    async def wait(self) -> None:
        """Return when somebody has come, changed or gone."""
        await self._changed.wait()

    async def close(self) -> None:
        """Listen no more."""
        asking = [*self._asking.values()]
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)
        opened, self._zeroconf = self._zeroconf, None
        if self._browser is not None:
            await self._browser.async_cancel()
            self._browser = None
        if opened is not None:
            await opened.async_close()

    def _note_change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        """Ask about what has come or changed; called by zeroconf on the event loop."""
        before = self._asking.pop(name, None)
        if before is not None:
            before.cancel()
        if state_change is ServiceStateChange.Removed:
            self._forget(name)
        elif len(self._found) + len(self._asking) < MEMBER_LIMIT or name in self._found:
            task = asyncio.get_running_loop().create_task(self._find_out(zeroconf, name))
            self._asking[name] = task
            task.add_done_callback(lambda done: self._end_asking(name, done))
        else:
            self._note_crowd()

    def _note_crowd(self) -> None:
        if not self._crowded:
            _log.warning(
                "more than %d workers announce themselves in the local network; only so many count",
                MEMBER_LIMIT,
            )
        self._crowded = True

    def _end_asking(self, name: str, task: asyncio.Task[None]) -> None:
        if self._asking.get(name) is task:
            del self._asking[name]

    async def _find_out(self, zeroconf: Zeroconf, name: str) -> None:
        """Find out address and text of a worker, and note it as a member."""
        info = AsyncServiceInfo(SERVICE, name)
        if not await info.async_request(zeroconf, _ANSWER_MS):
            self._complain(name, "it does not say where it is")
            return
        try:
            record, pool = read_service(info)
        except ValueError as error:
            self._complain(name, str(error))
            self._forget(name)
            return
        self._complaints.pop(name, None)
        if self._pool in ("", pool):
            self._found[name] = record
            self._changed.set()
        else:
            self._forget(name)

    def _forget(self, name: str) -> None:
        if self._found.pop(name, None) is not None:
            self._changed.set()

    def _complain(self, name: str, text: str) -> None:
        """Log why a worker is left out, once; whoever floods the network does not flood the log."""
        if self._complaints.get(name) == text or len(self._complaints) >= MEMBER_LIMIT:
            return
        self._complaints[name] = text
        _log.warning("%s in the local network is left out: %s", printable(name), text)


class LanAnnouncement:
    """A worker that is announced in the local network until ``close``; also a context manager."""

    def __init__(self, opened: AsyncZeroconf, info: AsyncServiceInfo) -> None:
        self._opened = opened
        self._info = info

    def __repr__(self) -> str:
        return f"<announcement {self._info.name}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Say goodbye to those who listen; doing it twice is fine."""
        await self._opened.async_unregister_all_services()
        await self._opened.async_close()


async def announce_in_lan(
    member: MemberRecord, pool: str = "", *, interfaces: Sequence[str] = ()
) -> LanAnnouncement:
    """Announce a worker in the local network, for one pool or for all, until that is closed.

    It takes about half a second, in which others may object to the id. Who listens believes in the
    worker for up to two minutes after it was killed. ``interfaces`` are addresses of this machine.

    Raises ValueError for a record without an id, with a certificate, or whose target is not an
    address and a port; FileExistsError when a worker of this id and pool is announced already;
    OSError when nothing can be sent.
    """
    info = make_service(member, pool)
    opened = AsyncZeroconf(interfaces=list(interfaces) or _INTERFACES)
    try:
        await (await cast("Any", opened).async_register_service(info))
    except BaseException as error:
        await opened.async_close()
        if isinstance(error, NonUniqueNameException):
            raise FileExistsError(f"a worker {member.id} is announced already") from error
        raise
    return LanAnnouncement(opened, info)


def make_service(member: MemberRecord, pool: str) -> AsyncServiceInfo:
    """Return what is announced of a worker. Raises ValueError as ``announce_in_lan`` does."""
    check_id(member.id)
    check_record(member)
    if member.leaf is not None:
        raise ValueError("a certificate to pin cannot be announced in a local network")
    host, port = split_address(member.target)
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    if address is None or address.is_unspecified or address.is_multicast:
        raise ValueError(f"{printable(host)} is not an address that others can connect to")
    texts = {
        "id": member.id,
        "name": member.name,
        "pool": check_id(pool) if pool else "",
        "tags": ",".join(quote(tag, safe="") for tag in sorted(member.tags)),
    }
    name = _name_service(member.id, pool)
    if len(name) > _LABEL_LIMIT:
        raise ValueError(f"{name} is too long to be announced in a local network")
    for key, value in texts.items():
        if len(f"{key}={value}") > _TEXT_LIMIT:
            raise ValueError(f"the {key} are too long to be announced in a local network")
    return AsyncServiceInfo(
        SERVICE,
        f"{name}.{SERVICE}",
        port=port,
        properties={key: value for key, value in texts.items() if value},
        server=f"{name}.local.",
        host_ttl=_TTL_SECONDS,
        other_ttl=_TTL_SECONDS,
        addresses=[address.packed],
    )


def read_service(info: AsyncServiceInfo) -> tuple[MemberRecord, str]:
    """Return what a worker announces, and its pool. Raises ValueError with what is wrong."""
    texts = {key: value or "" for key, value in info.decoded_properties.items()}
    addresses = info.parsed_scoped_addresses()
    if not addresses or not info.port:
        raise ValueError("it announces no address")
    tags = texts.get("tags", "").split(",")
    record = MemberRecord(
        id=texts.get("id", ""),
        target=join_address(addresses[0], info.port),
        name=texts.get("name", ""),
        tags=frozenset(unquote(tag, errors="strict") for tag in tags if tag),
    )
    pool = texts.get("pool", "")
    name = _name_service(record.id, pool)
    if info.name != f"{name}.{SERVICE}":
        raise ValueError(f"it says that it is another one, '{printable(name)}'")
    return check_record(record), pool


def _name_service(id: str, pool: str) -> str:
    """Return the name of a worker in the network, where pools may have workers of the same id."""
    return f"{id}.{pool}" if pool else id
