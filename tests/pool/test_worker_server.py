"""A worker that no pool has started: it listens, announces itself, serves, and stops in order."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.dispatch.dispatcher import dispatcher
from catena.grpc_loading import aio
from catena.ids import new_id
from catena.link.asking import ask_status, ask_stop
from catena.link.channels import Destination
from catena.pool.worker_server import WorkerServer
from catena.proxy.balance import Proxy
from catena.wire.codec import MemberFacts
from tests.support import isolated, run

entered: list[str] = []


@catena.routine
async def greet(name: str) -> str:
    """Return at once."""
    return f"hello {name}"


@catena.routine
async def rest(seconds: float) -> str:
    """Take some time."""
    await asyncio.sleep(seconds)
    return "rested"


@catena.routine
async def rest_nested(seconds: float) -> str:
    """Take some time, and call another routine after that."""
    await asyncio.sleep(seconds)
    return await greet("nested")


@asynccontextmanager
async def note_lifespan() -> AsyncIterator[None]:
    """Note that it was entered and left."""
    entered.append("entered")
    yield
    entered.append("left")


def return_nothing() -> None:
    """Return no context manager."""


def free_port() -> int:
    """Return a port of the loopback interface that nobody listens at."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@asynccontextmanager
async def way_to(worker: WorkerServer) -> AsyncIterator[Proxy]:
    """Dispatch to a worker while the block runs."""
    proxy = Proxy(new_id(), [MemberFacts(worker.id, worker.target, found=True)], "test")
    token = dispatcher.set(proxy)
    try:
        yield proxy
    finally:
        dispatcher.reset(token)
        await proxy.close()


@isolated
def test_it_serves_calls_and_leaves_nothing(tmp_path: Path) -> None:
    """P8: a call goes there and comes back; the socket is its user's alone, and goes with it."""
    path = tmp_path / "w1.sock"
    # Tests of the same process may have left some.
    before = catena.statistics().links

    async def main() -> None:
        async with WorkerServer(f"unix:{path}", id="w1", tags={"gpu"}) as worker, way_to(worker):
            assert path.stat().st_mode & 0o777 == 0o600
            assert await greet("there") == "hello there"
            assert worker.record == (worker.id, worker.target, "", {"gpu"}, None)
            with pytest.raises(RuntimeError, match="runs already"):
                await worker.start()
        assert not path.exists()
        async with asyncio.timeout(10):
            while catena.statistics().links > before:
                await asyncio.sleep(0.01)
        left = catena.statistics()
        assert (left.calls, left.sessions) == (0, 0)

    run(main())


@isolated
def test_calls_are_finished_when_it_stops(tmp_path: Path) -> None:
    """P12: nested calls of what runs are served."""

    async def main() -> None:
        worker = await WorkerServer(f"unix:{tmp_path}/w1.sock").start()
        async with way_to(worker) as proxy:
            first = asyncio.ensure_future(rest(0.3))
            await asyncio.sleep(0.1)
            stopping = asyncio.ensure_future(worker.stop())
            # Calls of a process that is a worker itself count as nested.
            nested = asyncio.ensure_future(rest_nested(0.1))
            assert await first == "rested"
            assert await nested == "hello nested"
            await stopping
            assert proxy.members[0].caller is not None
        await worker.wait_stopped()
        await worker.stop()

    run(main())


@isolated
def test_calls_that_take_too_long_are_cancelled(tmp_path: Path) -> None:
    """P12: a stop takes no longer than the drain and the clean-up may take."""

    async def main() -> None:
        listen = f"unix:{tmp_path}/w1.sock"
        stopped = WorkerServer(listen, drain_timeout=0.1, stop_timeout=1)
        async with stopped as worker, way_to(worker):
            call = asyncio.ensure_future(rest(60))
            await asyncio.sleep(0.1)
            await worker.stop()
            with pytest.raises((catena.WorkerLost, asyncio.CancelledError)):
                await call

    run(main())


@isolated
def test_its_lifespan_is_around_all_calls(tmp_path: Path) -> None:
    """P12: what is set up is there before the first call, and taken down after the last."""
    name = f"{__name__}:note_lifespan"

    async def main() -> None:
        entered.clear()
        async with WorkerServer(f"unix:{tmp_path}/w1.sock", lifespan=name) as worker:
            async with way_to(worker):
                assert await greet("there") == "hello there"
            assert entered == ["entered"]
        assert entered == ["entered", "left"]
        with pytest.raises(TypeError, match="asynchronous context manager"):
            await WorkerServer(
                f"unix:{tmp_path}/w2.sock", lifespan=f"{__name__}:return_nothing"
            ).start()
        assert not (tmp_path / "w2.sock").exists()

    run(main())


@isolated
def test_a_socket_that_is_in_use_stays(tmp_path: Path) -> None:
    """P8: a second worker is refused; what a dead one has left is replaced."""

    async def main() -> None:
        path = tmp_path / "w1.sock"
        async with WorkerServer(f"unix:{path}") as worker:
            with pytest.raises(FileExistsError, match="listens at"):
                await WorkerServer(f"unix:{path}").start()
            async with way_to(worker):
                assert await greet("still") == "hello still"
        path.write_text("a file")
        with pytest.raises(FileExistsError, match="is no socket"):
            await WorkerServer(f"unix:{path}").start()
        path.unlink()
        listener = await asyncio.start_unix_server(lambda *_: None, path)
        listener.close()
        await listener.wait_closed()
        async with WorkerServer(f"unix:{path}") as worker, way_to(worker):
            assert await greet("again") == "hello again"

    run(main())


@isolated
def test_a_descriptor_gets_one_line(tmp_path: Path) -> None:
    """P8: whoever has started the worker learns where it listens."""
    reading, writing = os.pipe()

    async def main() -> None:
        async with WorkerServer(
            f"unix:{tmp_path}/w1.sock", id="w1", tags=("b", "a"), announce=f"fd:{writing}"
        ) as worker:
            line = os.read(reading, 4096)
            assert json.loads(line) == {
                "id": "w1",
                "target": worker.target,
                "tags": ["a", "b"],
                "pid": os.getpid(),
            }
            assert line.endswith(b"\n")

    try:
        run(main())
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"id": "W1"}, "id is made of"),
        ({"id": "-a"}, "id is made of"),
        ({"listen": "localhost"}, "listen must be"),
        ({"listen": "unix:"}, "listen must be"),
        ({"slots": 0}, "slots must be at least 1"),
        ({"drain_timeout": 0}, "drain_timeout must be positive"),
        ({"lifespan": "nothing"}, "lifespan must be module:function"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], said: str) -> None:
    """P8: by name, and before anything listens."""
    with pytest.raises(ValueError, match=said):
        WorkerServer(**{"listen": "unix:/tmp/w.sock", **options})


@isolated
@pytest.mark.parametrize(
    ("place", "said"),
    [("etcd:x", "announce must be dir:FOLDER"), ("lan:", "w1.sock' is not host:port")],
)
def test_a_wrong_place_is_refused(place: str, said: str, tmp_path: Path) -> None:
    """P8: the worker does not go on listening when it cannot be announced."""

    async def main() -> None:
        with pytest.raises(ValueError, match=said):
            await WorkerServer(f"unix:{tmp_path}/w1.sock", announce=place).start()
        assert not (tmp_path / "w1.sock").exists()

    run(main())


@isolated
@pytest.mark.parametrize("service", ["", "catena.v1.Worker"])
@pytest.mark.parametrize("place", ["where it listens", "at a port"])
def test_health_checks_follow_its_life(place: str, service: str, tmp_path: Path) -> None:
    """P12: it serves when it listens, and does not while it finishes its calls."""
    health_pb2: Any = pytest.importorskip("grpc_health.v1.health_pb2")
    health_pb2_grpc: Any = pytest.importorskip("grpc_health.v1.health_pb2_grpc")
    plain, listen = f"127.0.0.1:{free_port()}", f"unix:{tmp_path}/w1.sock"

    async def main() -> None:
        worker = WorkerServer(listen, health=plain)
        async with aio.insecure_channel(plain if place == "at a port" else listen) as channel:
            stub = health_pb2_grpc.HealthStub(channel)

            async def ask() -> str:
                asked = health_pb2.HealthCheckRequest(service=service)
                answer = await stub.Check(asked, timeout=5, wait_for_ready=True)
                return health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)

            async with worker, way_to(worker):
                assert await ask() == "SERVING"
                call = asyncio.ensure_future(rest(0.5))
                await asyncio.sleep(0.1)
                stopping = asyncio.ensure_future(worker.stop())
                await asyncio.sleep(0.1)
                assert await ask() == "NOT_SERVING"
                assert await call == "rested"
                await stopping

    run(main())


@isolated
def test_a_worker_without_the_extra_answers_no_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """P8: it serves calls as ever; who asks for checks learns what to install."""
    monkeypatch.setattr("catena.link.health._MODULES", ("no_health", "no_health", "no_health"))
    listen = f"unix:{tmp_path}/w1.sock"

    async def main() -> None:
        async with WorkerServer(listen) as worker, way_to(worker):
            assert await greet("there") == "hello there"
            async with aio.insecure_channel(listen) as channel:
                check = channel.unary_unary("/grpc.health.v1.Health/Check")
                with pytest.raises(aio.AioRpcError) as refused:
                    await check(b"", timeout=5)
                assert refused.value.code().name == "UNIMPLEMENTED"
        with pytest.raises(ModuleNotFoundError, match=r"pip install '\.\[health\]'"):
            await WorkerServer(listen, health="127.0.0.1:0").start()

    run(main())


@isolated
def test_operators_stop_it_where_somebody_waits_for_them(tmp_path: Path) -> None:
    """Trust: whoever has started it stops it; where nobody listens, that is refused."""

    async def main() -> None:
        async with WorkerServer(f"unix:{tmp_path}/w1.sock", id="w1") as worker:
            there = Destination(worker.target)
            answer = await ask_stop(there)
            assert "does not stop it for operators" in answer.refusal
            assert answer.status.state == "ready"
            waiting = [asyncio.ensure_future(worker.wait_stop_asked()) for _ in range(2)]
            gone = asyncio.ensure_future(worker.wait_stop_asked())
            await asyncio.sleep(0)
            gone.cancel()
            answer = await ask_stop(there, now=True)
            assert (answer.refusal, answer.status.state) == ("", "draining")
            assert await asyncio.gather(*waiting) == ["an operator"] * 2
            # Who comes late learns it as well, and who asks once more is not refused.
            assert await worker.wait_stop_asked() == "an operator"
            assert (await ask_stop(there)).refusal == ""
            async with way_to(worker):
                resting = asyncio.ensure_future(rest(60))
                await asyncio.sleep(0.1)
                began = time.monotonic()
                await worker.stop()
                assert time.monotonic() - began < 10
                with pytest.raises(catena.WorkerLost):
                    await resting
        # Started again, it has been asked for nothing.
        async with worker:
            assert (await ask_status(there)).state == "ready"
            assert (await ask_stop(there)).refusal

    run(main())
