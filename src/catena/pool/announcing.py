"""Where a worker says that it is there: in a folder, or to whoever has started it."""

from __future__ import annotations

import json
import os
import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from catena.ids import MemberRecord

_FORMS = "dir:FOLDER, fd:NUMBER or stdout"


def announce_at(place: str, record: MemberRecord) -> AbstractContextManager[Any]:
    """Announce a worker at a place, until the context manager is left.

    A folder has its record for that time. A descriptor and standard output get it as one line of
    JSON, once. Raises ValueError for another form of place, and OSError.
    """
    kind, _, rest = place.partition(":")
    if kind == "dir" and rest:
        from catena.discovery import announce  # noqa: PLC0415 - only where it is asked for

        return announce(rest, record)
    if kind == "fd" and rest.isdecimal():
        _write_line(int(rest), record)
    elif place == "stdout":
        sys.stdout.flush()
        _write_line(sys.stdout.fileno(), record)
    else:
        raise ValueError(f"announce must be {_FORMS}, it is {place!r}")
    return nullcontext()


def _write_line(fd: int, record: MemberRecord) -> None:
    facts = {
        "id": record.id,
        "target": record.target,
        "tags": sorted(record.tags),
        "pid": os.getpid(),
    }
    os.write(fd, json.dumps(facts).encode() + b"\n")
