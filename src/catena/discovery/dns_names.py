"""The DNS medium: members are the addresses of a name, or the targets of its SRV records.

An answer counts for the time that it says itself, within limits. What could not be answered leaves
the answer before in its place, question by question; that a name does not exist is an answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from asyncio import sleep
from collections.abc import Callable, Iterable

from catena.discovery.dns_questions import (
    FAMILIES,
    LONGEST_SECONDS,
    SRV,
    Question,
    Resolver,
    ask,
    open_resolver,
)
from catena.discovery.records import MEMBER_LIMIT, check_host, check_record, join_address
from catena.escape import printable
from catena.ids import MemberRecord

SHORTEST_SECONDS = 1.0
"""For how long an answer counts at least, whatever it says itself."""

_AT_ONCE = 16
"""How many targets of SRV records are asked for at the same time."""

_log = logging.getLogger("catena.discovery")

Answers = dict[Question, tuple[str, ...]]
"""The addresses that questions were answered with last."""


class DnsMedium:
    """A medium with the addresses of a DNS name, all of them at one port; without it, its services.

    Services are the targets of the name's SRV records, which bring their own ports; their
    priorities and weights are not looked at, because a pool gives calls to all of its workers. The
    name that a worker's certificate has to have is the one that was asked for, never one that was
    answered.

    Raises ValueError for a name that is none. ``make_resolver`` is called for each look.
    """

    def __init__(
        self,
        name: str,
        port: int | None = None,
        *,
        make_resolver: Callable[[], Resolver] = open_resolver,
    ) -> None:
        _check_name(name)
        self.title = f"the DNS name {name}"
        self.pause = SHORTEST_SECONDS
        """Seconds for which the last answers count."""
        self._name = name
        self._port = port
        self._identity = _find_identity(name)
        self._make_resolver = make_resolver
        self._answers: Answers = {}
        self._complaints: frozenset[str] = frozenset()

    async def look(self) -> frozenset[MemberRecord]:
        """Ask, and return the members. Raises OSError when the name's question is not answered."""
        look = _Look(self._make_resolver(), self._answers)
        if self._port is None:
            places = await look.find_services(self._name)
        else:
            places = [(host, self._port) for host in await look.find_addresses(self._name)]
        self._answers = look.answers
        self.pause = max(look.seconds, SHORTEST_SECONDS)
        found = self._make_records(places, look.complaints)
        for one in sorted(look.complaints - self._complaints):
            _log.warning("%s: %s", self.title, one)
        self._complaints = frozenset(look.complaints)
        return found

    async def wait(self) -> None:
        """Return when the last answers have expired."""
        await sleep(self.pause)

    async def close(self) -> None:
        """Nothing stays open between looks."""

    def _make_records(
        self, places: Iterable[tuple[str, int]], complaints: set[str]
    ) -> frozenset[MemberRecord]:
        found: set[MemberRecord] = set()
        for host, port in sorted(set(places)):
            if len(found) == MEMBER_LIMIT:
                complaints.add(f"it has more than {MEMBER_LIMIT} members; only so many count")
                break
            try:
                record = MemberRecord("", join_address(host, port), self._identity)
                found.add(check_record(record))
            except ValueError as error:
                complaints.add(f"a record is left out: {error}")
        return frozenset(found)


class _Look:
    """The questions of one look, which fall back on the answers of the look before."""

    def __init__(self, resolver: Resolver, before: Answers) -> None:
        self.answers: Answers = {}
        self.complaints: set[str] = set()
        self.seconds = LONGEST_SECONDS
        self._resolver = resolver
        self._before = before
        self._turn = asyncio.Semaphore(_AT_ONCE)

    async def find_services(self, name: str) -> list[tuple[str, int]]:
        """Return address and port of each service of a name. Raises OSError without an answer."""
        reply = await ask(self._resolver, Question(name, SRV))
        if reply.failure:
            raise OSError(reply.failure)
        self.seconds = min(self.seconds, reply.seconds)
        services = reply.services[:MEMBER_LIMIT]
        hosts = sorted({service.host for service in services})
        along: dict[str, list[str]] = {}
        for host, address in reply.along:
            along.setdefault(host, []).append(address)
        asked = [host for host in hosts if host not in along]
        answers = await asyncio.gather(*map(self._find_target, asked))
        found = {**along, **dict(zip(asked, answers, strict=True))}
        return [(address, port) for host, port in services for address in found[host]]

    async def find_addresses(self, name: str) -> list[str]:
        """Return the addresses of a name, of both families. Raises OSError without any answer."""
        questions = [Question(name, family) for family in FAMILIES]
        replies = await asyncio.gather(*(ask(self._resolver, one) for one in questions))
        self.seconds = min(self.seconds, *(reply.seconds for reply in replies))
        if not any(reply.addresses for reply in replies):
            if any(reply.nobody for reply in replies):
                return []
            raise OSError("; ".join(reply.failure for reply in replies))
        for question, reply in zip(questions, replies, strict=True):
            lost = reply.failure and not reply.empty
            self.answers[question] = self._before.get(question, ()) if lost else reply.addresses
        return [address for question in questions for address in self.answers[question]]

    async def _find_target(self, host: str) -> list[str]:
        """Return the addresses of a service's host, or those known last when that fails."""
        try:
            async with self._turn:
                return await self.find_addresses(host)
        except OSError as error:
            self.complaints.add(f"addresses that were known last are taken: {error}")
        known: list[str] = []
        for family in FAMILIES:
            question = Question(host, family)
            self.answers[question] = self._before.get(question, ())
            known += self.answers[question]
        return known


def _check_name(name: str) -> None:
    """Refuse what is no DNS name. Raises ValueError."""
    check_host(name)
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return
    raise ValueError(f"{printable(name)} is an address and needs no name server")


def _find_identity(name: str) -> str:
    """Return the name that certificates have to have: without labels like ``_tcp`` before it."""
    labels = name.rstrip(".").split(".")
    while labels and labels[0].startswith("_"):
        del labels[0]
    return ".".join(labels)
