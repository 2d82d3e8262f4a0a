"""Capture and mount: a chain becomes a manifest in one Context and comes back in another.

Both run inside the Context they are about, and both ask the guard first. Values are encoded and
decoded one by one, so that a bad one costs its own entry and nothing else.

A state whose values cannot change in place is encoded once, and a worker that has met its block
before runs the call in a copy of the Context it prepared then. Whatever can change stays bytes, and
is decoded anew for each call, so that no two calls ever share a mutable object.
"""

from __future__ import annotations

import contextvars
import warnings
from threading import get_ident
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary, ref

from catena.context.chain import Chain, Memo
from catena.context.current import Home, current, new_chain, running_task
from catena.context.fork import ensure_task_factory
from catena.context.guard import admit
from catena.context.manifest import ChainManifest, Entry, EntryKind, Values
from catena.context.registry import Key, find
from catena.context.token import UNSET
from catena.context.var import MISSING, ContextVar, received
from catena.errors import ChainSerializationError, SerializationWarning
from catena.events import EntryLost, Mount
from catena.ids import ID_BYTES
from catena.observe import SILENCE, announce

__all__ = ["Prepared", "adopt", "capture", "mount", "prepared", "unmount"]

Variables = frozenset[ContextVar[Any]]
Problems = list[SerializationWarning]

_NONE: Variables = frozenset()
_FIXED = frozenset({str, bytes, int, float, bool, type(None)})
_defaults: WeakKeyDictionary[ContextVar[Any], tuple[Any, bytes | None]] = WeakKeyDictionary()


class Prepared(NamedTuple):
    """A Context in which a block's values are mounted already, to be copied for each call."""

    context: contextvars.Context
    bound: Variables
    memo: Memo


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
    memo = chain.memo
    block = memo.there if to_worker else memo.back
    if block is None:
        block = _block(chain, values, to_worker=to_worker)
    return ChainManifest(chain.id, chain.parent, block)


def mount(manifest: ChainManifest, values: Values, *, to_worker: bool) -> None:
    """Put a manifest's chain into the current Context.

    Without a chain here the context takes the sender's id; a live chain keeps its own, takes what
    came, drops what was reset and keeps what only it had. On a worker a whole manifest also unbinds
    what it does not mention. An entry that cannot be decoded is left out with a
    SerializationWarning. A manifest without a chain id binds the forward values and arms nothing.

    Raises ChainSerializationError for a malformed manifest, before anything changes, and
    ChainContention when somebody else runs the chain that is here.
    """
    _check(manifest)
    if not manifest.chain_id:
        _bind_forward(manifest, values, to_worker=to_worker)
        return
    chain = current.get()
    if chain is not None:
        chain = admit(chain)
        if not to_worker and chain.memo.echo == manifest.entries:
            _told(manifest, _NONE, _NONE, to_worker=False)
            return
    entries = values.unpack(manifest.entries)
    ensure_task_factory()
    if chain is None:
        chain = new_chain(manifest.chain_id, parent=manifest.parent_id)
    problems: Problems = []
    mounting = Mount(manifest.chain_id, to_worker) if Mount.listeners else None
    with mounting or SILENCE:
        bound, unbound = _apply(manifest, entries, chain, values, problems, to_worker=to_worker)
        if mounting:
            mounting.keys_set, mounting.keys_reset = _keys(bound), _keys(unbound)
    _warn(problems)


def prepared(base: contextvars.Context) -> Prepared | None:
    """Return the current chain's state in a copy of ``base``, None when a value can change.

    Called right after a mount, before any code of the user has run.
    """
    chain = current.get()
    if chain is None or chain.memo.echo is None:
        return None
    context = base.copy()
    for var in chain.bound:
        context.run(var.backing.set, var.backing.get())
    return Prepared(context, chain.bound, chain.memo)


def adopt(manifest: ChainManifest, known: Prepared) -> None:
    """Make a manifest's chain current in a copy of the prepared Context.

    Raises ChainSerializationError for a malformed id.
    """
    _check(manifest)
    ensure_task_factory()
    task = running_task()
    current.set(
        Chain(
            manifest.chain_id,
            manifest.parent_id,
            get_ident(),
            task and ref(task),
            Home(),
            known.bound,
            _NONE,
            known.memo,
        )
    )
    _told(manifest, known.bound, _NONE, to_worker=True)


def unmount() -> None:
    """Take the chain out of the current Context, which is done with.

    Raises nothing; a context without a chain is left alone.
    """
    chain = current.get()
    if chain is not None:
        chain.home.release()
        current.set(None)


# ---- capturing


def _block(chain: Chain, values: Values, *, to_worker: bool) -> bytes:
    problems: Problems = []
    fixed = True
    entries: list[Entry] = []
    for var in chain.bound:
        value = var.backing.get()
        fixed = fixed and _is_fixed(value)
        if to_worker or var.propagate == "both":
            entries.append(_entry(var, value, values, problems))
    if not to_worker:
        entries += [
            Entry(var.key, EntryKind.RESET)
            for var in chain.dropped - chain.home.lost
            if var.propagate == "both"
        ]
    entries.sort(key=_by_key)
    block = values.pack(entries)
    if fixed:
        if to_worker:
            chain.memo.there = block
        else:
            chain.memo.back = block
    _warn(problems)
    return block


def _is_fixed(value: Any) -> bool:
    """Say whether a value can surely not be changed in place."""
    kind: object = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind in _FIXED:
        return True
    return kind is tuple and all(map(_is_fixed, value))


def _entry(var: ContextVar[Any], value: Any, values: Values, problems: Problems) -> Entry:
    forward = var.propagate == "forward"
    try:
        data = values.dumps(value)
    except Exception as error:
        problems.append(_problem(var.key, error, "sent"))
        return Entry(var.key, EntryKind.LOST, forward=forward)
    return Entry(var.key, EntryKind.VALUE, data, forward, _default_of(var, values))


def _default_of(var: ContextVar[Any], values: Values) -> bytes | None:
    if var.default is MISSING:
        return None
    known = _defaults.get(var)
    if known is None or known[0] is not var.default:
        try:
            data = values.dumps(var.default)
        except Exception:
            # The default only serves a receiver that never declares the variable.
            data = None
        known = _defaults[var] = (var.default, data)
    return known[1]


# ---- mounting


def _check(manifest: ChainManifest) -> None:
    for id in (manifest.chain_id, manifest.parent_id):
        if id and len(id) != ID_BYTES:
            raise ChainSerializationError(
                cause=f"a chain id has {ID_BYTES} bytes, this one has {len(id)}"
            )


def _apply(
    manifest: ChainManifest,
    entries: tuple[Entry, ...],
    chain: Chain,
    values: Values,
    problems: Problems,
    *,
    to_worker: bool,
) -> tuple[Variables, Variables]:
    """Put entries into the current Context, whose chain is given; return what it bound and not."""
    bound, unbound, changed, fixed = _drain(entries, values, problems, to_worker=to_worker)
    if to_worker:
        chain.home.lost = unbound
        if manifest.whole:
            unbound |= chain.bound - bound
    for var in unbound:
        var.backing.set(UNSET)
    if changed or unbound or not bound <= chain.bound:
        chain = chain.merge(bound, unbound, tell=not to_worker)
        current.set(chain)
    if fixed and not problems:
        # Mounting this once more would change nothing.
        chain.memo.echo = manifest.entries
    return bound, unbound


def _drain(
    entries: tuple[Entry, ...], values: Values, problems: Problems, *, to_worker: bool
) -> tuple[Variables, Variables, bool, bool]:
    """Decode entries into their backing variables.

    Returns what is bound now, what is not, whether that changed any value, and whether all of them
    are of a kind that cannot change in place.
    """
    bound: set[ContextVar[Any]] = set()
    dropped: set[ContextVar[Any]] = set()
    seen: set[Key] = set()
    changed, fixed = False, True
    for entry in entries:
        if entry.key in seen:
            twice = ValueError("the key occurs twice; the first one counts")
            problems.append(_problem(entry.key, twice, "read"))
            continue
        seen.add(entry.key)
        var = _variable(entry, values, problems)
        if not to_worker and (entry.forward or var.propagate == "forward"):
            continue
        value = _value(entry, values, problems)
        if value is not UNSET:
            kept = _is_fixed(value)
            fixed = fixed and kept
            old = var.backing.get()
            if not (kept and _same(old, value)):
                changed = True
                var.backing.set(value)
            bound.add(var)
        elif to_worker or entry.kind is EntryKind.RESET:
            dropped.add(var)
    return frozenset(bound), frozenset(dropped), changed, fixed


def _same(one: Any, other: Any) -> bool:
    """Say whether two fixed values are the same to the bit: 0.0 is not -0.0, nor True 1."""
    if type(one) is not type(other):
        return False
    if type(one) is tuple:
        ours, theirs = cast("tuple[Any, ...]", one), cast("tuple[Any, ...]", other)
        return len(ours) == len(theirs) and all(map(_same, ours, theirs))
    return one.hex() == other.hex() if type(one) is float else one == other


def _bind_forward(manifest: ChainManifest, values: Values, *, to_worker: bool) -> None:
    problems: Problems = []
    for entry in values.unpack(manifest.entries) if to_worker else ():
        if entry.forward and (value := _value(entry, values, problems)) is not UNSET:
            _variable(entry, values, problems).backing.set(value)
    _warn(problems)


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


def _value(entry: Entry, values: Values, problems: Problems) -> Any:
    """Return an entry's value, UNSET when it has none or it cannot be decoded."""
    if entry.kind is not EntryKind.VALUE:
        return UNSET
    try:
        return values.loads(entry.value)
    except Exception as error:
        problems.append(_problem(entry.key, error, "read"))
        return UNSET


def _problem(key: Key, error: Exception, doing: str) -> SerializationWarning:
    cause = f"{type(error).__name__}: {error}"
    if EntryLost.listeners:
        announce(EntryLost(key, doing == "sent", cause))
    return SerializationWarning(key=key, doing=doing, cause=cause)


def _warn(problems: Problems) -> None:
    """Warn when all is done, since a filter may turn the first warning into an exception."""
    for problem in problems:
        warnings.warn(problem, stacklevel=3)


def _told(
    manifest: ChainManifest, bound: Variables, dropped: Variables, *, to_worker: bool
) -> None:
    """Announce a mount that was over at once."""
    if Mount.listeners:
        with Mount(manifest.chain_id, to_worker, _keys(bound), _keys(dropped)):
            pass


def _keys(variables: Variables) -> tuple[Key, ...]:
    return tuple(sorted(var.key for var in variables))


def _by_key(entry: Entry) -> Key:
    return entry.key
