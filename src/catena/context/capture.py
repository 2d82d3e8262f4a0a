"""Capture: the current chain as a manifest, and only what the other side does not have of it.

It runs inside the Context it is about and asks the guard first. What the other side has is told by
a baseline: of the call, for every frame but its first; of the link, for a call's first frame.
Bindings tell what was set; what can change in place is encoded once more and compared with how this
process encoded it before. What nobody here was handed cannot have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import get_ident
from typing import Any, NamedTuple

from catena.context.carried import Carried, Known
from catena.context.chain import Binding, Chain, State
from catena.context.changes import NOTHING, Changes, unchanged
from catena.context.current import UNMOUNTED, Home, current, task_of
from catena.context.factory import ForkingFactory, ensure_task_factory
from catena.context.guard import admit
from catena.context.ledger import CallLedger
from catena.context.manifest import ChainManifest, Values
from catena.context.seen import as_seen, look

__all__ = [
    "Baseline",
    "Captured",
    "capture_answer",
    "capture_drive",
    "capture_first",
    "untouched",
]


class Baseline(NamedTuple):
    """What the other side of a call has, as of the call's last frame in either direction.

    ``chain_id`` is the id that frame named; ``written`` tells how this process encoded each value
    that can change in place, empty bytes for one that it could not; ``ledger`` which tokens it was
    told of, None while no token has crossed.
    """

    chain_id: bytes
    state: State
    written: Mapping[Binding, bytes] = NOTHING
    ledger: CallLedger | None = None


class Captured(NamedTuple):
    """A manifest, what the other side has once it has mounted it, and the state it told anew."""

    manifest: ChainManifest
    baseline: Baseline
    told: Known | None = None


class _Ready(NamedTuple):
    """What a link is told of a state that it has carried, unless something was changed in place."""

    state: State
    known: Known
    captured: Captured


_READY = 8


def capture_first(values: Values, carried: Carried | None) -> Captured | None:
    """Return the current chain for the first drive frame of a call; None when it is unarmed.

    ``carried`` is what the link has carried before, None when the peer keeps no states. A value
    that cannot be encoded becomes a ``lost`` entry, with a SerializationWarning. Raises
    ChainContention when somebody else runs the chain, and ChainSerializationError in strict mode
    or when the chain exceeds a limit.
    """
    chain = current.get()
    if chain is None:
        return None
    _, _, thread, task, home, state = chain
    owner = task and task()
    # What admit and ensure_task_factory find out first.
    if (
        owner is None
        or task_of(loop := owner.get_loop()) is not owner
        or thread != get_ident()
        or type(loop.get_task_factory()) is not ForkingFactory
    ):
        if chain is UNMOUNTED:
            return None
        chain = admit(chain)
        ensure_task_factory(chain.task)
        home, state = chain.home, chain.state
    ready: _Ready | None = home.ready.get(carried)
    if (
        ready is not None
        and ready.state is state
        and (known := ready.known).usable
        and (state.fixed or as_seen(state, known.seen, values))
    ):
        captured = ready.captured
    else:
        captured = _whole(chain, values) if carried is None else _named(chain, values, carried)
    return captured if home.ledger is None else _with_tokens(captured, home)


def _named(chain: Chain, values: Values, carried: Carried) -> Captured:
    """Return the chain as its difference from a state that the link has carried."""
    state = chain.state
    known = base = carried.exact(state)
    seen = None
    if known is None or not known.usable:
        base = carried.near(chain.id)
    elif state.fixed or as_seen(state, known.seen, values):
        captured = Captured(
            ChainManifest(chain.id, chain.parent, b"", True, known.number),
            Baseline(chain.id, state, known.written),
        )
        _make_ready(chain, carried, _Ready(state, known, captured))
        return captured
    else:
        seen = look(state, values)
    if base is not None and base is not known and not base.suits(state):
        base = None
    changes = Changes(values, to_worker=True)
    if base is None:
        changes.collect(state, NOTHING, NOTHING)
    elif base is known:
        changes.compare(state, base.written)
    else:
        changes.collect(state, base.bindings, base.written)
    block = changes.block()
    told = None
    if (block or base is None) and not changes.problems and (known is None or known.usable):
        # Were it on its way already, telling it again would only take another number.
        sizes = dict(base.sizes) if base else {}
        told = carried.keep(state, chain.id, changes.written, changes.measure(sizes))
    manifest = ChainManifest(
        chain.id,
        chain.parent,
        block,
        True,
        base.number if base else 0,
        told.number if told else 0,
    )
    if known is not None and base is known and not block and not changes.problems:
        known.seen = seen
    return Captured(manifest, Baseline(chain.id, state, changes.written), told)


def capture_drive(values: Values, baseline: Baseline | None) -> Captured | None:
    """Return the current chain for a later drive frame: what changed since ``baseline``.

    Without a baseline, or when another chain drives than the one that its frame named, the whole
    chain. Returns None and raises as ``capture_first``.
    """
    chain = current.get()
    if chain is None or chain is UNMOUNTED:
        return None
    chain = admit(chain)
    ensure_task_factory(chain.task)
    if baseline is None or baseline.chain_id != chain.id:
        return _with_tokens(_whole(chain, values), chain.home)
    changes = _since(baseline, chain.state, values, to_worker=True)
    manifest = ChainManifest(chain.id, chain.parent, changes.block(), False)
    now = Baseline(chain.id, chain.state, changes.written, baseline.ledger)
    return Captured(*_with_news(manifest, now, chain.home))


def untouched(mounted: Chain | None, values: Values, *, whole: bool) -> bool:
    """Say whether an answer has nothing to tell: then no capture is needed, and no guard either.

    ``mounted`` is the chain that ``mount_named`` put here, None when nothing did; ``whole`` as in
    ``capture_answer``. Whoever sets or resets makes another chain, and what is mounted by name
    cannot change in place, or is looked at here if somebody has read it. Whoever claims a chain
    makes another one, too: this one is still owned by the task that mounted it, which is the one
    that answers, so the guard would let it pass.
    """
    if current.get() is not mounted:
        return False
    if mounted is None:
        return True
    state = mounted.state
    # First the values: one of them may hold the first token that crosses.
    if state.shelf is not None and not unchanged(state.shelf, values.dumps):
        return False
    return not (whole or mounted.home.ledger)


def capture_answer(
    values: Values, baseline: Baseline | None, *, whole: bool = False
) -> tuple[ChainManifest | None, Baseline | None]:
    """Return the current chain for an answer, None when nothing changed since ``baseline``.

    Forward-only variables stay out, variables that were reset here are named. ``whole`` repeats
    what did not change, for a peer that knows no deltas. Raises as ``capture_first``.
    """
    chain = current.get()
    if chain is None:
        return None, None
    _, _, thread, task, home, state = chain
    owner = task and task()
    # What admit finds out first.
    if owner is None or task_of(owner.get_loop()) is not owner or thread != get_ident():
        if chain is UNMOUNTED:
            return None, None
        chain = admit(chain)
        home, state = chain.home, chain.state
    untold = whole or baseline is None or state is not baseline.state or not state.fixed
    if not untold and home.ledger is None:
        return None, baseline
    changes = _since(baseline, state, values, to_worker=False, whole=whole)
    block = changes.block()
    told_id, call = (chain.id, None) if baseline is None else (baseline.chain_id, baseline.ledger)
    manifest = ChainManifest(chain.id, chain.parent, block, whole or baseline is None)
    now = Baseline(told_id, state, changes.written, call)
    manifest, now = _with_news(manifest, now, chain.home)
    says = block or whole or baseline is None or manifest.spent or manifest.live
    return (manifest if says else None), now


def _since(
    baseline: Baseline | None,
    state: State,
    values: Values,
    *,
    to_worker: bool,
    whole: bool = False,
) -> Changes:
    """Return what the other side of a call lacks of a state."""
    changes = Changes(values, to_worker=to_worker)
    if baseline is None:
        changes.collect(state, NOTHING, NOTHING)
    elif state is not baseline.state or whole:
        changes.collect(state, baseline.state.by_key, baseline.written, whole=whole)
    elif not state.fixed:
        changes.compare(state, baseline.written)
    return changes


# Both are asked when the values have been written: one may have held the first token that crossed.


def _with_tokens(captured: Captured, home: Home) -> Captured:
    """Return what a call begins with, together with what it must know of tokens."""
    if home.ledger is None:
        return captured
    spent, live, call = home.ledger.first(here=home.is_here())
    return captured._replace(
        manifest=captured.manifest._replace(spent=spent, live=live),
        baseline=captured.baseline._replace(ledger=call),
    )


def _with_news(
    manifest: ChainManifest, now: Baseline, home: Home
) -> tuple[ChainManifest, Baseline]:
    """Return how a call goes on, together with what its other side does not know of tokens yet."""
    if home.ledger is None:
        return manifest, now
    call = now.ledger or CallLedger()
    spent, live = home.ledger.later(call, here=home.is_here())
    return manifest._replace(spent=spent, live=live), now._replace(ledger=call)


def _make_ready(chain: Chain, carried: Carried, ready: _Ready) -> None:
    home = chain.home
    # Links come and go, and nobody tells the chains of this.
    before: Mapping[object, Any] = home.ready if len(home.ready) < _READY else {}
    home.ready = {**before, carried: ready}


def _whole(chain: Chain, values: Values) -> Captured:
    state = chain.state
    changes = Changes(values, to_worker=True)
    block = state.block
    if block is None:
        changes.collect(state, NOTHING, NOTHING)
        block = changes.block()
        if state.fixed and not changes.problems:
            state.block = block
    return Captured(
        ChainManifest(chain.id, chain.parent, block), Baseline(chain.id, state, changes.written)
    )
