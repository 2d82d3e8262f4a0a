"""gRPC targets: it reads those of Unix sockets as URIs, so a path has to be encoded for it.

Everywhere else, in telemetry and in errors, a path stands as it is.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

_UNIX = "unix:"


def unix_target(path: Path | str) -> str:
    """Return the gRPC target of a Unix socket, whatever bytes its path is made of."""
    return _UNIX + quote_from_bytes(os.fsencode(path))


def address_of(target: str) -> str:
    """Return a gRPC target as OpenTelemetry's ``server.address``: of a Unix socket the path alone.

    Any other target is returned as it is.
    """
    if not target.startswith(_UNIX):
        return target
    path = os.fsdecode(unquote_to_bytes(target.removeprefix(_UNIX)))
    return f"/{path.lstrip('/')}" if path.startswith("//") else path


def is_local(target: str) -> bool:
    """Say whether a gRPC target is a Unix socket, to which only this machine can connect."""
    return target.startswith(_UNIX)


def split_port(target: str) -> tuple[str, int]:
    """Return host and port of a target such as ``10.0.0.5:4000`` or ``[::1]:4000``.

    Raises ValueError for any other.
    """
    host, _, port = target.rpartition(":")
    if not host or "/" in host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"{target!r} is not an address such as 10.0.0.5:4000 or [::1]:4000")
    return host, int(port)
