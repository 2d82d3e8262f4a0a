"""The manifest: a chain as inert data, ready to be written into a frame or beside a task.

It holds bytes and strings only. Decoding one touches no Context and unpickles nothing; that happens
when it is mounted. Entries are sorted by key, so the same chain makes the same bytes anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from catena.context.registry import Key
from catena.errors import ChainSerializationError
from catena.ids import ID_BYTES

__all__ = ["ChainManifest", "Entry", "EntryKind"]


class EntryKind(IntEnum):
    """What an entry says of its variable."""

    VALUE = 1
    RESET = 2
    LOST = 3
    """Bound where the manifest was captured, with a value that could not be encoded."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One variable: its key, what became of it, and its encoded value and default."""

    key: Key
    kind: EntryKind
    value: bytes = b""
    forward: bool = False
    default: bytes | None = None


@dataclass(frozen=True, slots=True)
class ChainManifest:
    """A chain as data.

    ``chain_id`` and ``parent_id`` are 16 bytes or empty; ``whole`` says whether a variable that is
    not mentioned is unbound (True) or unchanged; ``spent`` and ``live`` are the token ledgers;
    ``carrier`` is the trace context, which the core ships and never reads.

    Raises ChainSerializationError for an id of another length.
    """

    chain_id: bytes
    parent_id: bytes = b""
    whole: bool = True
    entries: tuple[Entry, ...] = ()
    spent: tuple[bytes, ...] = ()
    live: tuple[bytes, ...] = ()
    carrier: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        for id in (self.chain_id, self.parent_id):
            if id and len(id) != ID_BYTES:
                raise ChainSerializationError(
                    cause=f"a chain id has {ID_BYTES} bytes, this one has {len(id)}"
                )
