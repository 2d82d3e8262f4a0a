"""Peers that prove nothing: each has a link of its own, and sends one hostile frame there.

Nothing that they bring may be unpickled. ``STRANGERS`` has them by what they do; each is given the
workers, whether the one at the Unix socket is attacked, and what to draw from.
"""

from __future__ import annotations

import asyncio
import functools
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from catena.targets import address_of
from catena.wire import codec, versions
from catena.wire.frames import Frame, Next, Task
from tests.hostile.fleet import Fleet
from tests.hostile.limits import limit
from tests.hostile.peer import Peer, linked, waiting
from tests.hostile.routines import STRANGER
from tests.laws.law import Random

__all__ = ["STRANGERS", "Stranger"]

Expected = Counter[str]
Stranger = Callable[[Fleet, bool, Random], Awaitable[Expected]]
"""Attacks a worker; returns which events that has to announce. Raises AssertionError."""

STRANGERS: dict[str, tuple[Stranger, tuple[bool, ...]]] = {}
"""What each does, and at which worker: at the Unix socket (True), with TLS (False)."""

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_NOISE = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05hello", b"\x00" * 99, _PREFACE[:30])
_REFUSED = "PeerAccessRefused: "
_SILENT = f"{_REFUSED}it has not said hello"
_HANDSHAKE = "HandshakeFailed"
_HELLO_SECONDS: float = limit("link.link", "HELLO_SECONDS")


def _stranger(title: str, *where: bool) -> Callable[[Stranger], Stranger]:
    def keep(attack: Stranger) -> Stranger:
        STRANGERS[title] = attack, where or (True, False)
        return attack

    return keep


def bomb() -> Task:
    """Return a Task whose arguments and routine note that they were unpickled."""
    return Task(1, 1, STRANGER, "tests.bomb", callable=STRANGER, drive=Next(1))


# ---- before a link: bytes, and handshakes of TLS


@functools.cache
def _context(certs: Path, whose: str) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.load_verify_locations(certs / "alice" / "ca.pem")
    made.set_alpn_protocols(["h2"])
    if whose:
        made.load_cert_chain(certs / whose / "cert.pem", certs / whose / "key.pem")
    return made


async def _connect(fleet: Fleet, *, local: bool, tls: ssl.SSLContext | None = None) -> Any:
    if local:
        return await asyncio.open_unix_connection(address_of(fleet.local))
    host, _, port = fleet.secured.rpartition(":")
    return await asyncio.open_connection(host, int(port), ssl=tls)


async def _shake_hands(fleet: Fleet, whose: str) -> None:
    """Shake hands, send a frame, and be cut off before the worker has sent anything."""
    async with waiting():
        writer = None
        with suppress(OSError):
            reader, writer = await _connect(fleet, local=False, tls=_context(fleet.certs, whose))
            writer.write(_PREFACE + codec.encode_message([bomb()]))
            assert await reader.read(1) == b"", "a worker has answered"
        if writer is not None:
            writer.transport.abort()


@_stranger("no certificate", False)
async def _without(fleet: Fleet, _: bool, __: Random) -> Expected:
    await _shake_hands(fleet, "")
    return Counter({_HANDSHAKE: 1})


@_stranger("a certificate that has expired", False)
async def _expired(fleet: Fleet, _: bool, __: Random) -> Expected:
    await _shake_hands(fleet, "late")
    return Counter({_HANDSHAKE: 1})


@_stranger("a certificate of another authority", False)
async def _foreign(fleet: Fleet, _: bool, __: Random) -> Expected:
    await _shake_hands(fleet, "foreign")
    return Counter({_HANDSHAKE: 1})


@_stranger("bytes that are no gRPC")
async def _noise(fleet: Fleet, local: bool, random: Random) -> Expected:
    async with waiting():
        reader, writer = await _connect(fleet, local=local)
        writer.write(random.choice(_NOISE) + STRANGER)
        with suppress(OSError):
            writer.write_eof()
            await reader.read()
        writer.transport.abort()
    return Counter() if local else Counter({_HANDSHAKE: 1})


@_stranger("a right certificate and no gRPC", False)
async def _no_grpc(fleet: Fleet, _: bool, random: Random) -> Expected:
    async with waiting():
        reader, writer = await _connect(fleet, local=False, tls=_context(fleet.certs, "alice"))
        # Its settings come first, whoever calls; then it finds that this is no HTTP/2.
        writer.write(random.choice(_NOISE[:3]) + STRANGER)
        with suppress(OSError):
            await reader.read()
        writer.transport.abort()
    return Counter({_HANDSHAKE: 1})


# ---- on a link: who may not call, and who does not say hello as it has to


@_stranger("a name that may not call", False)
async def _named(fleet: Fleet, _: bool, random: Random) -> Expected:
    async with linked(fleet, "mallory", random, local=False, whose="mallory") as peer:
        await peer.send(versions.make_hello(peer.name))
        await peer.send(bomb())
        code, words = await peer.end()
        # gRPC's own where the stream ended while the peer wrote, which does not learn why then.
        assert code in ("PERMISSION_DENIED", "INTERNAL"), (code, words)
        assert code == "INTERNAL" or "mallory.bank.catena" in words
    return Counter({f"{_REFUSED}those who may call the workers of pool shop are shop.catena ": 1})


async def _refuse_first(peer: Peer, words: str, *frames: Frame, data: bytes = b"") -> None:
    """Send something in place of hello, and be refused."""
    if frames or data:
        await peer.send_bytes(data or codec.encode_message(frames))
    code, found = await peer.end()
    if code == "INTERNAL" and peer.frames > 1:
        # As for who may not call.
        return
    assert code == "FAILED_PRECONDITION", (peer.name, code, found)
    assert words in found, (peer.name, found)


@_stranger("no hello: nothing")
async def _says_nothing(fleet: Fleet, local: bool, random: Random) -> Expected:
    async with linked(fleet, "silent", random, local=local) as peer:
        await _refuse_first(peer, "")
    return Counter({f"{_SILENT} within {_HELLO_SECONDS:g} s": 1})


@_stranger("no hello: another frame")
async def _says_another(fleet: Fleet, local: bool, random: Random) -> Expected:
    async with linked(fleet, "hasty", random, local=local) as peer:
        await _refuse_first(peer, "must be hello", bomb())
    return Counter({_SILENT: 1})


@_stranger("no hello: no frame")
async def _says_noise(fleet: Fleet, local: bool, random: Random) -> Expected:
    async with linked(fleet, "noisy", random, local=local) as peer:
        await _refuse_first(
            peer, "does not parse", data=b"\xff" * random.randint(1, 999) + STRANGER
        )
    return Counter({_SILENT: 1})


@_stranger("hello with a call beside it")
async def _says_more(fleet: Fleet, local: bool, random: Random) -> Expected:
    async with linked(fleet, "greedy", random, local=local) as peer:
        await _refuse_first(peer, "alone", versions.make_hello(peer.name), bomb())
    return Counter({_SILENT: 1})


@_stranger("another version")
async def _says_version(fleet: Fleet, local: bool, random: Random) -> Expected:
    async with linked(fleet, "modern", random, local=local) as peer:
        major = random.randint(2, 99)
        hello = versions.make_hello(peer.name)._replace(major=major)
        await peer.send(hello)
        await peer.send(bomb())
        await _refuse_first(peer, "do not work together")
    return Counter({"PeerVersionRefused modern": 1})


@_stranger("another secret")
async def _says_secret(fleet: Fleet, local: bool, random: Random) -> Expected:
    async with linked(fleet, "guesser", random, local=local) as peer:
        hello = versions.make_hello(peer.name, random.randbytes(32))
        await peer.send(hello)
        await peer.send(bomb())
        await _refuse_first(peer, "does not know this pool's secret")
    return Counter({_REFUSED: 1})
