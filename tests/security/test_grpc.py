"""gRPC, which has a TLS library of its own, accepts the pairs and refuses what it should."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from catena.grpc_loading import grpc
from catena.security.names import Holder, name_caller, name_worker
from tests.security.pairs import CALLER, DEADLINE, WORKER, make_at, make_folder_for

SPIFFE = name_caller("", spiffe="spiffe://example.org/web")
LONG = name_worker("p" * 63, "w" * 63)


@contextmanager
def serving(folder: Path) -> Iterator[int]:
    """A server without any method that wants a certificate of its callers; yields its port."""
    pair = ((folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes())
    credentials = grpc.ssl_server_credentials(
        [pair], (folder / "ca.pem").read_bytes(), require_client_auth=True
    )
    with ThreadPoolExecutor(1) as threads:
        server = grpc.server(threads)
        port = server.add_secure_port("127.0.0.1:0", credentials)
        server.start()
        yield port
        server.stop(None).wait()


def call(port: int, folder: Path, name: str) -> grpc.StatusCode:
    """Call a method that nobody has; UNIMPLEMENTED shows that both ends accepted each other."""
    parts = [(folder / one).read_bytes() for one in ("ca.pem", "key.pem", "cert.pem")]
    credentials = grpc.ssl_channel_credentials(*parts)
    options = [("grpc.ssl_target_name_override", name)]
    with grpc.secure_channel(f"127.0.0.1:{port}", credentials, options) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            channel.unary_unary("/nobody/has")(b"", timeout=DEADLINE)
        return raised.value.code()


@pytest.mark.parametrize("worker", [WORKER, LONG], ids=["short", "long"])
@pytest.mark.parametrize("caller", [CALLER, SPIFFE, WORKER], ids=lambda one: one.name)
def test_grpc_accepts_the_pairs(tmp_path: Path, worker: Holder, caller: Holder) -> None:
    """Of workers and callers, with and without a subject."""
    authority = make_at()
    ours = make_folder_for(worker, tmp_path / "worker", authority)
    theirs = make_folder_for(caller, tmp_path / "caller", authority)

    with serving(ours) as port:
        assert call(port, theirs, worker.dns) is grpc.StatusCode.UNIMPLEMENTED


def test_grpc_refuses_what_it_should(tmp_path: Path) -> None:
    """Another authority, a pair that has ended, another name, a caller that takes calls."""
    authority = make_at(days_ago=100, days=300)
    worker = make_folder_for(WORKER, tmp_path / "worker", authority)
    caller = make_folder_for(CALLER, tmp_path / "caller", authority)
    stranger = make_folder_for(CALLER, tmp_path / "stranger", make_at())
    (stranger / "ca.pem").write_bytes((worker / "ca.pem").read_bytes())
    ended = make_folder_for(CALLER, tmp_path / "ended", authority, days_ago=50)
    posing = make_folder_for(name_caller("shop", "w1"), tmp_path / "posing", authority)

    with serving(worker) as port:
        assert call(port, caller, WORKER.dns) is grpc.StatusCode.UNIMPLEMENTED
        found = [
            call(port, stranger, WORKER.dns),
            call(port, ended, WORKER.dns),
            call(port, caller, "w2.shop.catena"),
        ]
    with serving(posing) as port:
        found.append(call(port, caller, WORKER.dns))

    assert found == [grpc.StatusCode.UNAVAILABLE] * 4
