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
from urllib.parse import urlsplit

from catena.errors import AddressRefused
from catena.targets import unix_target


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen: ``host`` and ``port`` (0 takes any), or the ``path`` of a Unix socket."""

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"unix:{self.path}" if self.path else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The address as an exporter wants it."""
        return unix_target(self.path) if self.path else f"http://{self}"


def parse_address(text: str, *, insecure: bool = False) -> Address:
    """Parse ``HOST:PORT``, ``[HOST]:PORT`` or ``unix:PATH``.

    AddressRefused when it is none of them, and when other machines could reach it although
    ``insecure`` is not set.
    """
    scheme, _, path = text.partition(":")
    if scheme == "unix" and path:
        return Address(path=path)
    try:
        parts = urlsplit(f"//{text}")
        address = Address(parts.hostname or "", parts.port or 0)
    except ValueError:
        address = Address()
    if not address.host or str(address) != text.lower():
        raise AddressRefused(address=text, cause="it is not HOST:PORT, [IPV6]:PORT or unix:PATH")
    if not insecure and not _is_loopback(address.host):
        cause = "other machines can reach it; only insecure (--insecure) allows that"
        raise AddressRefused(address=text, cause=cause)
    return address


def bind_socket(address: Address) -> socket.socket:
    """Bind a socket and listen; AddressRefused with the system's reason when that fails."""
    try:
        if address.path:
            return _bind_unix(address.path)
        (family, *_, where), *_ = socket.getaddrinfo(address.host, address.port)
        return socket.create_server(where[:2], family=family)
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
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _bind_unix(path: str) -> socket.socket:
    """Bind where nothing is, or where a process that has ended left its socket."""
    if _is_abandoned(path):
        Path(path).unlink()
    with contextlib.ExitStack() as stack:
        bound = stack.enter_context(socket.socket(socket.AF_UNIX))
        bound.bind(path)
        Path(path).chmod(0o600)
        bound.listen()
        stack.pop_all()
        return bound


def _is_abandoned(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        return Path(path).is_socket() and probe.connect_ex(path) != 0
