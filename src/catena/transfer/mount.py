"""Mount: a manifest becomes a chain in the current Context, and unmount lets go of it again.

The guard is asked first, everything is decoded next, and only then does anything change: a chain
that is refused leaves no trace. What a call begins with is mounted by ``mount_first``, in a Context
that nobody has used before; every later frame, in both directions, by ``mount``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from catena.context.chain import EMPTY, Chain, State, current
from catena.context.guard import admit
from catena.context.ledger import LEDGER_LIMIT, CallLedger, spent_elsewhere
from catena.context.ownership import place_chain, running_task
from catena.context.tasks.displacement import check_task_factory
from catena.context.variable import UNREAD, UNSET, Variable
from catena.errors import ChainSerializationError
from catena.events import KeysUndeclared, Mount, Unmounted
from catena.events.bus import announce
from catena.ids import ID_BYTES, Key
from catena.transfer.baseline import NOTHING, Baseline, Marks
from catena.transfer.carried import is_carried
from catena.transfer.decode import DecodedEntries, decode_entries, unpack_entries
from catena.transfer.manifest import ChainManifest, Values
from catena.transfer.problems import warn_or_raise

_ID_SIZES = (0, ID_BYTES)
_undeclared: set[Key] = set()
_UNDECLARED = 4096


def check_manifest(manifest: ChainManifest) -> None:
    """Raise ChainSerializationError for a manifest that is malformed or exceeds a limit."""
    if manifest.flaw:
        raise ChainSerializationError(cause=manifest.flaw)
    for id in (manifest.chain_id, manifest.parent_id):
        if len(id) not in _ID_SIZES:
            raise ChainSerializationError(
                cause=f"a chain id has {ID_BYTES} bytes, this one has {len(id)}"
            )
    most = max(len(manifest.spent), len(manifest.live))
    if most > LEDGER_LIMIT:
        raise ChainSerializationError(
            cause=f"it names {most} tokens, at most {LEDGER_LIMIT} may cross"
        )


def mount_first(
    manifest: ChainManifest,
    state: State,
    found: DecodedEntries | None,
    values: Values,
    task: asyncio.Task[Any] | None = None,
) -> Baseline:
    """Put the chain that a call begins with into the current Context; return the call's baseline.

    ``state`` is what this Context holds already, ``found`` what the checked manifest says beside
    it, ``task`` the running task.
    """
    unbound = () if found is None else found.unbound
    if found is not None:
        state = _apply_entries(state, found, unbound)
    task = task or running_task()
    check_task_factory(task)
    chain = place_chain(manifest.chain_id, manifest.parent_id, state, task)
    # Not before all is in its place: till then the Context has an earlier call's values.
    if Mount.observers:
        _announce_mount(manifest, state, unbound, to_worker=True)
    call = None
    if manifest.spent or manifest.live:
        call = _receive_tokens(manifest, chain, None, to_worker=True)
    if found is None or not found.carried:
        return Baseline(manifest.chain_id, state, ledger=call)
    carried = _bind_carried(found, None, values, to_worker=True, whole=True)
    return Baseline(manifest.chain_id, state, ledger=call, carried=carried)


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
    SerializationWarning. A manifest without a chain id binds forward values and carried variables,
    and arms nothing.

    Raises, before anything changes, ChainSerializationError for a malformed manifest and in strict
    mode for a bad entry, and ChainContention when somebody else runs the chain that is here.
    """
    check_manifest(manifest)
    if manifest.base:
        raise ChainSerializationError(cause="only a call's first manifest may build on a state")
    if not manifest.chain_id:
        return mount_unarmed(manifest, values, to_worker=to_worker, baseline=baseline)
    chain = current.get()
    call = None if baseline is None else baseline.ledger
    if chain is not None:
        chain = admit(chain)
    # Whatever becomes of the values: what was spent is spent.
    call = _receive_tokens(manifest, chain, call, to_worker=to_worker)
    found = decode_entries(unpack_entries(manifest, values), values, to_worker=to_worker)
    warn_or_raise(found.problems, strict=values.strict)
    task = running_task() if chain is None else chain.task and chain.task()
    check_task_factory(task)
    if chain is None:
        chain = place_chain(manifest.chain_id, manifest.parent_id, EMPTY, task)
        call = _receive_tokens(manifest, chain, call, to_worker=to_worker)
    before = chain.state
    is_anew = to_worker and manifest.whole
    unbound = [*found.unbound, *(set(before) - found.mentioned)] if is_anew else found.unbound
    state = _apply_entries(before, found, unbound)
    if state is not before:
        current.set(chain.with_state(state))
    if Mount.observers:
        bound = set(found.bindings).difference(unbound)
        _announce_mount(manifest, bound, unbound, to_worker=to_worker)
    carried = _bind_carried(found, baseline, values, to_worker=to_worker, whole=manifest.whole)
    if baseline is None or is_anew or not baseline.chain_id:
        return Baseline(manifest.chain_id, state, ledger=call, carried=carried)
    if before is not baseline.state:
        # What changed here since the last frame has still to be sent.
        state = baseline.state.merge(found.bindings, unbound)
    return Baseline(manifest.chain_id, state, baseline.written, call, carried)


def mount_unarmed(
    manifest: ChainManifest,
    values: Values,
    *,
    to_worker: bool,
    baseline: Baseline | None = None,
) -> Baseline | None:
    """Bind what a manifest without a chain brings: carried variables, on a worker forward values.

    Returns what the other side has now.
    """
    if not manifest.entries and (baseline is None or not baseline.carried):
        return baseline
    entries = [
        entry
        for entry in (unpack_entries(manifest, values) if manifest.entries else ())
        if is_carried(entry.key) or (to_worker and entry.forward)
    ]
    found = decode_entries(entries, values, to_worker=to_worker)
    warn_or_raise(found.problems, strict=values.strict)
    for var, value, _, _ in found.bound:
        # A value of an undeclared variable that could not be decoded has no chain to wait in.
        if value is not UNREAD:
            var.backing.set(value)
    carried = _bind_carried(found, baseline, values, to_worker=to_worker, whole=manifest.whole)
    if baseline is not None:
        return baseline._replace(carried=carried)
    return Baseline(b"", EMPTY, carried=carried) if carried else None


def leave_chain() -> None:
    """Unbind what the chain of the current Context has bound, and have none here.

    For a copy of another Context, which keeps its chain.
    """
    chain = current.get()
    if chain is not None:
        for var in chain.state:
            var.backing.set(UNSET)
        current.set(None)


def unmount() -> None:
    """Let go of the chain of the current Context, which is done with: no token opens there again.

    The chain goes where the Context goes; to set it to none would cost each call one more write in
    a Context that may be large. Variables that it brought and nobody declared are dropped with it;
    each is announced once.
    """
    chain = current.get()
    if chain is None or not chain.home.give_up_proof():
        return
    if chain.state.has_stubs and KeysUndeclared.listeners:
        _announce_undeclared(chain)
    if Unmounted.listeners:
        announce(Unmounted(chain.id))


def _bind_carried(
    found: DecodedEntries,
    baseline: Baseline | None,
    values: Values,
    *,
    to_worker: bool,
    whole: bool,
) -> Marks:
    """Bind carried variables in the current Context; return what the other side has of them."""
    since = NOTHING if baseline is None else baseline.carried
    if not (found.carried or since):
        return NOTHING
    return found.carried.bind(since, values, to_worker=to_worker, whole=whole)


def _receive_tokens(
    manifest: ChainManifest, chain: Chain | None, call: CallLedger | None, *, to_worker: bool
) -> CallLedger | None:
    """Enter what a manifest says of tokens; return the ledger of its call."""
    if not (manifest.spent or manifest.live):
        return call
    if chain is None:
        spent_elsewhere(*(manifest.spent if to_worker else ()))
        return call
    call, home = call or CallLedger(), chain.home
    spent, live, here = manifest.spent, manifest.live, home.is_here()
    home.open_ledger().receive(spent, live, call, to_worker=to_worker, here=here)
    return call


def _apply_entries(before: State, found: DecodedEntries, unbound: Iterable[Variable]) -> State:
    """Bind and unbind in the current Context, which holds a state; return the state after it."""
    for var, value, _, _ in found.bound:
        var.backing.set(value)
    for var in unbound:
        var.backing.set(UNSET)
    if not (found.bound or unbound):
        return before
    state = before.merge(found.bindings, unbound)
    state.fixed = True if before.fixed and found.fixed else None
    state.has_unexposed = before.has_unexposed or not found.fixed
    state.has_stubs = before.has_stubs or found.stubs > 0
    return state


def _announce_mount(
    manifest: ChainManifest,
    bound: Iterable[Variable],
    unbound: Iterable[Variable],
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


def _announce_undeclared(chain: Chain) -> None:
    missing = [var.key for var in chain.state if not var.declared]
    new = [key for key in missing if key not in _undeclared]
    if new and len(_undeclared) < _UNDECLARED:
        _undeclared.update(new)
        announce(KeysUndeclared(chain.id, tuple(sorted(new))))
