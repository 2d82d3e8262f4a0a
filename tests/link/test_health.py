"""Health checks and reflection: what they say, who may ask, and that nobody is in the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from catena.events import HandshakeFailed
from catena.grpc_loading import aio, grpc
from catena.link import handshakes, health as room
from catena.link.health import Health, HealthServer
from catena.link.server import Server
from catena.security.authorise import Authorisation
from catena.security.credentials import Credentials
from catena.testing import recording
from tests.link.ends import Listener
from tests.security.ends import POOL, W1, heard_of, make_folders
from tests.support import run

REFLECTION = "grpc.reflection.v1alpha.ServerReflection"
STATES = health_pb2.HealthCheckResponse.ServingStatus
STRANGER = "mallory.others.catena"


def credentials_of(folder: Path) -> Any:
    """Return what gRPC's own client shows, with the files of a folder."""
    ca, key, cert = (folder.joinpath(f"{name}.pem").read_bytes() for name in ("ca", "key", "cert"))
    return grpc.ssl_channel_credentials(ca, key, cert)


OVERRIDE = [("grpc.ssl_target_name_override", W1)]


@asynccontextmanager
async def serving(folder: Path, health: Health) -> AsyncIterator[Server]:
    """Serve links over TLS, and health checks at the same port."""
    server = Server(
        "127.0.0.1:0",
        "w1",
        lambda _: Listener(),
        credentials=Credentials(folder / "w1"),
        authorisation=Authorisation(POOL),
        health=health,
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0.2)


@asynccontextmanager
async def answering(health: Health) -> AsyncIterator[Any]:
    """Answer at a plain port, and yield a client of that."""
    server = HealthServer("127.0.0.1:0", health)
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    await server.stop()


def about(service: str = "") -> Any:
    """Return a question about a service."""
    return health_pb2.HealthCheckRequest(service=service)


def test_it_serves_between_its_start_and_its_drain() -> None:
    """P12: not before it says so, and no more when it drains, whoever asks for what."""

    async def main() -> None:
        health = Health()

        async def ask(service: str) -> str:
            answer = await stub.Check(about(service), timeout=5)
            return STATES.Name(answer.status)

        async with answering(health) as stub:
            for change, state in (
                (lambda: None, "NOT_SERVING"),
                (health.say_serving, "SERVING"),
                (health.say_draining, "NOT_SERVING"),
            ):
                change()
                assert [await ask(""), await ask("catena.v1.Worker")] == [state, state]
                listed = await stub.List(health_pb2.HealthListRequest(), timeout=5)
                found = {name: STATES.Name(one.status) for name, one in listed.statuses.items()}
                assert found == {"": state, "catena.v1.Worker": state}
            with pytest.raises(aio.AioRpcError) as refused:
                await ask("catena.v1.Other")
            assert refused.value.code() is grpc.StatusCode.NOT_FOUND

    run(main())


def test_changes_are_seen_by_whoever_watches() -> None:
    """P12: one answer now and one for each change; of a service that is unknown it says so."""

    async def main() -> None:
        health = Health()
        async with answering(health) as stub:
            watches = [stub.Watch(about("")), stub.Watch(about("catena.v1.Other"))]
            assert STATES.Name((await watches[0].read()).status) == "NOT_SERVING"
            assert STATES.Name((await watches[1].read()).status) == "SERVICE_UNKNOWN"
            health.say_serving()
            assert STATES.Name((await watches[0].read()).status) == "SERVING"
            health.say_draining()
            assert STATES.Name((await watches[0].read()).status) == "NOT_SERVING"

    run(main())


def test_only_so_many_may_watch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of watches costs no more than the limit; who leaves makes room."""
    monkeypatch.setattr(room, "STREAM_LIMIT", 2)

    async def main() -> None:
        async with answering(Health()) as stub:
            watches = [stub.Watch(about()) for _ in range(3)]
            answers = await asyncio.gather(*(one.read() for one in watches), return_exceptions=True)
            refused = [one for one in answers if isinstance(one, aio.AioRpcError)]
            assert [one.code() for one in refused] == [grpc.StatusCode.RESOURCE_EXHAUSTED]
            for one in watches:
                one.cancel()
            async with asyncio.timeout(5):
                while not await is_admitted(stub):
                    await asyncio.sleep(0.02)

    run(main())


async def is_admitted(stub: Any) -> bool:
    """Say whether there is room for one more who watches."""
    watch = stub.Watch(about())
    try:
        await watch.read()
    except aio.AioRpcError:
        return False
    watch.cancel()
    return True


def test_checks_over_tls_need_a_certificate_and_no_name(tmp_path: Path) -> None:
    """Trust: who may not call may ask; who has no certificate gets no answer."""
    make_folders(tmp_path, STRANGER)

    async def main() -> None:
        health = Health()
        health.say_serving()
        async with serving(tmp_path, health) as server:
            made = credentials_of(tmp_path / "mallory")
            async with aio.secure_channel(server.target, made, options=OVERRIDE) as channel:
                answer = await health_pb2_grpc.HealthStub(channel).Check(about(), timeout=5)
                assert STATES.Name(answer.status) == "SERVING"
            authority = (tmp_path / "w1" / "ca.pem").read_bytes()
            bare = grpc.ssl_channel_credentials(authority)
            async with aio.secure_channel(server.target, bare, options=OVERRIDE) as channel:
                with pytest.raises(aio.AioRpcError) as refused:
                    await health_pb2_grpc.HealthStub(channel).Check(about(), timeout=5)
                assert refused.value.code() is grpc.StatusCode.UNAVAILABLE

    run(main())


def test_reflection_lists_what_there_is(tmp_path: Path) -> None:
    """The worker's port shows the service of links, the plain port only what it answers."""
    make_folders(tmp_path, STRANGER)

    def list_services(channel: Any) -> list[str]:
        with channel:
            found = ProtoReflectionDescriptorDatabase(channel)
            services = sorted(found.get_services())
            for one in services:
                # The description of each is there as well.
                assert one.startswith(found.FindFileContainingSymbol(one).package)
            return services

    async def main() -> None:
        async with serving(tmp_path, Health()) as server:
            made = credentials_of(tmp_path / "mallory")
            channel = grpc.secure_channel(server.target, made, options=OVERRIDE)
            found = await asyncio.to_thread(list_services, channel)
            assert found == ["catena.v1.Worker", "grpc.health.v1.Health", REFLECTION]
        plain = HealthServer("127.0.0.1:0", Health())
        await plain.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{plain.port}")
        found = await asyncio.to_thread(list_services, channel)
        assert found == ["grpc.health.v1.Health", REFLECTION]
        await plain.stop()

    run(main())


def test_who_asks_often_hides_no_handshake_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection counts once, however many checks it brings, and is none that has failed."""
    make_folders(tmp_path, STRANGER)
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 1.0)

    async def main() -> None:
        async with serving(tmp_path, Health()) as server:
            made = credentials_of(tmp_path / "mallory")
            with recording(HandshakeFailed) as heard:
                async with aio.secure_channel(server.target, made, options=OVERRIDE) as channel:
                    stub = health_pb2_grpc.HealthStub(channel)
                    for _ in range(15):
                        await stub.Check(about(), timeout=5)
                        await asyncio.sleep(0.1)
                    assert heard.of(HandshakeFailed) == []
                    host, _, port = server.target.rpartition(":")
                    _, writer = await asyncio.open_connection(host, int(port))
                    for _ in range(15):
                        await stub.Check(about(), timeout=5)
                        await asyncio.sleep(0.1)
                    await heard_of(heard, HandshakeFailed)
                    writer.close()
            assert len(heard.of(HandshakeFailed)) == 1

    run(main())


def test_a_plain_port_that_is_taken(tmp_path: Path) -> None:
    """P12: two workers do not answer for each other."""

    async def main() -> None:
        first = HealthServer("127.0.0.1:0", Health())
        await first.start()
        second = HealthServer(f"127.0.0.1:{first.port}", Health())
        with pytest.raises(OSError, match="health checks cannot be answered at"):
            await second.start()
        await first.stop()

    run(main())
