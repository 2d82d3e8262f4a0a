"""Credentials folders for tests, and two processes' ends that shake hands with them."""

from __future__ import annotations

import socket
import ssl
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from catena.security.authority import Authority, issue_pair, make_authority, write_pair
from catena.security.names import Holder, name_caller, name_worker

__all__ = ["CALLER", "DEADLINE", "NOW", "WORKER", "Meeting", "make_at", "make_folder_for", "meet"]

DEADLINE = 20.0
NOW = datetime.now(UTC).replace(microsecond=0)
WORKER, CALLER = name_worker("shop", "w1"), name_caller("shop")


class Meeting(NamedTuple):
    """What each end knows of the other: the names in its certificate, or why there are none."""

    server_saw: list[str] | OSError
    client_saw: list[str] | OSError


def make_at(days_ago: int = 0, days: int = 30) -> Authority:
    """Make an authority some days ago, for some days from then."""
    return make_authority(NOW - timedelta(days=days_ago), days)


def make_folder_for(
    holder: Holder, where: Path, authority: Authority, *, days_ago: int = 0, days: int = 30
) -> Path:
    """Issue a pair that many days ago, write its credentials folder, and return that."""
    write_pair(where, issue_pair(authority, holder, NOW - timedelta(days=days_ago), days))
    return where


def meet(server: Path, client: Path, name: str) -> Meeting:
    """Let the holders of two folders shake hands over TCP; the client expects the server's name."""
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as threads:
        listener.settimeout(DEADLINE)
        served = threads.submit(_serve, listener, server)
        address = listener.getsockname()
        with socket.create_connection(address, timeout=DEADLINE) as plain:
            client_saw = _shake_hands(_context(client, ssl.Purpose.SERVER_AUTH), plain, name)
        return Meeting(served.result(DEADLINE), client_saw)


def _serve(listener: socket.socket, folder: Path) -> list[str] | OSError:
    plain, _ = listener.accept()
    with plain:
        plain.settimeout(DEADLINE)
        return _shake_hands(_context(folder, ssl.Purpose.CLIENT_AUTH), plain, None)


def _shake_hands(
    context: ssl.SSLContext, plain: socket.socket, expected: str | None
) -> list[str] | OSError:
    """Return the names of the other end; a byte each way shows that both accept each other."""
    try:
        server_side = expected is None
        with context.wrap_socket(plain, server_side=server_side, server_hostname=expected) as end:
            end.sendall(b"!")
            end.recv(1)
            found = end.getpeercert() or {}
    except OSError as error:
        return error
    names = found.get("subjectAltName", ())
    return [str(value) for _, value in names]


def _context(folder: Path, purpose: ssl.Purpose) -> ssl.SSLContext:
    context = ssl.create_default_context(purpose, cafile=str(folder / "ca.pem"))
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
