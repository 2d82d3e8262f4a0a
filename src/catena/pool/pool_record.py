"""The record of an open pool: a file by which commands find its workers, and what it refused.

It is written anew when something in it has changed, once a beat at most, and is gone when the pool
is closed. A pool that can leave none says so once, and works all the same.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from catena.events.kept import list_refusals
from catena.ids import MemberRecord
from catena.pool.record_folder import remove_record, write_record
from catena.pool.recorded import RecordedPool, RecordedWorker, encode_pool
from catena.proxy.balance import Proxy
from catena.proxy.member import Member
from catena.security.trust import Trust
from catena.targets import is_local
from catena.wire import versions

_log = logging.getLogger("catena.pool")

Unreached = Sequence[tuple[MemberRecord, str]]
"""Workers of which there are records and no links, and why."""


class PoolRecord:
    """The record of the pool with that proxy; ``list_unreached`` says whom it cannot reach."""

    def __init__(self, proxy: Proxy, list_unreached: Callable[[], Unreached]) -> None:
        from catena.discovery.processes import mark_process  # noqa: PLC0415 - no worker needs it

        self._proxy = proxy
        self._list_unreached = list_unreached
        self._pid = os.getpid()
        self._mark = mark_process()
        self._written: RecordedPool | None = None
        self._path: Path | None = None
        self._is_over = False

    def look(self) -> None:
        """Write the record if it has changed, or somebody has taken it away."""
        if self._is_over:
            return
        facts = self._describe_pool()
        if facts == self._written and self._path is not None and self._path.exists():
            return
        try:
            path = write_record(f"{self._pid}-{facts.id}", encode_pool(facts))
        except OSError as error:
            self._is_over = True
            _log.warning("the pool leaves no record, so commands do not find it: %s", error)
            return
        if self._path is not None and self._path != path:
            remove_record(self._path)
        self._path, self._written = path, facts

    def remove(self) -> None:
        """Take the record away; twice is fine, and a forked child leaves its parent's alone."""
        self._is_over = True
        path, self._path = self._path, None
        if path is not None and os.getpid() == self._pid:
            remove_record(path)

    def _describe_pool(self) -> RecordedPool:
        trust, mark = self._proxy.trust, self._mark
        members = [_describe_member(one, trust) for one in self._proxy.members]
        unreached = [_describe_record(*pair, trust) for pair in self._list_unreached()]
        return RecordedPool(
            id=self._proxy.id.hex(),
            pid=self._pid,
            name=trust.pool,
            process=None if mark is None else (mark.pid, mark.started, mark.place),
            version=versions.SOFTWARE,
            protocol=versions.PROTOCOL,
            capabilities=versions.CAPABILITIES,
            credentials="" if trust.credentials is None else str(trust.credentials.folder),
            insecure=trust.insecure,
            workers=(*members, *unreached),
            refusals=list_refusals(),
        )


def _describe_member(member: Member, trust: Trust) -> RecordedWorker:
    facts = member.facts
    found = RecordedWorker(
        facts.worker,
        facts.target,
        "" if is_local(facts.target) else trust.name_for("" if facts.shared else facts.worker),
        facts.leaf.decode("ascii", "replace"),
        "unlinked",
        error=member.failure,
    )
    link = None if member.caller is None else member.caller.link
    if link is None or link.peer is None or not link.up:
        return found
    return found._replace(
        state=member.state,
        version=link.peer.software,
        protocol=link.protocol,
        capabilities=tuple(sorted(link.capabilities)),
    )


def _describe_record(record: MemberRecord, error: str, trust: Trust) -> RecordedWorker:
    verify = "" if is_local(record.target) else record.name or trust.name_for(record.id)
    return RecordedWorker(record.id, record.target, verify, state="unlinked", error=error)
