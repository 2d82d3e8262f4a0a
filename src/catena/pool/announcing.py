"""Where a worker says that it is there: to a folder or a network, or to whoever has started it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from catena.ids import MemberRecord

_FORMS = "dir:FOLDER, lan:, lan:POOL, fd:NUMBER or stdout"


@asynccontextmanager
async def announce_at(place: str, record: MemberRecord, pool: str) -> AsyncGenerator[None]:
    """Announce a worker at a place, until the context manager is left.

    A folder and the local network have its record for that time; there it is of the pool that the
    place names, or else of ``pool``. A descriptor and standard output get it as one line of JSON,
    once. Raises ValueError for another form of place, or where a record does not fit; and OSError.
    """
    kind, _, rest = place.partition(":")
    if kind == "dir" and rest:
        from catena.discovery import announce  # noqa: PLC0415 - only where it is asked for

        with announce(rest, record):
            yield
    elif place.startswith("lan:"):
        from catena.discovery.lan import announce_in_lan  # noqa: PLC0415 - it needs an extra

        async with await announce_in_lan(record, rest or pool):
            yield
    else:
        _print_record(place, record)
        yield


def _print_record(place: str, record: MemberRecord) -> None:
    """Write a record to standard output or a descriptor. Raises ValueError and OSError."""
    kind, _, rest = place.partition(":")
    if kind == "fd" and rest.isdecimal():
        _write_line(int(rest), record)
    elif place == "stdout":
        sys.stdout.flush()
        _write_line(sys.stdout.fileno(), record)
    else:
        raise ValueError(f"announce must be {_FORMS}, it is {place!r}")


def _write_line(fd: int, record: MemberRecord) -> None:
    facts = {
        "id": record.id,
        "target": record.target,
        "tags": sorted(record.tags),
        "pid": os.getpid(),
    }
    os.write(fd, json.dumps(facts).encode() + b"\n")
