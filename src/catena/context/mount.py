"""Capture and mount: a chain becomes a manifest in one Context and comes back in another.

Both run inside the Context they are about, and both ask the guard first. Values are encoded and
decoded here, one by one, so that a bad one costs its own entry and nothing else.
"""

from __future__ import annotations

import warnings
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from catena.context.chain import Chain
from catena.context.current import current, new_chain
from catena.context.fork import ensure_task_factory
from catena.context.guard import admit
from catena.context.manifest import ChainManifest, Entry, EntryKind
from catena.context.registry import Key, find
from catena.context.token import UNSET
from catena.context.var import MISSING, ContextVar, received
from catena.errors import SerializationWarning
from catena.events import EntryLost, Mount
from catena.observe import SILENCE, announce

__all__ = ["Values", "capture", "mount", "unmount"]


class Values(Protocol):
    """How one value becomes bytes and comes back; the wire hands it in."""

    def dumps(self, value: Any, /) -> bytes:
        """Return the value as bytes, or raise any Exception."""
        ...

    def loads(self, data: bytes, /) -> Any:
        """Return the value that the bytes stand for, or raise any Exception."""
        ...


Variables = frozenset[ContextVar[Any]]
Problems = list[SerializationWarning]

_defaults: WeakKeyDictionary[ContextVar[Any], bytes | None] = WeakKeyDictionary()


def capture(values: Values, *, to_worker: bool) -> ChainManifest | None:
    """Return the current chain as a whole manifest, None when the context is unarmed.

    On the way back (``to_worker=False``) forward-only variables stay out, and variables that were
    reset on this side are named. A value that cannot be encoded becomes a ``lost`` entry, with a
    SerializationWarning. Raises ChainContention when somebody else runs the chain.
    """
    chain = current.get()
    if chain is None:
        return None
    chain = admit(chain)
    problems: Problems = []
    entries = [
        _entry(var, values, problems)
        for var in chain.bound
        if to_worker or var.propagate == "both"
    ]
    if not to_worker:
        entries += [
            Entry(var.key, EntryKind.RESET) for var in chain.dropped if var.propagate == "both"
        ]
    entries.sort(key=_by_key)
    _warn(problems)
    return ChainManifest(chain.id, chain.parent or b"", entries=tuple(entries))


def mount(manifest: ChainManifest, values: Values, *, to_worker: bool) -> None:
    """Put a manifest's chain into the current Context.

    Without a chain here the context takes the sender's id; a live chain keeps its own, takes what
    came, drops what was reset and keeps what only it had. On a worker a whole manifest also unbinds
    what it does not mention. An entry that cannot be decoded is left out with a
    SerializationWarning. A manifest without a chain id arms nothing. Raises ChainContention when
    somebody else runs the chain that is here.
    """
    if not manifest.chain_id:
        return
    chain = current.get()
    ensure_task_factory()
    if chain is None:
        chain = new_chain(manifest.chain_id, parent=manifest.parent_id or None)
    else:
        chain = admit(chain)
    problems: Problems = []
    with Mount(manifest.chain_id, to_worker) if Mount.listeners else SILENCE as mounting:
        bound, dropped = _drain(manifest, values, problems, to_worker=to_worker)
        if to_worker and manifest.whole:
            dropped |= chain.bound - bound
        for var in dropped:
            var.backing.set(UNSET)
        current.set(chain.merge(bound=bound, dropped=dropped))
        if mounting:
            mounting.keys_set = tuple(sorted(var.key for var in bound))
            mounting.keys_reset = tuple(sorted(var.key for var in dropped))
    _warn(problems)


def unmount() -> None:
    """Take the chain out of the current Context, which is done with.

    Raises nothing; a context without a chain is left alone.
    """
    chain = current.get()
    if chain is not None:
        chain.home.release()
        current.set(None)


def _entry(var: ContextVar[Any], values: Values, problems: Problems) -> Entry:
    forward = var.propagate == "forward"
    try:
        value = values.dumps(var.backing.get())
    except Exception as error:
        problems.append(_problem(var.key, error, "sent"))
        return Entry(var.key, EntryKind.LOST, forward=forward)
    return Entry(var.key, EntryKind.VALUE, value, forward, _default_of(var, values))


def _default_of(var: ContextVar[Any], values: Values) -> bytes | None:
    if var.default is MISSING:
        return None
    if var not in _defaults:
        try:
            _defaults[var] = values.dumps(var.default)
        except Exception:
            # The default only serves a receiver that never declares the variable.
            _defaults[var] = None
    return _defaults[var]


def _drain(
    manifest: ChainManifest, values: Values, problems: Problems, *, to_worker: bool
) -> tuple[Variables, Variables]:
    """Decode the entries into their backing variables; return what is bound and what is not."""
    bound: set[ContextVar[Any]] = set()
    dropped: set[ContextVar[Any]] = set()
    seen: set[Key] = set()
    for entry in manifest.entries:
        if entry.key in seen:
            twice = ValueError("the key occurs twice; the first one counts")
            problems.append(_problem(entry.key, twice, "read"))
            continue
        seen.add(entry.key)
        var = _variable(entry, values, problems)
        if not to_worker and (entry.forward or var.propagate == "forward"):
            continue
        if entry.kind is EntryKind.VALUE and _load(var, entry, values, problems):
            bound.add(var)
        elif to_worker or entry.kind is EntryKind.RESET:
            dropped.add(var)
    return frozenset(bound), frozenset(dropped)


def _variable(entry: Entry, values: Values, problems: Problems) -> ContextVar[Any]:
    known = find(entry.key)
    if known is not None:
        return known
    default = MISSING
    if entry.default is not None:
        try:
            default = values.loads(entry.default)
        except Exception as error:
            problems.append(_problem(entry.key, error, "read"))
    return received(entry.key, default, "forward" if entry.forward else "both")


def _load(var: ContextVar[Any], entry: Entry, values: Values, problems: Problems) -> bool:
    try:
        value = values.loads(entry.value)
    except Exception as error:
        problems.append(_problem(entry.key, error, "read"))
        return False
    var.backing.set(value)
    return True


def _problem(key: Key, error: Exception, doing: str) -> SerializationWarning:
    cause = f"{type(error).__name__}: {error}"
    if EntryLost.listeners:
        announce(EntryLost(key, doing == "sent", cause))
    return SerializationWarning(key=key, doing=doing, cause=cause)


def _warn(problems: Problems) -> None:
    """Warn when all is done, since a filter may turn the first warning into an exception."""
    for problem in problems:
        warnings.warn(problem, stacklevel=3)


def _by_key(entry: Entry) -> Key:
    return entry.key
