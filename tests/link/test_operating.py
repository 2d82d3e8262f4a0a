"""Operators: who may ask a worker for its status or have it stop, and who may not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from catena import grpc_loading as loading
from catena.errors import CredentialsError, PeerRefused
from catena.events import PeerAccessRefused
from catena.grpc_loading import aio
from catena.link.asking import ask_status, ask_stop
from catena.link.channels import Destination
from catena.link.server import Server
from catena.link.service import ASK, STOP
from catena.security.credentials import Credentials
from catena.targets import unix_target
from catena.testing import recording
from catena.wire.status import StopAnswer, WorkerStatus
from tests.security.ends import W1, Worker, calling, double, is_served, make_folders
from tests.security.making import Authority, write_folder
from tests.support import run

OPERATOR = "operator.jobs.catena"
Asking = Callable[[Destination], Coroutine[Any, Any, Any]]


class Played:
    """A worker as operators see it; it notes who has it stop."""

    def __init__(self, refusal: str = "") -> None:
        self.stops: list[tuple[str, bool]] = []
        self.asked = 0
        self._refusal = refusal

    def describe(self, address: str) -> WorkerStatus:
        """Return what it is."""
        self.asked += 1
        return WorkerStatus("w1", address, "ready", 4711, 1.5, (1, 0), "0.2.0", calls=3)

    def begin_stop(self, who: str, *, now: bool) -> str:
        """Note who asks for it."""
        self.stops.append((who, now))
        return self._refusal


def to(worker: Worker, folder: Path, **options: Any) -> Destination:
    """Return the way of an operator with credentials of a folder."""
    options = {"credentials": Credentials(folder), "verify": W1, **options}
    return Destination(worker.server.target, **options)


def test_an_operator_is_answered(tmp_path: Path) -> None:
    """Trust: who is named so by the pool's authority, where no list says who is one."""
    make_folders(tmp_path, OPERATOR)

    async def main() -> None:
        played = Played()
        async with Worker(tmp_path / "w1", operated=played) as worker:
            there = to(worker, tmp_path / "operator")
            found = await ask_status(there)
            assert (found.worker, found.address) == ("w1", worker.server.target)
            assert (found.state, found.calls, found.protocol) == ("ready", 3, (1, 0))
            assert await ask_stop(there) == StopAnswer("", found)
            assert await ask_stop(there, now=True) == StopAnswer("", found)
            assert played.stops == [(OPERATOR, False), (OPERATOR, True)]

    run(main())


def test_a_worker_may_decline_to_stop(tmp_path: Path) -> None:
    """Trust: it says why, with its status."""
    make_folders(tmp_path, OPERATOR)

    async def main() -> None:
        async with Worker(tmp_path / "w1", operated=Played("a pool has it")) as worker:
            answer = await ask_stop(to(worker, tmp_path / "operator"))
            assert answer.refusal == "a pool has it"
            assert answer.status.worker == "w1"

    run(main())


@pytest.mark.parametrize("ask", [ask_status, ask_stop])
def test_a_caller_is_no_operator(ask: Asking, tmp_path: Path) -> None:
    """Trust: who may dispatch may neither stop the worker nor see what it does."""
    make_folders(tmp_path, "alice.jobs.catena", "bob.jobs.catena")

    async def main() -> None:
        played = Played()
        operators = ["bob.jobs.catena"]
        async with Worker(tmp_path / "w1", operators=operators, operated=played) as worker:
            assert await is_served(worker, tmp_path / "alice")
            with recording(PeerAccessRefused) as recorded, pytest.raises(PeerRefused) as raised:
                await ask(to(worker, tmp_path / "alice"))
            assert raised.value.peer == "alice.jobs.catena"
            assert raised.value.reason == (
                "those who may operate the workers of pool jobs are bob.jobs.catena"
            )
            # At both ends, which are both here.
            peers = [one.error.peer for one in recorded.of(PeerAccessRefused)]
            assert peers == ["alice.jobs.catena"] * 2
            assert (played.stops, played.asked) == ([], 0)
            assert await is_served(worker, tmp_path / "alice")
            await ask(to(worker, tmp_path / "bob"))
            assert played.asked == 1

    run(main())


def test_an_operator_is_no_caller(tmp_path: Path, unpickled: list[bytes]) -> None:
    """Trust: who may stop the worker cannot run code there, and nothing of it is unpickled."""
    make_folders(tmp_path, "alice.jobs.catena", OPERATOR)

    async def main() -> None:
        callers, played = ["alice.jobs.catena"], Played()
        async with Worker(tmp_path / "w1", callers, operated=played) as worker:
            await ask_status(to(worker, tmp_path / "operator"))
            async with calling(worker, folder=tmp_path / "operator"):
                with pytest.raises(PeerRefused, match=OPERATOR):
                    await double(1)
            assert unpickled == []
            assert await is_served(worker, tmp_path / "alice")
            await ask_status(to(worker, tmp_path / "operator"))

    run(main())


@pytest.mark.parametrize("ask", [ask_status, ask_stop])
def test_who_was_taken_off_the_list_is_refused_at_once(ask: Asking, tmp_path: Path) -> None:
    """Trust: the file is looked at for each question."""
    make_folders(tmp_path, "bob.jobs.catena")
    names = tmp_path / "operators"
    names.write_text("bob.jobs.catena\n")

    async def main() -> None:
        async with Worker(tmp_path / "w1", operators=names, operated=Played()) as worker:
            await ask(to(worker, tmp_path / "bob"))
            names.write_text("# nobody at present\n")
            with pytest.raises(PeerRefused, match="are nobody"):
                await ask(to(worker, tmp_path / "bob"))

    run(main())


@pytest.mark.parametrize("kind", ["no certificate", "another authority", "expired"])
def test_who_proves_no_name_is_not_heard(kind: str, tmp_path: Path) -> None:
    """Trust: TLS ends it before a question is there."""
    authority = make_folders(tmp_path)
    folder = tmp_path / "stranger"
    if kind == "another authority":
        Authority("another").fill(folder, OPERATOR)
        write_folder(folder, ca=authority.pem)
    elif kind == "expired":
        authority.fill(folder, OPERATOR, days=-0.5)

    async def main() -> None:
        played = Played()
        async with Worker(tmp_path / "w1", operated=played) as worker:
            there = to(worker, folder)
            if kind == "no certificate":
                there = Destination(worker.server.target, insecure=True)
            with pytest.raises(ConnectionError, match="unavailable"):
                await ask_stop(there)
            assert (played.stops, played.asked) == ([], 0)

    run(main())


def test_a_worker_has_to_prove_its_name(tmp_path: Path) -> None:
    """Trust: who asks is not misled by another worker of the same authority."""
    authority = make_folders(tmp_path, OPERATOR)
    other = authority.fill(tmp_path / "w2", "w2.jobs.catena")

    async def main() -> None:
        played = Played()
        async with Worker(other, operated=played) as worker:
            with pytest.raises(PeerRefused, match=f"did not prove that it is {W1}"):
                await ask_stop(to(worker, tmp_path / "operator"))
            assert played.stops == []
            with pytest.raises(CredentialsError):
                await ask_stop(Destination(worker.server.target))
            with pytest.raises(CredentialsError, match="by which name"):
                await ask_stop(to(worker, tmp_path / "operator", verify=""))

    run(main())


async def _send(worker: Worker, folder: Path, method: str, request: bytes) -> Any:
    """Send any bytes to a method, as an operator."""
    channel = await to(worker, folder).open_channel()
    try:
        call: Any = channel.unary_unary(
            method, request_serializer=bytes, response_deserializer=bytes
        )
        return await call(request, timeout=5)
    finally:
        await channel.close(None)


def test_bad_questions_end_nothing(tmp_path: Path) -> None:
    """Trust: bytes that do not parse, too many of them, methods that there are not."""
    make_folders(tmp_path, "alice.jobs.catena", OPERATOR)
    folder = tmp_path / "operator"
    loading.use()

    async def main() -> None:
        played = Played()
        async with Worker(tmp_path / "w1", operated=played) as worker:
            for method, request, code in (
                (STOP, b"\x0a\xff\x01", "INVALID_ARGUMENT"),
                (STOP, b"\x0a\xff" * 4096, "INVALID_ARGUMENT"),
                (ASK, bytes(5 << 20), "RESOURCE_EXHAUSTED"),
                ("/catena.v1.Worker/Kill", b"", "UNIMPLEMENTED"),
            ):
                with pytest.raises(aio.AioRpcError) as raised:
                    await _send(worker, folder, method, request)
                assert raised.value.code().name == code
            assert played.stops == []
            # What a later version asks besides does not matter.
            assert await _send(worker, folder, ASK, b"\xf8\x3e\x07")
            assert await is_served(worker, tmp_path / "alice")

    run(main())


def test_a_worker_that_is_older_cannot_be_asked(tmp_path: Path) -> None:
    """V1: it says nothing of operators; who asks learns why."""
    make_folders(tmp_path, OPERATOR)

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            with pytest.raises(ConnectionError, match="a version before"):
                await ask_status(to(worker, tmp_path / "operator"))

    run(main())


def test_a_worker_that_does_not_answer(tmp_path: Path) -> None:
    """P12: there is an end to waiting, and it is not the same as nobody being there."""
    make_folders(tmp_path, OPERATOR)

    async def main() -> None:
        async with Worker(tmp_path / "w1", operated=Played()) as worker:
            with pytest.raises(TimeoutError, match="has not answered within 0 s"):
                await ask_status(to(worker, tmp_path / "operator"), 0.0)

    run(main())


def test_a_socket_is_for_whoever_can_open_it(tmp_path: Path) -> None:
    """Trust: that is the worker's own user, so there is neither a list nor a secret."""

    async def main() -> None:
        played, path = Played(), tmp_path / "w1.sock"
        server = Server(unix_target(path), "w1", _accept_nobody, b"secret", operated=played)
        await server.start()
        try:
            there = Destination(unix_target(path))
            assert (await ask_status(there)).address == str(path)
            assert not (await ask_stop(there)).refusal
            assert played.stops == [("an operator", False)]
        finally:
            await server.stop(0.1)
        with pytest.raises(ConnectionError):
            await ask_status(there)

    run(main())


def _accept_nobody(link: object) -> Any:
    raise AssertionError(link)


def test_many_ask_at_once(tmp_path: Path) -> None:
    """Trust: a flood of questions is answered, and calls go on meanwhile."""
    make_folders(tmp_path, "alice.jobs.catena", OPERATOR)

    async def main() -> None:
        played = Played()
        async with Worker(tmp_path / "w1", operated=played) as worker:
            there = to(worker, tmp_path / "operator")
            asked = [asyncio.ensure_future(ask_status(there)) for _ in range(50)]
            assert await is_served(worker, tmp_path / "alice")
            await asyncio.gather(*asked)
            assert played.asked == 50

    run(main())
