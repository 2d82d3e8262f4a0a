"""Two ends without a link: Contexts that stand for a caller and a worker, and manifests by hand."""

from __future__ import annotations

import contextvars
from typing import Any

import catena
from catena.context.chain import Chain
from catena.context.current import current
from catena.context.manifest import ChainManifest, Entry, EntryKind
from catena.context.mount import capture, mount
from catena.dispatch.values import WIRE

__all__ = [
    "BAD",
    "ID",
    "OTHER",
    "Scope",
    "entries_of",
    "lost_of",
    "manifest_of",
    "reset_of",
    "value_of",
]

ID, OTHER = bytes(range(16)), bytes(range(16, 32))


class Scope:
    """A Context, and what a test does in it."""

    def __init__(self, context: contextvars.Context | None = None) -> None:
        self.context = contextvars.Context() if context is None else context
        self.run = self.context.run

    @property
    def chain(self) -> Chain | None:
        """The chain there."""
        return self.context.get(current)

    def get(self, var: catena.ContextVar[Any]) -> Any:
        """The value there, "unset" when there is none."""
        return self.run(var.get, "unset")

    def set(self, var: catena.ContextVar[Any], value: Any) -> catena.Token[Any]:
        """Set a value there."""
        return self.run(var.set, value)

    def mount(self, manifest: ChainManifest, *, to_worker: bool) -> None:
        """Mount a manifest there."""
        self.run(mount, manifest, WIRE, to_worker=to_worker)

    def capture(self, *, to_worker: bool) -> ChainManifest:
        """Capture what is there, which must be armed."""
        manifest = self.run(capture, WIRE, to_worker=to_worker)
        assert manifest is not None
        return manifest

    def call(self, worker: Scope) -> Scope:
        """Mount what is here on a worker, which is returned."""
        worker.mount(self.capture(to_worker=True), to_worker=True)
        return worker

    def answer(self, caller: Scope) -> None:
        """Mount what is here in the caller."""
        caller.mount(self.capture(to_worker=False), to_worker=False)


def manifest_of(*entries: Entry, id: bytes = ID, whole: bool = True) -> ChainManifest:
    """Return a manifest of these entries."""
    return ChainManifest(id, entries=WIRE.pack(entries), whole=whole)


def value_of(var: catena.ContextVar[Any], value: Any, *, forward: bool = False) -> Entry:
    """Return the entry of a value."""
    return Entry(var.key, EntryKind.VALUE, WIRE.dumps(value), forward)


def reset_of(var: catena.ContextVar[Any]) -> Entry:
    """Return the entry of a reset."""
    return Entry(var.key, EntryKind.RESET)


def lost_of(var: catena.ContextVar[Any]) -> Entry:
    """Return the entry of a value that could not be written."""
    return Entry(var.key, EntryKind.LOST)


def entries_of(manifest: ChainManifest) -> dict[tuple[str, str], Entry]:
    """Return a manifest's entries by key."""
    return {entry.key: entry for entry in WIRE.unpack(manifest.entries)}


BAD = b"this is no pickle"
