"""Member records as values that can be checked, and as the JSON of a file.

Whoever can write where records are found can write anything, so all that is read is checked here:
what passes has a target of a known form, and fields that are short and printable.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from typing import Any, NamedTuple, cast
from urllib.parse import unquote_to_bytes

from catena.escape import printable
from catena.ids import MemberRecord
from catena.tags import checked_tags

RECORD_LIMIT = 16 * 1024
"""The most bytes of a record."""

MEMBER_LIMIT = 4096
"""The most members of one medium."""

_PATH_LIMIT = 107
"""The most bytes of a socket's path on Linux."""
_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,62}")
_LABEL = r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)"
_HOST = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
_HOST_LIMIT = 253
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_UNIX = "unix:"
_PEM = re.compile(rb"\s*-----BEGIN CERTIFICATE-----\s([^-]+)-----END CERTIFICATE-----\s*")


class ProcessMark(NamedTuple):
    """Which process announced a record: its number, what distinguishes it, and where it runs.

    ``started`` is the moment of its start in the machine's own ticks, ``place`` the boot of the
    machine and the namespace in which the number counts.
    """

    pid: int
    started: int
    place: str


class Announced(NamedTuple):
    """What a record's file says: the member, and the process that announced it, where known."""

    member: MemberRecord
    process: ProcessMark | None = None


def check_record(member: MemberRecord) -> MemberRecord:
    """Return the record if each of its fields can be right. Raises ValueError naming one if not."""
    check_target(member.target)
    if member.id:
        check_id(member.id)
    if member.name:
        check_host(member.name)
    checked_tags(member.tags)
    if member.leaf is not None:
        _check_leaf(member.leaf)
    return member


def check_id(id: str) -> str:
    """Return an id that can be a file's name and a label of DNS. Raises ValueError if it cannot."""
    if not _ID.fullmatch(id):
        raise ValueError(f"the id {_show(id)} is not made of 1 to 63 letters, digits and -_.")
    return id


def check_target(target: str) -> str:
    """Return a target that is ``unix:/path`` or ``host:port``. Raises ValueError if it is not."""
    right = _is_socket(target) if target.startswith(_UNIX) else _is_address(target)
    if not right:
        raise ValueError(f"the target {_show(target)} is neither unix:/path nor host:port")
    return target


def check_host(host: str) -> str:
    """Return a DNS name that can be right. Raises ValueError for another one."""
    if not _is_host(host):
        raise ValueError(f"{_show(host)} is not a DNS name")
    return host


def split_address(target: str) -> tuple[str, int]:
    """Return host and port of a ``host:port``. Raises ValueError for anything else."""
    if target.startswith(_UNIX) or not _is_address(target):
        raise ValueError(f"{_show(target)} is not host:port")
    host, _, port = target.rpartition(":")
    return host.strip("[]"), int(port)


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an address of IPv6."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def encode_record(announced: Announced) -> bytes:
    """Return the content of a record's file. Raises ValueError when it would be too long."""
    member, process = announced
    fields: dict[str, Any] = {
        "id": member.id,
        "target": member.target,
        "name": member.name,
        "tags": sorted(member.tags),
    }
    if member.leaf is not None:
        fields["leaf"] = member.leaf.decode("ascii")
    if process is not None:
        fields["process"] = process._asdict()
    data = json.dumps(fields, indent=1).encode() + b"\n"
    if len(data) > RECORD_LIMIT:
        raise ValueError(f"the record has {len(data)} bytes; {RECORD_LIMIT} are the most")
    return data


def decode_record(data: bytes) -> Announced:
    """Return what a record's file says; fields that are not known are ignored.

    Raises ValueError with what is wrong.
    """
    if len(data) > RECORD_LIMIT:
        raise ValueError(f"it has more than {RECORD_LIMIT} bytes")
    try:
        read: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"it is not JSON: {printable(str(error))}") from None
    fields = cast("dict[str, Any] | None", read if isinstance(read, dict) else None)
    if fields is None:
        raise ValueError("it is not a JSON object")
    leaf = _read_text(fields, "leaf")
    member = MemberRecord(
        id=_read_text(fields, "id"),
        target=_read_text(fields, "target"),
        name=_read_text(fields, "name"),
        tags=_read_tags(fields.get("tags", [])),
        leaf=leaf.encode("utf-8", "replace") if leaf else None,
    )
    return Announced(check_record(member), _read_process(fields.get("process")))


def _read_text(fields: dict[str, Any], name: str) -> str:
    match fields.get(name):
        case None:
            return ""
        case str(text):
            return text
        case _:
            raise ValueError(f"its {name} is not a text")


def _read_tags(value: Any) -> frozenset[str]:
    tags = cast("list[Any]", value) if isinstance(value, list) else None
    if tags is None or not all(isinstance(one, str) for one in tags):
        raise ValueError("its tags are not a list of texts")
    return frozenset(tags)


def _read_process(value: Any) -> ProcessMark | None:
    """Return the mark of a process; one that cannot be read is none, for it only helps to clean."""
    if not isinstance(value, dict):
        return None
    fields = cast("dict[str, Any]", value)
    pid, started, place = (fields.get(name) for name in ProcessMark._fields)
    # A bool is an int, and kill() takes zero and less for whole groups of processes.
    if type(pid) is not int or type(started) is not int or not isinstance(place, str):
        return None
    return ProcessMark(pid, started, place) if 0 < pid < 2**31 else None


def _check_leaf(leaf: bytes) -> None:
    found = _PEM.fullmatch(leaf)
    try:
        body = base64.b64decode(b"".join(found[1].split()), validate=True) if found else b""
    except ValueError:
        body = b""
    if not body:
        raise ValueError("its leaf is not one certificate in PEM")


def _is_socket(target: str) -> bool:
    """Say whether a target is a Unix socket's: an absolute path, and nothing that gRPC splits."""
    path = target.removeprefix(_UNIX)
    # A comma ends the path for gRPC, and ? and # begin other parts of a URI.
    plain = target.isascii() and target.isprintable() and not set(",?# ") & set(target)
    absolute = path.startswith("/") and not path.startswith("//")
    return plain and absolute and 1 < len(unquote_to_bytes(path)) <= _PATH_LIMIT


def _is_address(target: str) -> bool:
    host, _, port = target.rpartition(":")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        return False
    if host.startswith("[") and host.endswith("]"):
        return _is_ipv6(host[1:-1])
    return _is_host(host)


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    # A zone is printable in no way that everybody agrees on, but an interface's name is.
    return host.isascii() and host.isprintable()


def _is_host(host: str) -> bool:
    return len(host) <= _HOST_LIMIT and _HOST.fullmatch(host) is not None


def _show(text: str) -> str:
    return f"'{printable(text)}'"
