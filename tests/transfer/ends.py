"""Two ends without a link: Contexts that stand for a caller and a worker, and manifests by hand."""

from __future__ import annotations

import contextvars
from typing import Any

import catena
from catena.context.chain import UNMOUNTED, Chain, current
from catena.dispatch.payloads import LENIENT, Wire
from catena.transfer.baseline import Baseline, Captured
from catena.transfer.capture import capture_answer, capture_drive
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.transfer.mount import mount
from catena.transfer.states.kept import KeptState, KeptStates
from catena.transfer.states.sent import SentStates

__all__ = [
    "BAD",
    "ID",
    "OTHER",
    "Link",
    "Scope",
    "entries_of",
    "lost_of",
    "manifest_of",
    "numbers_of",
    "reset_of",
    "value_of",
]

ID, OTHER = bytes(range(16)), bytes(range(16, 32))


class Scope:
    """A Context, and what a test does in it.

    It takes part in two calls at most: one that it makes, one that it serves. ``calling`` and
    ``serving`` are their baselines.
    """

    def __init__(
        self, context: contextvars.Context | None = None, *, values: Wire = LENIENT
    ) -> None:
        self.context = contextvars.Context() if context is None else context
        self.run = self.context.run
        self.values = values
        self.calling: Baseline | None = None
        self.serving: Baseline | None = None

    @property
    def bound(self) -> set[catena.ContextVar[Any]]:
        """The variables that are bound there."""
        chain = self.chain
        return set() if chain is None else set(chain.state)

    @property
    def chain(self) -> Chain | None:
        """The chain there, None before one has been mounted."""
        chain = self.context.get(current)
        return None if chain is UNMOUNTED else chain

    def get(self, var: catena.ContextVar[Any]) -> Any:
        """The value there, "unset" when there is none."""
        return self.run(var.get, "unset")

    def set(self, var: catena.ContextVar[Any], value: Any) -> catena.Token[Any]:
        """Set a value there."""
        return self.run(var.set, value)

    def mount(self, manifest: ChainManifest, *, to_worker: bool) -> None:
        """Mount a manifest there: a drive of the call it serves, an answer to the one it makes."""
        known = self.serving if to_worker else self.calling
        known = self.run(mount, manifest, self.values, to_worker=to_worker, baseline=known)
        if to_worker:
            self.serving = known
        else:
            self.calling = known

    def capture(self, *, to_worker: bool) -> ChainManifest:
        """Capture what is there, which must be armed: a first drive frame, or an answer.

        An answer that changes nothing, of which no manifest is made, is one without entries.
        """
        chain = self.chain
        assert chain is not None
        if not to_worker:
            answer, self.serving = self.run(capture_answer, self.values, self.serving)
            return ChainManifest(chain.id, whole=False) if answer is None else answer
        captured = self.run(capture_drive, self.values, None)
        assert captured is not None
        self.calling = captured.baseline
        return captured.manifest

    def capture_drive(self) -> ChainManifest:
        """Capture a later drive frame of the call that it makes."""
        captured = self.run(capture_drive, self.values, self.calling)
        assert captured is not None
        self.calling = captured.baseline
        return captured.manifest

    def call(self, worker: Scope) -> Scope:
        """Mount what is here on a worker, which is returned."""
        worker.mount(self.capture(to_worker=True), to_worker=True)
        return worker

    def drive(self, worker: Scope) -> Scope:
        """Drive the call once more: mount what changed on the worker, which is returned."""
        worker.mount(self.capture_drive(), to_worker=True)
        return worker

    def answer(self, caller: Scope) -> None:
        """Mount what is here in the caller."""
        caller.mount(self.capture(to_worker=False), to_worker=False)


class Link:
    """A link without a link: what the caller has sent, and what the worker has kept.

    Unless limits say otherwise, each state is named when it is first sent.
    """

    def __init__(self, *, short: int = 0, values: Wire = LENIENT, **limits: int) -> None:
        self.sent = SentStates(short=short, **limits)
        self.kept = KeptStates(values)

    def capture(self, caller: Scope) -> Captured:
        """Capture the first frame of a call."""
        captured = caller.run(capture_drive, LENIENT, None, self.sent)
        assert captured is not None
        return captured

    def enter(self, manifest: ChainManifest) -> Scope:
        """Return the worker's end of a call that begins with a manifest."""
        base = self.base_of(manifest)
        assert base is not None
        worker = Scope(base.context.copy())
        worker.serving = worker.run(self.kept.enter, manifest, base)
        return worker

    def base_of(self, manifest: ChainManifest) -> KeptState | None:
        """Return what a call builds on that begins with a manifest, None when it is not known."""
        return self.kept.find_base(manifest)

    def keep(self, *entries: Entry, number: int = 1, base: int = 0) -> KeptState:
        """Let a call bring these entries, and a name for what they make; return what is kept."""
        self.enter(manifest_of(*entries)._replace(base=base, name=number))
        kept = self.base_of(manifest_of()._replace(base=number))
        assert kept is not None
        return kept

    def call(self, caller: Scope) -> tuple[Scope, ChainManifest]:
        """Make a call that the worker accepts; return the worker's end and what it began with."""
        captured = self.capture(caller)
        worker = self.enter(captured.manifest)
        self.sent.confirm(captured.manifest.name)
        return worker, captured.manifest


def numbers_of(manifest: ChainManifest) -> tuple[int, int]:
    """Return the numbers of the base and of the name."""
    return manifest.base, manifest.name


def manifest_of(*entries: Entry, id: bytes = ID, whole: bool = True) -> ChainManifest:
    """Return a manifest of these entries."""
    return ChainManifest(id, entries=LENIENT.pack(entries), whole=whole)


def value_of(var: catena.ContextVar[Any], value: Any, *, forward: bool = False) -> Entry:
    """Return the entry of a value."""
    return Entry(var.key, EntryKind.VALUE, LENIENT.dumps(value), forward)


def reset_of(var: catena.ContextVar[Any]) -> Entry:
    """Return the entry of a reset."""
    return Entry(var.key, EntryKind.RESET)


def lost_of(var: catena.ContextVar[Any]) -> Entry:
    """Return the entry of a value that could not be written."""
    return Entry(var.key, EntryKind.LOST)


def entries_of(manifest: ChainManifest) -> dict[tuple[str, str], Entry]:
    """Return a manifest's entries by key."""
    return {entry.key: entry for entry in LENIENT.unpack(manifest.entries)}


BAD = b"this is no pickle"
