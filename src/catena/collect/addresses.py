"""Addresses that a receiver listens at: parsed, checked, bound.

The rule: whoever reaches the receiver is believed, so an address that other machines can reach is
refused unless it was explicitly allowed.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from dataclasses import dataclass
from pathlib import Path

from catena.errors import AddressRefused
from catena.targets import unix_target

__all__ = ["Address", "bind_socket", "check_address", "parse_address", "unlink_socket"]

_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: ``host`` and ``port`` (0 takes any), or the ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as an exporter wants it."""
        return unix_target(self.path) if self.path else f"http://{self}"


def parse_address(text: str, *, insecure: bool = False) -> Address:
    """Parse ``HOST:PORT``, ``[HOST]:PORT`` or ``unix:PATH``.

    AddressRefused when it is none of them, and when other machines could reach it although
    ``insecure`` is not set.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:")
        if not path:
            raise AddressRefused(address=text, cause="there is no path")
        return Address(path=path)
    host, colon, port = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise AddressRefused(address=text, cause="it is not HOST:PORT, nor unix:PATH")
    if not bare or (":" in bare and bare == host):
        raise AddressRefused(address=text, cause="it names no host; an IPv6 one stands in []")
    if not insecure and not _is_loopback(bare):
        cause = "other machines can reach it; only insecure (--insecure) allows that"
        raise AddressRefused(address=text, cause=cause)
    return Address(bare, int(port))


def bind_socket(address: Address) -> socket.socket:
    """Bind a socket and listen; AddressRefused with the system's reason when that fails."""
    try:
        return _bind_unix(address.path) if address.path else _bind_tcp(address)
    except OSError as error:
        cause = (error.strerror or str(error)).lower()
        raise AddressRefused(address=str(address), cause=cause) from None


def check_address(address: Address) -> None:
    """Raise AddressRefused when nobody could bind the address at this moment."""
    if address.path or address.port:
        bind_socket(address).close()
        unlink_socket(address)


def unlink_socket(address: Address) -> None:
    """Remove the file of a Unix socket that nobody serves any more."""
    if address.path:
        Path(address.path).unlink(missing_ok=True)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def _bind_tcp(address: Address) -> socket.socket:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    family, _, _, _, where = found[0]
    return socket.create_server(where[:2], family=family, backlog=_BACKLOG)


def _bind_unix(path: str) -> socket.socket:
    """Bind where nothing is, or where a process that has ended left its socket."""
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if _is_abandoned(path):
            Path(path).unlink()
        bound.bind(path)
        Path(path).chmod(0o600)
        bound.listen(_BACKLOG)
    except BaseException:
        bound.close()
        raise
    return bound


def _is_abandoned(path: str) -> bool:
    if not Path(path).is_socket():
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        return probe.connect_ex(path) != 0
