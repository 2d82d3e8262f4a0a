"""The forms in which one says where members are found: a text, or a list of targets."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from catena.discovery.listed import ListedMembers
from catena.discovery.looking import LookingSource
from catena.discovery.medium import Medium
from catena.discovery.records import split_address
from catena.escape import printable
from catena.ids import MemberRecord
from catena.members import MemberSource

FORMS = """\
dir:/shared/workers              records in a folder
dir+shared:/shared/workers       ... that other users may write to
dns://workers.ns:7800            all addresses of a DNS name, at one port
dns+srv://_catena._tcp.workers   the targets of a DNS name's SRV records
lan: or lan:POOL                 workers that announce themselves in the local network
["host:port", "unix:/path"]      a list of targets, or of member records"""
"""What ``source_of`` takes."""


def source_of(where: str | Iterable[str | MemberRecord]) -> MemberSource:
    """Return the source that a text names, or one of the targets and records of a list.

    Nothing is opened or asked before the source is read. Raises ValueError, which lists the forms,
    for anything else; PermissionError for a folder that others may change; ModuleNotFoundError with
    the install command when the form needs an extra that is not installed.
    """
    try:
        medium = _open_medium(where) if isinstance(where, str) else ListedMembers(where)
    except ValueError as error:
        raise ValueError(
            f"no members can be found there: {error}; the forms are\n{FORMS}"
        ) from None
    return LookingSource(medium)


def _open_medium(text: str) -> Medium:
    """Return the medium that a text names. Raises ValueError without the list of forms."""
    scheme, colon, rest = text.partition(":")
    match scheme if colon else "":
        case "dir" | "dir+shared":
            return _open_folder(rest, shared=scheme == "dir+shared")
        case "dns":
            host, port = split_address(_strip_slashes(rest))
            return _open_name(host, port)
        case "dns+srv":
            return _open_name(_strip_slashes(rest), None)
        case "lan":
            return _open_lan(rest)
        case _:
            raise ValueError(f"'{printable(text)}' has none of the forms")


def _strip_slashes(rest: str) -> str:
    if not rest.startswith("//"):
        raise ValueError("a DNS name stands after two slashes")
    return rest.removeprefix("//")


def _open_folder(path: str, *, shared: bool) -> Medium:
    from catena.discovery.folder import FolderMedium  # noqa: PLC0415 - it needs an extra

    return FolderMedium(Path(path), shared=shared)


def _open_name(name: str, port: int | None) -> Medium:
    from catena.discovery.dns_names import DnsMedium  # noqa: PLC0415 - it needs an extra

    return DnsMedium(name, port)


def _open_lan(pool: str) -> Medium:
    from catena.discovery.lan import LanMedium  # noqa: PLC0415 - it needs an extra

    return LanMedium(pool)
