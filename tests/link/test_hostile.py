"""Hostile peers at an address with TLS: each is refused, and a good caller is served beside it."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from catena.events import HandshakeFailed, PeerAccessRefused
from catena.grpc_loading import aio
from catena.link import handshakes, server as server_module, tls
from catena.link.service import METHOD
from catena.security.credentials import Credentials
from catena.testing import recording
from catena.wire import codec
from catena.wire.frames import Hello
from catena.wire.versions import make_hello
from tests.dispatch.ends import opening
from tests.link.ends import Listener
from tests.security.ends import (
    W1,
    Worker,
    calling,
    double,
    heard_of,
    is_served,
    link_to,
    make_folders,
)
from tests.support import run

NOISE = (b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", bytes(999))


def hostile_tls(
    worker: Worker, tmp_path: Path, version: ssl.TLSVersion, *, cert: bool
) -> str | bytes:
    """Shake hands by Python's TLS; return its version, or what it failed with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.load_verify_locations(tmp_path / "w1" / "ca.pem")
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    if cert:
        context.load_cert_chain(tmp_path / "alice" / "cert.pem", tmp_path / "alice" / "key.pem")
    with socket.create_connection(("127.0.0.1", worker.server.port), timeout=5) as plain:
        try:
            with context.wrap_socket(plain) as wrapped:
                # A server that refuses says so after the handshake of TLS 1.3.
                first = wrapped.recv(1)
                return str(wrapped.version()) if first else "closed"
        except OSError as error:
            return f"failed: {error}"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
@pytest.mark.parametrize(
    ("version", "cert", "expected"),
    [
        (ssl.TLSVersion.TLSv1_1, True, "failed"),
        (ssl.TLSVersion.TLSv1_2, False, "failed"),
        (ssl.TLSVersion.TLSv1_2, True, "TLSv1.2"),
        (ssl.TLSVersion.TLSv1_3, False, "closed"),
        (ssl.TLSVersion.TLSv1_3, True, "TLSv1.3"),
    ],
)
def test_versions_of_tls(
    tmp_path: Path, version: ssl.TLSVersion, cert: bool, expected: str
) -> None:
    """Over gRPC go TLS 1.2 and 1.3; without a certificate neither of them comes about."""
    make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            found = await asyncio.to_thread(hostile_tls, worker, tmp_path, version, cert=cert)
            assert str(found).startswith(expected), found
            assert await is_served(worker, tmp_path / "alice")
            assert worker.peers == ["alice.jobs.catena"]

    run(main())


def test_a_caller_without_a_certificate(tmp_path: Path, unpickled: list[bytes]) -> None:
    """Trust: a channel of gRPC that shows none is refused in the handshake."""
    authority = make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            channel = aio.secure_channel(
                worker.server.target,
                server_module.grpc.ssl_channel_credentials(authority.pem),
                options=[("grpc.ssl_target_name_override", W1)],
            )
            stream: Any = channel.stream_stream(METHOD)()
            with pytest.raises(aio.AioRpcError):
                await stream.read()
            await channel.close()
            assert unpickled == []
            assert await is_served(worker, tmp_path / "alice")

    run(main())


def test_bytes_that_are_no_tls(
    tmp_path: Path, unpickled: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flood of connections that say anything, or nothing: each is counted, callers are served."""
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 0.2)
    make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            address = ("127.0.0.1", worker.server.port)
            plain = [socket.create_connection(address, timeout=5) for _ in range(100)]
            with recording(HandshakeFailed) as heard:
                for number, one in enumerate(plain):
                    one.sendall(NOISE[number % len(NOISE)])
                assert await is_served(worker, tmp_path / "alice")
                await heard_of(heard, HandshakeFailed, 99)
            for one in plain:
                one.close()
        assert len(heard.of(HandshakeFailed)) in (99, 100, 101)
        assert worker.peers == ["alice.jobs.catena"]

    run(main())
    assert all(b"GET" not in one for one in unpickled)


@pytest.mark.parametrize("says", ["nothing", "no frame", "another frame"])
def test_a_caller_that_does_not_say_hello(
    tmp_path: Path, says: str, unpickled: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """L5: it has a good certificate, and is cut off and announced by its name all the same."""
    monkeypatch.setattr("catena.link.link.HELLO_SECONDS", 0.3)
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            channel = await tls.open_channel(
                worker.server.target, Credentials(tmp_path / "bob"), W1, None
            )
            stream: Any = channel.stream_stream(METHOD)()
            with recording(PeerAccessRefused) as heard:
                if says != "nothing":
                    await stream.write(b"\xff" * 40 if says == "no frame" else b"")
                with pytest.raises(aio.AioRpcError) as caught:
                    await stream.read()
                assert caught.value.code().name == "FAILED_PRECONDITION"
                (refused,) = heard.of(PeerAccessRefused)
                assert refused.error.peer == "bob.jobs.catena"
                assert "not said hello" in refused.error.reason
            await channel.close()
            assert unpickled == []
            assert await is_served(worker, tmp_path / "alice")

    run(main())


def test_a_flood_of_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """L12: those beyond the limit are refused and announced; what is open is served on."""
    monkeypatch.setattr(server_module, "LINK_LIMIT", 3)
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker, folder=tmp_path / "alice"):
            assert await double(1) == 2
            links = [await link_to(worker, tmp_path / "bob") for _ in range(2)]
            for one in links:
                one.start(Listener())
            with recording(PeerAccessRefused) as heard:
                for _ in range(5):
                    with pytest.raises(ConnectionError, match="3 links already"):
                        await link_to(worker, tmp_path / "bob")
            assert [one.error.peer for one in heard.of(PeerAccessRefused)] == [
                "bob.jobs.catena"
            ] * 5
            assert await double(2) == 4
            for one in links:
                await one.close()
            links = [await link_to(worker, tmp_path / "bob")]
            links[0].start(Listener())
            await links[0].close()

    run(main())


def make_channel(worker: Worker, folder: Path) -> aio.Channel:
    """Return a channel whose messages are of any length."""
    files = Credentials(folder).read()
    return aio.secure_channel(
        worker.server.target,
        server_module.grpc.ssl_channel_credentials(files.ca, files.key, files.cert),
        options=[("grpc.ssl_target_name_override", W1), ("grpc.max_send_message_length", -1)],
    )


@pytest.mark.parametrize(
    ("hello", "status", "words"),
    [
        (make_hello("bob")._replace(major=99), "FAILED_PRECONDITION", "do not work together"),
        (make_hello("bob", b"a guess"), "FAILED_PRECONDITION", "does not know this pool's secret"),
        (make_hello("b" * (5 << 20)), "RESOURCE_EXHAUSTED", "larger than max"),
    ],
    ids=["another version", "another secret", "a message that is too long"],
)
def test_a_hello_that_is_not_accepted(
    tmp_path: Path, hello: Hello, status: str, words: str, unpickled: list[bytes]
) -> None:
    """V1, R8, L12: a good certificate is not enough; the caller hears why."""
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            channel = make_channel(worker, tmp_path / "bob")
            stream: Any = channel.stream_stream(METHOD)()
            await stream.write(codec.encode_message([hello]))
            found: Any = None
            try:
                # Of another version, the worker says its own before it ends the stream.
                while (found := await stream.read()) is not aio.EOF:
                    assert codec.decode_message(found).frames[0].symbol == "hello"
            except aio.AioRpcError as error:
                found = error
            assert stream.done()
            assert (await stream.code()).name == status
            assert words in await stream.details()
            await channel.close()
            assert unpickled == []
            assert worker.links == []
            assert await is_served(worker, tmp_path / "alice")

    run(main())


def test_a_task_before_hello(tmp_path: Path, unpickled: list[bytes]) -> None:
    """L5: what a call brings is not looked at before the caller has said hello."""
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            channel = await tls.open_channel(
                worker.server.target, Credentials(tmp_path / "bob"), W1, None
            )
            stream: Any = channel.stream_stream(METHOD)()
            with recording(PeerAccessRefused) as heard:
                await stream.write(codec.encode_message(opening(1, double, 1)))
                with pytest.raises(aio.AioRpcError):
                    await stream.read()
                (refused,) = heard.of(PeerAccessRefused)
            assert "must be hello" in refused.error.reason
            await channel.close()
            assert unpickled == []
            assert worker.links == []

    run(main())
