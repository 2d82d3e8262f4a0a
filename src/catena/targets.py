"""gRPC targets of Unix sockets: gRPC reads a target as a URI, so a path has to be encoded for it.

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
