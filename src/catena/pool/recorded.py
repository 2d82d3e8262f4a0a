"""What the record of an open pool says, as values and as the JSON of its file."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar, cast

from catena.events.kept import Refusal

RECORD_LIMIT = 4 << 20
"""The most bytes of a record: 4 MiB."""


class RecordedWorker(NamedTuple):
    """A worker, as the pool that has it knows it.

    ``verify`` is the DNS name that it has to prove, or ``leaf`` the one certificate, as PEM, that
    it may show. ``state`` is that of the pool's member, or ``unlinked``; without a link nothing is
    known of its version, and ``error`` says why there is none, where one was tried.
    """

    id: str
    target: str
    verify: str = ""
    leaf: str = ""
    state: str = ""
    version: str = ""
    protocol: str = ""
    capabilities: tuple[str, ...] = ()
    error: str = ""


class RecordedPool(NamedTuple):
    """An open pool: its process, how it calls workers elsewhere, its workers and its refusals.

    ``process`` marks the process beside its ``pid``, as ``ProcessMark`` does, where that is known.
    ``credentials`` is the path of a folder, empty without one.
    """

    id: str
    pid: int
    name: str = ""
    process: tuple[int, int, str] | None = None
    version: str = ""
    protocol: str = ""
    capabilities: tuple[str, ...] = ()
    credentials: str = ""
    insecure: bool = False
    workers: tuple[RecordedWorker, ...] = ()
    refusals: tuple[Refusal, ...] = ()


Row = TypeVar("Row", RecordedWorker, RecordedPool, Refusal)

_WORKER = RecordedWorker("", "")
_POOL = RecordedPool("", 0)
_REFUSAL = Refusal("", "", "", "", 0, 0.0)


def encode_pool(pool: RecordedPool) -> bytes:
    """Return the content of a pool's record."""
    fields = pool._asdict()
    fields["workers"] = [one._asdict() for one in pool.workers]
    fields["refusals"] = [one._asdict() for one in pool.refusals]
    return json.dumps(fields, indent=1).encode() + b"\n"


def decode_pool(data: bytes) -> RecordedPool:
    """Return what a record says; fields that are not known are ignored, or have their defaults.

    Raises ValueError with what is wrong.
    """
    try:
        fields = _as_fields(json.loads(data))
    except RecursionError:
        raise ValueError("its values are nested too deep") from None
    pool = _read_row(_POOL, fields)
    return pool._replace(
        process=_read_process(fields.get("process")),
        workers=tuple(_read_row(_WORKER, one) for one in _read_list(fields, "workers")),
        refusals=tuple(_read_row(_REFUSAL, one) for one in _read_list(fields, "refusals")),
    )


def _as_fields(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - it is wrong data
    return cast("dict[str, Any]", value)


def _read_list(fields: dict[str, Any], name: str) -> Iterable[dict[str, Any]]:
    value = fields.get(name, [])
    if not isinstance(value, list):
        raise ValueError(f"its {name} are not a list")  # noqa: TRY004 - it is wrong data
    return map(_as_fields, cast("list[Any]", value))


def _read_row(sample: Row, fields: dict[str, Any]) -> Row:
    """Return a row of the kind of a sample, with the fields that have the type of its own."""
    found: dict[str, Any] = {}
    for name, default in sample._asdict().items():
        value = fields.get(name, default)
        if name in ("workers", "refusals", "process"):
            continue
        if isinstance(default, tuple):
            value = _read_texts(name, value)
        elif type(value) is not type(default):
            raise ValueError(f"its {name} is not of the type {type(default).__name__}")
        found[name] = value
    return sample._replace(**found)


def _read_texts(name: str, value: Any) -> tuple[str, ...]:
    texts = cast("list[Any]", [*value]) if isinstance(value, list | tuple) else [None]
    if not all(isinstance(one, str) for one in texts):
        raise ValueError(f"its {name} are not a list of texts")
    return tuple(cast("list[str]", texts))


def _read_process(value: Any) -> tuple[int, int, str] | None:
    match value:
        case [int(pid), int(started), str(place)] if 0 < pid < 2**31:
            return pid, started, place
        case _:
            return None
