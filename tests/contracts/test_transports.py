"""The same contract for every transport: the memory link and gRPC over a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from grpc import aio

from catena.dispatch.caller.connection import WorkerConnection
from catena.dispatch.dispatcher import dispatcher
from catena.dispatch.worker.sessions import Sessions
from catena.errors import ProtocolError, VersionRefused, WorkerLost
from catena.link import congestion, link as link_module
from catena.link.client import connect
from catena.link.link import Link, links
from catena.link.memory import make_pair
from catena.link.server import Server
from catena.link.service import METHOD
from catena.wire import codec, versions
from catena.wire.frames import Cancel, Frame, Goodbye, Next, Result
from tests.contracts import routines
from tests.dispatch.ends import PROXY, Through
from tests.link.ends import Listener
from tests.support import LOOPS, run

Ends = tuple[Link, Link, Callable[[], Any]]
"""The caller's link, the worker's, and how to make the worker's side vanish without a word."""


@asynccontextmanager
async def _memory(here: Any, there: Any, folder: Path) -> AsyncIterator[Ends]:
    one, other = make_pair()
    near, far = Link(one, "caller"), Link(other, "worker")
    await asyncio.gather(near.exchange_hello(first=True), far.exchange_hello(first=False))
    near.start(here(near))
    far.start(there(far))

    async def vanish() -> None:
        await other.close()

    try:
        yield near, far, vanish
    finally:
        await near.close()
        await far.close()


@asynccontextmanager
async def _grpc(here: Any, there: Any, folder: Path) -> AsyncIterator[Ends]:
    accepted: list[Link] = []

    def accept(link: Link) -> Any:
        accepted.append(link)
        return there(link)

    target = f"unix:{folder / 's'}"
    server = Server(target, "worker", accept)
    await server.start()
    near = await connect(target, "caller")
    near.start(here(near))
    while not accepted:
        await asyncio.sleep(0)

    async def vanish() -> None:
        await server.stop(0)

    try:
        yield near, accepted[0], vanish
    finally:
        await near.close()
        await asyncio.wait_for(accepted[0].wait_ended(), 5)
        await server.stop(0)


TRANSPORTS = {"memory": _memory, "grpc": _grpc}


@pytest.fixture(params=TRANSPORTS)
def joined(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return what connects two receivers, over each transport."""
    folder = tmp_path_factory.mktemp("t")
    return lambda here, there: TRANSPORTS[request.param](here, there, folder)


def _listening(listener: Listener) -> Callable[[Link], Listener]:
    return lambda _link: listener


def test_hello_tells_both_sides_who_the_other_is(joined: Any) -> None:
    """V1: names, versions and pids are exchanged before anything else."""

    async def main() -> None:
        async with joined(lambda _: Listener(), lambda _: Listener()) as (near, far, _):
            assert (near.peer.peer, far.peer.peer) == ("worker", "caller")
            assert near.peer.major == far.peer.major == versions.MAJOR
            assert {near, far} <= set(links)
        assert not {near, far} & set(links)

    run(main())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_both_ends_know_where_the_worker_listens(transport: str, tmp_path: Path) -> None:
    """V1: a Unix socket's path, the same at both ends; the memory link has none."""
    address = {"memory": "", "grpc": str(tmp_path / "s")}[transport]

    async def main() -> None:
        joining = TRANSPORTS[transport](lambda _: Listener(), lambda _: Listener(), tmp_path)
        async with joining as (near, far, _):
            assert (near.address, far.address) == (address, address)

    run(main())


@pytest.mark.parametrize("loop", LOOPS)
def test_frames_arrive_both_ways_in_order(joined: Any, loop: str) -> None:
    """M7: small frames in order, frames of megabytes whole, in both directions at once."""

    async def main() -> None:
        here, there = Listener(), Listener()
        async with joined(_listening(here), _listening(there)) as (near, far, _):
            small: list[Frame] = [Cancel(n) for n in range(1, 2000)]
            large = Result(9000, bytes(range(256)) * 20_000)
            for frame in (large, *small):
                near.send(frame)
                far.send(frame)
            await asyncio.gather(
                *(one.until(lambda one: len(one.frames) == 2000) for one in (here, there))
            )
            for one in (here, there):
                assert [frame for frame in one.frames if frame.call < 9000] == small
                assert large in one.frames

    run(main(), loop=loop)


def test_a_link_drains(joined: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """M7: who sends more than the link takes waits, and is woken."""
    monkeypatch.setattr(congestion, "HIGH_WATER", 200_000)

    async def main() -> None:
        there = Listener()
        async with joined(lambda _: Listener(), _listening(there)) as (near, _, _vanish):
            for n in range(1, 60):
                near.send(Result(n, b"x" * 50_000))
                await asyncio.wait_for(near.wait_drained(), 5)
                assert not near.congested
            await there.until(lambda one: len(one.frames) == 59)

    run(main())


def test_closing_loses_nothing_and_tells_both_sides_once(joined: Any) -> None:
    """M7: what was sent before has left; Goodbye comes, then the end."""

    async def main() -> None:
        here, there = Listener(), Listener()
        async with joined(_listening(here), _listening(there)) as (near, _, _vanish):
            sent = [Result(1, b"x" * 700_000), Next(1), Cancel(2)]
            for frame in sent:
                near.send(frame)
            await near.close("done")
            await there.until(lambda one: bool(one.ends))
            assert sorted(map(repr, there.frames)) == sorted(map(repr, sent))
            assert there.goodbyes == ["done"]
        assert here.ends == [None]
        assert len(there.ends) == 1

    run(main())


def test_the_other_side_vanishes(joined: Any) -> None:
    """D7: the end is reported at once, once, and what is sent afterwards goes nowhere."""

    async def main() -> None:
        here, there = Listener(), Listener()
        async with joined(_listening(here), _listening(there)) as (near, _far, vanish):
            near.send(Cancel(1))
            await there.until(lambda one: bool(one.frames))
            await vanish()
            await here.until(lambda one: bool(one.ends))
            assert not near.up
            near.send(Cancel(2))
            await asyncio.wait_for(near.wait_ended(), 1)
            await asyncio.wait_for(near.wait_drained(), 1)
        assert len(here.ends) == 1

    run(main())


@pytest.mark.parametrize("refusing", ["caller", "worker"])
def test_an_illegal_frame_ends_the_link_for_both(joined: Any, refusing: str) -> None:
    """M7: the receiver's refusal ends the link there; the sender learns that it is over."""

    class Refusing(Listener):
        def receive(self, frame: Frame) -> None:
            raise ProtocolError(reason="never", frame=frame.symbol)

    async def main() -> None:
        refuses, sends = Refusing(), Listener()
        here, there = (refuses, sends) if refusing == "caller" else (sends, refuses)
        async with joined(_listening(here), _listening(there)) as (near, far, _):
            (far if refusing == "caller" else near).send(Next(1))
            await refuses.until(lambda one: bool(one.ends))
            assert isinstance(refuses.ends[0], ProtocolError)
            await sends.until(lambda one: bool(one.ends))
            assert not near.up
            assert not far.up

    run(main())


def test_calls_run_over_it(joined: Any) -> None:
    """D2: calls, streams, errors, nested calls and large values work alike over each transport."""
    through = Through()

    def caller(link: Link) -> WorkerConnection:
        through.callers.append(WorkerConnection(link, PROXY))
        return through.callers[0]

    def worker(link: Link) -> Sessions:
        return Sessions(link, "worker", lambda *_: through)

    async def main() -> None:
        async with joined(caller, worker) as (_, _far, vanish):
            dispatcher.set(through)
            assert await routines.double(b"x" * 500_000) == b"x" * 1_000_000
            assert [value async for value in routines.count(5)] == [0, 1, 2, 3, 4]
            assert await routines.outer(3) == 6
            with pytest.raises(KeyError, match="not here"):
                await routines.fails()
            many = await asyncio.gather(*map(routines.double, range(300)))
            assert many == [2 * n for n in range(300)]
            waiting = asyncio.ensure_future(routines.waits())
            await asyncio.sleep(0.05)
            await vanish()
            with pytest.raises(WorkerLost) as lost:
                await asyncio.wait_for(waiting, 5)
            assert lost.value.worker == "worker"
            assert lost.value.begun is True

    run(main())


# ---- gRPC alone


def test_connecting_to_nobody_is_a_connection_error(tmp_path: Path) -> None:
    """D7: a target where nobody listens fails within the deadline of Hello."""

    async def main() -> None:
        with pytest.raises(ConnectionError, match="unavailable"):
            await connect(f"unix:{tmp_path / 'nobody'}", "caller")

    run(main())


def test_a_listener_that_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """V1: Hello has a deadline, also where something else listens."""
    monkeypatch.setattr(link_module, "HELLO_SECONDS", 0.2)

    async def main() -> None:
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(tmp_path / "mute"))
            mute.listen()
            with pytest.raises(TimeoutError):
                await connect(f"unix:{tmp_path / 'mute'}", "caller")

    run(main(), 5)


@asynccontextmanager
async def _raw(folder: Path) -> AsyncIterator[tuple[Any, Listener]]:
    """Open the method by hand, on a server that informs a listener."""
    listener = Listener()
    target = f"unix:{folder / 's'}"
    server = Server(target, "worker", lambda _: listener)
    await server.start()
    try:
        async with aio.insecure_channel(target) as channel:
            yield channel.stream_stream(METHOD)(), listener
    finally:
        await server.stop(0)


def test_a_server_turns_another_major_away(tmp_path: Path) -> None:
    """V1: before any payload is read; both versions and the side to upgrade are in the status."""

    async def main() -> None:
        async with _raw(tmp_path) as (call, listener):
            await call.write(codec.encode_message([versions.make_hello("old")._replace(major=0)]))
            theirs: Any = codec.decode_message(await call.read()).frames[0]
            with pytest.raises(VersionRefused):
                versions.agree_on_capabilities(theirs._replace(major=9))
            with pytest.raises(aio.AioRpcError, match="upgrade the remote side"):
                await call.read()
            assert listener.frames == []

    run(main())


@pytest.mark.parametrize(
    "data",
    [b"\xff\xff\xff", codec.encode_message([Next(1)]), b""],
    ids=["junk", "no hello", "empty"],
)
def test_a_server_turns_away_who_does_not_say_hello(tmp_path: Path, data: bytes) -> None:
    """V1: whoever begins with anything else is cut off with the reason."""

    async def main() -> None:
        async with _raw(tmp_path) as (call, listener):
            await call.write(data)
            with pytest.raises(aio.AioRpcError, match=r"does not parse|must be hello"):
                await call.read()
            assert listener.frames == []

    run(main())


def test_a_message_that_does_not_parse_ends_the_link(tmp_path: Path) -> None:
    """M7: junk after Hello ends the link with a ProtocolError, and the peer hears why."""

    async def main() -> None:
        async with _raw(tmp_path) as (call, listener):
            await call.write(codec.encode_message([versions.make_hello("caller")]))
            await call.read()
            await call.write(codec.encode_message([Next(1), Goodbye(0, "")]))
            await call.write(b"\xff\xff\xff")
            await listener.until(lambda one: bool(one.ends))
            assert listener.frames == [Next(1)]
            assert isinstance(listener.ends[0], ProtocolError)
            (last,) = codec.decode_message(await call.read()).frames
            assert isinstance(last, Goodbye)
            assert "does not parse" in last.reason
            with contextlib.suppress(aio.AioRpcError):
                assert await call.read() is aio.EOF

    run(main())


def test_another_method_is_unimplemented(tmp_path: Path) -> None:
    """M7: the server has one method and no other."""

    async def main() -> None:
        server = Server(f"unix:{tmp_path / 's'}", "worker", lambda _: Listener())
        await server.start()
        async with aio.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
            with pytest.raises(aio.AioRpcError) as refused:
                await channel.unary_unary("/catena.v1.Worker/Other")(b"", timeout=5)
        await server.stop(0)
        assert refused.value.code().name == "UNIMPLEMENTED"

    run(main())
