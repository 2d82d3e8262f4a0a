"""A small real name server on loopback, over UDP and TCP, whose zone is a table of the test."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import dns.asyncresolver
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

NEGATIVE_SECONDS = 2
"""For how long it counts that a name does not exist."""


class NameServer:
    """Answers from ``zone``: for each name, records by type, with their TTL before them.

    ``silent`` are names or types of which it never says anything; ``broken`` those for which it
    fails. ``cut`` has all of its answers over UDP cut short, ``along`` are names whose addresses
    come along with every answer.
    """

    def __init__(self) -> None:
        self.zone: dict[str, dict[str, tuple[int, list[str]]]] = {}
        self.silent: set[str] = set()
        self.broken: set[str] = set()
        self.along: list[str] = []
        self.cut = False
        self.asked: list[tuple[str, str]] = []
        self.over_tcp = 0
        self.port = 0

    def resolver(self) -> dns.asyncresolver.Resolver:
        """Return a resolver that asks this server alone."""
        made = dns.asyncresolver.Resolver(configure=False)
        made.nameservers = ["127.0.0.1"]
        made.port = self.port
        made.timeout = 0.2
        return made

    def answer(self, wire: bytes, *, udp: bool) -> bytes | None:
        """Return the answer to a message, None for silence."""
        query = dns.message.from_wire(wire)
        (question,) = query.question
        name, type = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, type))
        if self.silent & {name, type}:
            return None
        response = dns.message.make_response(query)
        if self.broken & {name, type}:
            response.set_rcode(dns.rcode.SERVFAIL)
        elif name not in self.zone:
            response.set_rcode(dns.rcode.NXDOMAIN)
            soa = f"ns. root. 1 1 1 1 {NEGATIVE_SECONDS}"
            # What is above the name says for how long the answer counts.
            top = f"{name.split('.')[-2]}."
            response.authority.append(dns.rrset.from_text(top, 3600, "IN", "SOA", soa))
        else:
            response.answer += self._records(name, type)
            response.additional += [
                one
                for other in self.along
                for kind in ("A", "AAAA")
                for one in self._records(other, kind)
            ]
        if udp and self.cut:
            response.flags |= dns.flags.TC
            response.answer.clear()
        return response.to_wire(max_size=65535)

    def _records(self, name: str, type: str) -> list[dns.rrset.RRset]:
        seconds, texts = self.zone.get(name, {}).get(type, (0, []))
        return [dns.rrset.from_text(name, seconds, "IN", type, *texts)] if texts else []

    async def serve_stream(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer over TCP, where each message has its length before it."""
        try:
            length = int.from_bytes(await reader.readexactly(2), "big")
            reply = self.answer(await reader.readexactly(length), udp=False)
            self.over_tcp += 1
            if reply is not None:
                writer.write(len(reply).to_bytes(2, "big") + reply)
                await writer.drain()
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: NameServer) -> None:
        self._server = server
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        reply = self._server.answer(data, udp=True)
        if reply is not None:
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def serving() -> AsyncIterator[NameServer]:
    """Serve at a free port of loopback until the block is left."""
    server = NameServer()
    streams, datagrams = _bind_both()
    server.port = streams.getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(server), sock=datagrams)
    listening = await asyncio.start_server(server.serve_stream, sock=streams)
    try:
        yield server
    finally:
        transport.close()
        listening.close()
        await listening.wait_closed()


def _bind_both() -> tuple[socket.socket, socket.socket]:
    """Bind one port for TCP and UDP; a port that only one of them has free is given back."""
    for _ in range(50):
        streams = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        streams.bind(("127.0.0.1", 0))
        try:
            datagrams.bind(streams.getsockname())
        except OSError:
            streams.close()
            datagrams.close()
            continue
        return streams, datagrams
    raise OSError("no port is free for both")
