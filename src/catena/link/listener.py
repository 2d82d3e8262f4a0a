"""Who listens at a Unix socket: asked before gRPC connects, which shows nobody its peer.

A directory that only its user may enter keeps others from putting a socket of theirs there. This is
the second look: what a caller sends is for a process of its own user, or of root, and of no other.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys

from catena.errors import PeerRefused
from catena.escape import printable
from catena.events import announced

CONNECT_SECONDS = 5.0
"""How long a listener may let connections wait in its queue."""
_PAUSE = 0.01
_PEERCRED = getattr(socket, "SO_PEERCRED", None)
# The level and the option of macOS and the BSDs, which Python has no names for; then `xucred`.
_LOCAL, _LOCAL_PEERCRED, _XUCRED = 0, 1, 76


async def check_listener(path: str) -> None:
    """Connect to a Unix socket and see that its listener is this user's, or root's.

    Raises PeerRefused where it is another one's, and ConnectionError where nobody listens.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as plain:
        plain.setblocking(False)
        await _connect(plain, path)
        user, pid = read_listener(plain)
    if user not in (0, os.geteuid()):
        reason = f"it runs as user {user}, and a worker on this machine has to run as this one's"
        raise announced(PeerRefused(peer=printable(path), pid=pid, reason=reason))


async def _connect(plain: socket.socket, path: str) -> None:
    until = asyncio.get_running_loop().time() + CONNECT_SECONDS
    while True:
        try:
            plain.connect(path)
        except BlockingIOError:
            # Its queue is full.
            if asyncio.get_running_loop().time() > until:
                raise ConnectionError(f"unavailable: {printable(path)} is overrun") from None
            await asyncio.sleep(_PAUSE)
        except OSError as error:
            raise ConnectionError(f"unavailable: {printable(path)}: {error.strerror}") from error
        else:
            return


def read_listener(plain: socket.socket) -> tuple[int, int]:
    """Return user and process of the listener that a socket is connected to, 0 for no process."""
    if _PEERCRED is not None:
        pid, user, _ = struct.unpack("=iII", plain.getsockopt(socket.SOL_SOCKET, _PEERCRED, 12))
        return user, pid
    if sys.platform == "darwin":
        _, user = struct.unpack("=II", plain.getsockopt(_LOCAL, _LOCAL_PEERCRED, _XUCRED)[:8])
        return user, 0
    raise OSError(f"{sys.platform} does not say who listens at a Unix socket")
