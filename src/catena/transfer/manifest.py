"""The manifest: a chain as inert data, ready to be written into a frame or beside a task.

It holds bytes and strings only. Reading one touches no Context and unpickles nothing; that happens
when it is mounted. Its entries stay one encoded block, so that whoever has met the same block
before need not open it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any, NamedTuple, Protocol

from catena.events.carrier import NO_CARRIER, Carrier
from catena.ids import Key


class EntryKind(IntEnum):
    """What an entry says of its variable."""

    VALUE = 1
    RESET = 2
    LOST = 3
    """Bound where the manifest was captured, with a value that could not be encoded."""


ENTRY_LIMIT = 8192
"""The most variables that one manifest may carry."""

VALUE_LIMIT = 16 << 20
"""The most bytes that one variable's value may take: 16 MiB."""

MANIFEST_LIMIT = 64 << 20
"""The most bytes that the entries of one manifest may take: 64 MiB."""


class Entry(NamedTuple):
    """One variable: its key, what became of it, and its encoded value and default."""

    key: Key
    kind: EntryKind
    value: bytes = b""
    forward: bool = False
    default: bytes | None = None


class ChainManifest(NamedTuple):
    """A chain as data.

    ``chain_id`` and ``parent_id`` are 16 bytes or empty; ``entries`` is the encoded block;
    ``whole`` says whether a variable that is not mentioned is unbound (True) or unchanged since the
    last frame of the call; ``spent`` and ``live`` are the token ledgers; ``carrier`` is the trace
    context, which the core ships and never reads.

    ``base`` is the number of a state that the link has carried before: the entries are what differs
    from it, often nothing. Where they bring the proxy, and nothing is known under that number, it
    becomes that of the state which has the proxy alone. ``name`` is the number under which the
    receiver keeps the state that this makes. Both are 0 when there is none, and occur in the first
    drive frame of a call only.

    ``flaw`` says why what came could not be read at all; then nothing else counts.
    """

    chain_id: bytes
    parent_id: bytes = b""
    entries: bytes = b""
    whole: bool = True
    base: int = 0
    name: int = 0
    spent: tuple[bytes, ...] = ()
    live: tuple[bytes, ...] = ()
    carrier: Carrier = NO_CARRIER
    flaw: str = ""

    def carrying(self, carrier: Carrier) -> ChainManifest:
        """Return the same manifest with another carrier."""
        # Each frame of a trace needs one, and ``_replace`` takes four times as long.
        return tuple.__new__(ChainManifest, (*self[:-2], carrier, self.flaw))  # pyright: ignore[reportUnknownMemberType] - that of tuple

    def bringing(self, block: bytes) -> ChainManifest:
        """Return the same manifest with the block of one more entry, which goes before the others.

        Blocks of entries may be put one after the other: together they are one.
        """
        return self._replace(entries=block + self.entries)


NO_CHAIN = ChainManifest(b"")
"""The manifest of a call that is unarmed and has nothing else to say."""

_BARE_MOST = 64


class _BareManifests(dict[int, ChainManifest]):
    """Manifests that name a state and say nothing else, by its number; small ones are kept."""

    def __missing__(self, base: int) -> ChainManifest:
        made = ChainManifest(b"", base=base)
        if base < _BARE_MOST:
            self[base] = made
        return made


BARE: dict[int, ChainManifest] = _BareManifests({0: NO_CHAIN})
"""The manifest of an unarmed call that has nothing to say but its base, by that number."""


class Values(Protocol):
    """How values and entries become bytes and come back; the wire hands it in."""

    @property
    def strict(self) -> bool:
        """Whether a single bad entry refuses the whole chain."""
        ...

    @property
    def proxy_mark(self) -> bytes:
        """What a block of entries holds wherever it has the proxy's, and seldom else."""
        ...

    def dumps(self, value: Any, /) -> bytes:
        """Return a value as bytes, or raise any Exception."""
        ...

    def snapshot(
        self, gets: Iterable[Callable[[], Any]], /, *, flat: bool
    ) -> tuple[bytes, ...] | None:
        """Return what some values, given by what gets them, are now: bytes to be compared later on.

        ``flat`` promises that no value holds another one that can change in place. None where that
        cannot be known.
        """
        ...

    def loads(self, data: bytes, /) -> Any:
        """Return the value that the bytes stand for, or raise any Exception."""
        ...

    def pack(self, entries: Iterable[Entry], /) -> bytes:
        """Return entries as one block; the same entries make the same bytes in every process."""
        ...

    def unpack(self, data: bytes, /) -> tuple[Entry, ...]:
        """Return the entries of a block. Raises ChainSerializationError when it is none."""
        ...
