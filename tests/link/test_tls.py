"""Links over TCP: both ends prove who they are before anything is read."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from catena.errors import AddressRefused, CredentialsError, PeerRefused
from catena.events import CredentialsFailed, HandshakeFailed, PeerAccessRefused
from catena.link import handshakes
from catena.link.client import connect
from catena.link.server import Server
from catena.security.authorise import Authorisation
from catena.security.credentials import Credentials
from catena.testing import recording
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
from tests.security.making import Authority, write_folder
from tests.support import run


def test_a_call_over_tcp(tmp_path: Path, unpickled: list[bytes]) -> None:
    """Trust: both ends have certificates of one authority; the worker knows the caller's name."""
    make_folders(tmp_path, "alice.jobs.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            assert worker.server.port > 0
            assert worker.server.target == f"127.0.0.1:{worker.server.port}"
            assert await is_served(worker, tmp_path / "alice")
            assert worker.peers == ["alice.jobs.catena"]

    run(main())
    # The witness sees what a call that is served has unpickled: its routine, and its arguments.
    assert any(b"double" in one for one in unpickled)
    assert pickle.dumps(((21,), {}), 5) in unpickled


def test_a_caller_is_known_by_a_spiffe_id(tmp_path: Path) -> None:
    """Trust: a list may name URIs."""
    authority = make_folders(tmp_path)
    authority.fill(tmp_path / "alice", "spiffe://jobs/alice")

    async def main() -> None:
        async with Worker(tmp_path / "w1", ["spiffe://jobs/alice"]) as worker:
            assert await is_served(worker, tmp_path / "alice")
            assert worker.peers == ["spiffe://jobs/alice"]

    run(main())


def test_workers_may_share_a_certificate(tmp_path: Path) -> None:
    """Trust: the name of the pool is demanded then; who calls may pin one certificate instead."""
    authority = make_folders(tmp_path, "alice.jobs.catena")
    shared = authority.fill(tmp_path / "shared", "jobs.catena")

    async def main() -> None:
        async with Worker(shared) as worker:
            link = await link_to(worker, tmp_path / "alice", verify="jobs.catena")
            link.start(Listener())
            await link.close()
            leaf = (shared / "cert.pem").read_bytes()
            link = await link_to(worker, tmp_path / "alice", verify="jobs.catena", leaf=leaf)
            link.start(Listener())
            await link.close()
            other = (tmp_path / "w1" / "cert.pem").read_bytes()
            with pytest.raises(PeerRefused, match="did not prove"):
                await link_to(worker, tmp_path / "alice", verify="jobs.catena", leaf=other)

    run(main())


# ---- callers that are refused


def spoiled(kind: str, tmp_path: Path, authority: Authority) -> Path:
    """Return a folder whose certificate no worker accepts."""
    folder = tmp_path / kind
    match kind:
        case "expired":
            return authority.fill(folder, "alice.jobs.catena", days=-0.5)
        case _:
            Authority("another").fill(folder, "alice.jobs.catena")
            # It takes the worker for what it is; only the worker does not take it for a caller.
            return write_folder(folder, ca=authority.pem)


@pytest.mark.parametrize("kind", ["expired", "another authority"])
def test_a_certificate_that_is_not_accepted(
    tmp_path: Path, kind: str, unpickled: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trust: the handshake fails; it is announced, and a good caller is served beside it."""
    monkeypatch.setattr(handshakes, "HANDSHAKE_SECONDS", 0.2)
    authority = make_folders(tmp_path, "alice.jobs.catena")
    folder = spoiled(kind, tmp_path, authority)

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            with recording(HandshakeFailed) as heard:
                with pytest.raises(ConnectionError, match="perhaps it refused the certificate"):
                    await link_to(worker, folder)
                assert unpickled == []
                assert await is_served(worker, tmp_path / "alice")
                await heard_of(heard, HandshakeFailed)
            assert {one.address for one in heard.of(HandshakeFailed)} == {worker.server.target}
            assert worker.peers == ["alice.jobs.catena"]

    run(main())


def test_a_name_that_may_not_call(tmp_path: Path, unpickled: list[bytes]) -> None:
    """Trust: both ends know who was refused and who may call, and both announce it."""
    make_folders(tmp_path, "alice.jobs.catena", "mallory.others.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker:
            with recording(PeerAccessRefused) as heard, pytest.raises(PeerRefused) as caught:
                await link_to(worker, tmp_path / "mallory")
            assert caught.value.peer == "mallory.others.catena"
            assert "jobs.catena and the names under it" in caught.value.reason
            there, here = (one.error for one in heard.of(PeerAccessRefused))
            assert here is caught.value
            assert there.text() == here.text()
            assert unpickled == []
            assert worker.peers == []
            assert await is_served(worker, tmp_path / "alice")

    run(main())


def test_a_call_under_such_a_name(tmp_path: Path, unpickled: list[bytes]) -> None:
    """Trust: a dispatch raises the refusal itself, at once, and not that a worker was lost."""
    make_folders(tmp_path, "mallory.others.catena")

    async def main() -> None:
        async with Worker(tmp_path / "w1") as worker, calling(worker, folder=tmp_path / "mallory"):
            with pytest.raises(PeerRefused, match="those who may call"):
                await double(1)
        assert unpickled == []

    run(main())


# ---- workers that are refused


@pytest.mark.parametrize(
    "kind", ["another name", "another authority", "one of the same name", "expired"]
)
def test_a_worker_that_does_not_prove_its_name(tmp_path: Path, kind: str) -> None:
    """Trust: its authority is not enough; the name has to be the worker's, or it hears nothing."""
    authority = make_folders(tmp_path, "alice.jobs.catena")
    folder = tmp_path / "impostor"
    if kind in ("another authority", "one of the same name"):
        Authority("tests" if kind == "one of the same name" else "another").fill(folder, W1)
        write_folder(folder, ca=authority.pem)
    else:
        name, days = ("w2.jobs.catena", 1) if kind == "another name" else (W1, -0.5)
        authority.fill(folder, name, days=days)

    async def main() -> None:
        async with Worker(folder) as worker:
            with recording(PeerAccessRefused) as heard, pytest.raises(PeerRefused) as caught:
                await link_to(worker, tmp_path / "alice")
            assert caught.value.peer == worker.server.target
            assert f"did not prove that it is {W1}" in caught.value.reason
            assert len(heard.of(PeerAccessRefused)) == 1
            assert worker.links == []

    run(main())


# ---- what is missing


def test_an_address_needs_credentials(tmp_path: Path) -> None:
    """Trust: at both ends, unless it is written out that nobody needs any."""

    async def main() -> None:
        with recording(CredentialsFailed) as heard:
            with pytest.raises(CredentialsError, match="insecure=True"):
                Server("127.0.0.1:0", "worker", lambda _: Listener())
            with pytest.raises(ValueError, match=r"catena\.credentials"):
                await connect("127.0.0.1:1", "caller")
            assert len(heard.of(CredentialsFailed)) == 2
        server = Server("127.0.0.1:0", "worker", lambda _: Listener(), insecure=True)
        await server.start()
        link = await connect(server.target, "caller", insecure=True)
        link.start(Listener())
        assert link.address == server.target
        await link.close()
        await server.stop(1)

    run(main())


def test_mistakes_fail_at_once(tmp_path: Path) -> None:
    """No list of who may call, no name to demand, no address, a port that is taken."""
    make_folders(tmp_path, "alice.jobs.catena")
    own = Credentials(tmp_path / "w1")

    async def main() -> None:
        with pytest.raises(ValueError, match="who may call"):
            Server("127.0.0.1:0", "worker", lambda _: Listener(), credentials=own)
        with pytest.raises(CredentialsError, match="by which name"):
            await connect("127.0.0.1:1", "caller", credentials=own)
        for target in ("nowhere", "host:port", "dns:///host:1", ":1", "host:70000"):
            with pytest.raises(ValueError, match="is not an address"):
                await connect(target, "caller", insecure=True)
        async with Worker(tmp_path / "w1") as worker:
            with pytest.raises(AddressRefused, match="cannot listen"):
                Server(
                    worker.server.target,
                    "worker",
                    lambda _: Listener(),
                    credentials=own,
                    authorisation=Authorisation("jobs"),
                )
        with pytest.raises(CredentialsError, match="No such file"):
            await connect("127.0.0.1:1", "caller", credentials=Credentials("/none"), verify=W1)

    run(main())
