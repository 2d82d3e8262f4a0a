"""Mount: a manifest becomes a chain in the current Context, and unmount lets go of it again.

The guard is asked first, everything is decoded next, and only then does anything change: a chain
that is refused leaves no trace. A worker that has kept a state runs the call that names it in a
copy of the Context it prepared then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from gc import get_referents
from threading import get_ident
from typing import Any
from weakref import ref

from catena.context.capture import Baseline
from catena.context.chain import EMPTY, Chain, State, new
from catena.context.current import Home, current, running_task
from catena.context.decoding import Found, decode
from catena.context.factory import ForkingFactory, check_task_factory
from catena.context.guard import admit
from catena.context.ledger import LEDGER_LIMIT, CallLedger, spent_elsewhere
from catena.context.manifest import (
    ENTRY_LIMIT,
    MANIFEST_LIMIT,
    NO_CHAIN,
    ChainManifest,
    Entry,
    Values,
)
from catena.context.prepared import Prepared
from catena.context.problems import settle
from catena.context.registry import Key
from catena.context.token import UNSET
from catena.context.var import ContextVar
from catena.errors import ChainSerializationError
from catena.events import KeysUndeclared, Mount, Unmounted
from catena.events.bus import announce
from catena.ids import ID_BYTES

__all__ = ["mount", "mount_first", "mount_named", "unmount"]

_PARENT_BYTES = (0, ID_BYTES)
_undeclared: set[Key] = set()
_UNDECLARED = 4096


def mount_named(
    manifest: ChainManifest, values: Values, base: Prepared, task: asyncio.Task[Any] | None
) -> Chain | None:
    """Mount a manifest that names the state of ``base`` and says nothing else; return the chain.

    Most calls begin with one. Returns None, and has done nothing, when there is more to a manifest,
    or something wrong with it, or when something has to be decoded for this call at once:
    ``mount_first`` is for all of them. ``task`` is the running task.
    """
    chain_id, parent_id, entries, _, _, name, spent, live, _, flaw = manifest
    if entries or name or spent or live or flaw:
        return None
    state = base.state
    if base.loose:
        if base.mutable or values.strict:
            return None
        state = base.with_shelf(values, ())
    if len(chain_id) != ID_BYTES or len(parent_id) not in _PARENT_BYTES:
        return None
    # As _arm does it, without calls in between.
    top: Any = task and task.get_loop().get_task_factory()
    if type(top) is not ForkingFactory:
        check_task_factory(task)
    home = Home()
    chain: Chain = new(Chain, (chain_id, parent_id, get_ident(), task and ref(task), home, state))
    # As settle does it.
    home.proof = ref(get_referents(current.set(chain))[0])
    if Mount.observers:
        _announce(manifest, state, to_worker=True)
    return chain


def mount_first(
    manifest: ChainManifest,
    values: Values,
    base: Prepared,
    task: asyncio.Task[Any] | None = None,
) -> tuple[Baseline | None, Prepared | None]:
    """Mount what a call begins with, in a copy of the Context of ``base``, for the running task.

    Returns the call's baseline, None when nothing was armed; and the state to keep when the
    manifest names one and nothing but values that cannot be read is wrong with it. Raises
    ChainSerializationError for a malformed manifest, and in strict mode for a bad entry.
    """
    if manifest[:8] == NO_CHAIN[:8] and not manifest.flaw:
        # An unarmed call that is traced: its manifest is there for the carrier.
        return None, None
    _check(manifest)
    if not manifest.chain_id:
        if manifest.base:
            raise ChainSerializationError(cause="only the manifest of a chain builds on a state")
        _bind_forward(manifest, values)
        return None, None
    # Also when the values are refused.
    spent_elsewhere(*manifest.spent)
    changes = Found()
    if manifest.entries:
        changes = decode(_entries(manifest, values), values, to_worker=True)
    kept = None
    if manifest.name and len(changes.problems) == len(changes.unread):
        kept = base.after(changes)
    state = base.state
    if base.loose:
        state = base.with_shelf(values, changes.mentioned)
        base.open(values, changes)
    if changes.problems:
        settle(changes.problems, strict=values.strict)
    chain = _arm(manifest, state, task or running_task())
    state = _put(manifest, chain, changes, changes.unbound, to_worker=True, named=state)
    return _knowing(Baseline(manifest.chain_id, state), manifest, chain), kept


def mount(
    manifest: ChainManifest,
    values: Values,
    *,
    to_worker: bool,
    baseline: Baseline | None = None,
) -> Baseline | None:
    """Put a manifest's chain into the current Context; return what the other side has now.

    Without a chain here the context takes the sender's id; a live chain keeps its own, takes what
    came, drops what was reset and keeps what only it had. On a worker a whole manifest also unbinds
    what it does not mention. An entry that cannot be decoded is left out with a
    SerializationWarning. A manifest without a chain id binds the forward values and arms nothing.

    Raises, before anything changes, ChainSerializationError for a malformed manifest and in strict
    mode for a bad entry, and ChainContention when somebody else runs the chain that is here.
    """
    _check(manifest)
    if manifest.base:
        raise ChainSerializationError(cause="only a call's first manifest may build on a state")
    if not manifest.chain_id:
        if to_worker:
            _bind_forward(manifest, values)
        return baseline
    chain = current.get()
    call = None if baseline is None else baseline.ledger
    if chain is not None:
        chain = admit(chain)
    # Whatever becomes of the values: what was spent is spent.
    call = _tell(manifest, chain, call, to_worker=to_worker)
    found = decode(_entries(manifest, values), values, to_worker=to_worker)
    if found.problems:
        settle(found.problems, strict=values.strict)
    if chain is None:
        chain = _arm(manifest, EMPTY, running_task())
        call = _tell(manifest, chain, call, to_worker=to_worker)
    else:
        check_task_factory(chain.task and chain.task())
    before = chain.state
    unbound = found.unbound
    if to_worker and manifest.whole:
        mentioned = found.mentioned
        unbound = [*unbound, *(var for var in before if var not in mentioned)]
    state = _put(manifest, chain, found, unbound, to_worker=to_worker)
    if baseline is None or (to_worker and manifest.whole):
        return Baseline(manifest.chain_id, state, ledger=call)
    if before is not baseline.state:
        # What changed here since the last frame has still to be told.
        state = baseline.state.merge(found.bindings, unbound)
    return Baseline(manifest.chain_id, state, baseline.written, call)


def unmount() -> None:
    """Let go of the chain of the current Context, which is done with: no token opens there again.

    The chain goes where the Context goes; to set it to none would cost each call one more write in
    a Context that may be large. Variables that it brought and nobody declared are dropped with it;
    each is announced once.
    """
    chain = current.get()
    if chain is None or not chain.home.release():
        return
    if chain.state.stubs and KeysUndeclared.listeners:
        _tell_undeclared(chain)
    if Unmounted.listeners:
        announce(Unmounted(chain.id))


def _check(manifest: ChainManifest) -> None:
    if manifest.flaw:
        raise ChainSerializationError(cause=manifest.flaw)
    for id in (manifest.chain_id, manifest.parent_id):
        if id and len(id) != ID_BYTES:
            raise ChainSerializationError(
                cause=f"a chain id has {ID_BYTES} bytes, this one has {len(id)}"
            )
    for ids in (manifest.spent, manifest.live):
        if len(ids) > LEDGER_LIMIT:
            raise ChainSerializationError(
                cause=f"it names {len(ids)} tokens, at most {LEDGER_LIMIT} may cross"
            )


def _tell(
    manifest: ChainManifest, chain: Chain | None, call: CallLedger | None, *, to_worker: bool
) -> CallLedger | None:
    """Enter what a manifest tells of tokens; return the ledger of its call."""
    if not (manifest.spent or manifest.live):
        return call
    if chain is None:
        spent_elsewhere(*(manifest.spent if to_worker else ()))
        return call
    call, home = call or CallLedger(), chain.home
    spent, live, here = manifest.spent, manifest.live, home.is_here()
    home.book().told(spent, live, call, to_worker=to_worker, here=here)
    return call


def _knowing(baseline: Baseline, manifest: ChainManifest, chain: Chain) -> Baseline:
    """Return the baseline of a call that has just begun, with its tokens."""
    call = _tell(manifest, chain, None, to_worker=True)
    return baseline if call is None else baseline._replace(ledger=call)


def _entries(manifest: ChainManifest, values: Values) -> tuple[Entry, ...]:
    """Return the entries. Raises ChainSerializationError when they are none, or too many."""
    if len(manifest.entries) > MANIFEST_LIMIT:
        raise ChainSerializationError(
            cause=f"its {len(manifest.entries)} bytes exceed {MANIFEST_LIMIT}"
        )
    entries = values.unpack(manifest.entries)
    if len(entries) > ENTRY_LIMIT:
        raise ChainSerializationError(
            cause=f"it has {len(entries)} entries, at most {ENTRY_LIMIT} travel"
        )
    return entries


def _arm(manifest: ChainManifest, state: State, task: asyncio.Task[Any] | None) -> Chain:
    """Put a chain of the sender's id into the current Context, in a state that is mounted there."""
    home = Home()
    check_task_factory(task)
    chain = Chain(manifest[0], manifest[1], get_ident(), task and ref(task), home, state)
    home.settle(chain)
    return chain


def _put(
    manifest: ChainManifest,
    chain: Chain,
    found: Found,
    unbound: list[ContextVar[Any]],
    *,
    to_worker: bool,
    named: Iterable[ContextVar[Any]] = (),
) -> State:
    """Bind and unbind in the current Context, whose chain is given; return its new state.

    ``named`` are the variables that the Context got from a named state already.
    """
    for var, value, _, _ in found.bound:
        var.backing.set(value)
    for var in unbound:
        var.backing.set(UNSET)
    state = chain.state
    if found.bound or unbound:
        state = chain.state.merge(found.bindings, unbound)
        state.fixed = True if chain.state.fixed and found.fixed else None
        state.sealed = chain.state.sealed or not found.fixed
        state.stubs = chain.state.stubs or found.stubs > 0
        current.set(chain.holding(state))
    if Mount.observers:
        # Not before all is in its place: till then a Context may hold an earlier call's values.
        bound = {*named, *(var for var, _ in found.bindings)}.difference(unbound)
        _announce(manifest, bound, unbound, to_worker=to_worker)
    return state


def _announce(
    manifest: ChainManifest,
    bound: Iterable[ContextVar[Any]],
    unbound: Iterable[ContextVar[Any]] = (),
    *,
    to_worker: bool,
) -> None:
    """Announce a mount that is done."""
    mounting = Mount(
        manifest.chain_id,
        manifest.parent_id,
        to_worker=to_worker,
        size=len(manifest.entries),
        whole=manifest.whole,
        carrier=manifest.carrier,
    )
    mounting.bound, mounting.unbound = bound, unbound
    with mounting:
        pass


def _bind_forward(manifest: ChainManifest, values: Values) -> None:
    """Bind forward-only values in a context that stays unarmed."""
    if not manifest.entries:
        return
    entries = [entry for entry in _entries(manifest, values) if entry.forward]
    found = decode(entries, values, to_worker=True)
    settle(found.problems, strict=values.strict)
    for var, value, _, _ in found.bound:
        var.backing.set(value)


def _tell_undeclared(chain: Chain) -> None:
    missing = [var.key for var in chain.state if not var.declared]
    new = [key for key in missing if key not in _undeclared]
    if new and len(_undeclared) < _UNDECLARED:
        _undeclared.update(new)
        announce(KeysUndeclared(chain.id, tuple(sorted(new))))
