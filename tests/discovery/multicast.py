"""Whether this machine lets processes speak to each other by multicast on loopback."""

from __future__ import annotations

import fcntl
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

LOOPBACK = "127.0.0.1"
_GROUP, _PORT = "224.0.0.251", 5399


def reaches_itself() -> bool:
    """Say whether what is sent to a group on loopback arrives there."""
    with (
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as heard,
        closing(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as sent,
    ):
        heard.settimeout(1)
        try:
            heard.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            heard.bind(("", _PORT))
            joined = socket.inet_aton(_GROUP) + socket.inet_aton(LOOPBACK)
            heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, joined)
            sent.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(LOOPBACK))
            sent.sendto(b"here", (_GROUP, _PORT))
            return heard.recv(16) == b"here"
        except OSError:
            return False


@contextmanager
def alone() -> Iterator[None]:
    """Wait for other runs of these tests on this machine: all of them share one network."""
    with (Path(tempfile.gettempdir()) / f"catena-tests-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


NEEDS_MULTICAST = pytest.mark.skipif(
    not os.environ.get("CI") and not reaches_itself(),
    reason="no multicast on loopback here (Linux: ip link set lo multicast on)",
)
