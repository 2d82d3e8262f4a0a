"""Capture: the current chain as a manifest, and only what the other side does not have of it.

It runs inside the Context it is about and asks the guard first. What the other side has is told by
a baseline: of the call, for every frame but its first; of the link, for a call's first frame.
Bindings tell what was set; what can change in place is encoded once more and compared with how this
process encoded it before. What nobody here was handed cannot have changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from catena.context.carried import Carried, Known
from catena.context.chain import Binding, Chain, State
from catena.context.changes import NOTHING, Changes
from catena.context.current import current
from catena.context.factory import ensure_task_factory
from catena.context.guard import admit
from catena.context.ledger import CallLedger, Ledger
from catena.context.manifest import ChainManifest, Values

__all__ = [
    "Baseline",
    "Captured",
    "capture_answer",
    "capture_drive",
    "capture_first",
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
    """What a link is told of a state that it has carried and that cannot change in place."""

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
    chain = admit(chain)
    ensure_task_factory(chain.task)
    home = chain.home
    ready: _Ready | None = None
    if home.ready is not None and carried is not None:
        ready = home.ready.get(carried)
    if ready is not None and ready.state is chain.state and ready.known.usable:
        captured = ready.captured
    else:
        captured = _whole(chain, values) if carried is None else _named(chain, values, carried)
    # Asked last: a value may have held the first token that ever crossed.
    return captured if home.ledger is None else _with_tokens(captured, home.ledger)


def _named(chain: Chain, values: Values, carried: Carried) -> Captured:
    """Return the chain as its difference from a state that the link has carried."""
    state = chain.state
    known = carried.exact(state)
    if known is not None and known.usable and state.fixed:
        captured = Captured(
            ChainManifest(chain.id, chain.parent, b"", True, known.number),
            Baseline(chain.id, state, known.written),
        )
        _make_ready(chain, carried, _Ready(state, known, captured))
        return captured
    base = known if known is not None and known.usable else carried.near(chain.id)
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
    return Captured(manifest, Baseline(chain.id, state, changes.written), told)


def capture_drive(values: Values, baseline: Baseline | None) -> Captured | None:
    """Return the current chain for a later drive frame: what changed since ``baseline``.

    Without a baseline, or when another chain drives than the one that its frame named, the whole
    chain. Returns None and raises as ``capture_first``.
    """
    chain = current.get()
    if chain is None:
        return None
    chain = admit(chain)
    ensure_task_factory(chain.task)
    if baseline is None or baseline.chain_id != chain.id:
        captured = _whole(chain, values)
        return captured if chain.home.ledger is None else _with_tokens(captured, chain.home.ledger)
    state, changes = chain.state, Changes(values, to_worker=True)
    if state is not baseline.state:
        changes.collect(state, baseline.state.by_key, baseline.written)
    elif not state.fixed:
        changes.compare(state, baseline.written)
    manifest = ChainManifest(chain.id, chain.parent, changes.block(), False)
    now = Baseline(chain.id, state, changes.written, baseline.ledger)
    if chain.home.ledger is not None:
        call = now.ledger or CallLedger()
        spent, live = chain.home.ledger.later(call)
        manifest, now = manifest._replace(spent=spent, live=live), now._replace(ledger=call)
    return Captured(manifest, now)


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
    chain = admit(chain)
    state = chain.state
    still = baseline is not None and state is baseline.state and state.fixed
    if still and not whole and chain.home.ledger is None:
        return None, baseline
    changes = Changes(values, to_worker=False)
    if baseline is None:
        changes.collect(state, NOTHING, NOTHING)
    elif state is baseline.state and not whole:
        changes.compare(state, baseline.written)
    else:
        changes.collect(state, baseline.state.by_key, baseline.written, whole=whole)
    block = changes.block()
    told_id = chain.id if baseline is None else baseline.chain_id
    call = None if baseline is None else baseline.ledger
    manifest = ChainManifest(chain.id, chain.parent, block, whole or baseline is None)
    # Asked now: a value may have held the first token that ever crossed.
    ledger = chain.home.ledger
    if ledger is not None:
        call = call or CallLedger()
        spent, live = ledger.later(call)
        manifest = manifest._replace(spent=spent, live=live)
    now = Baseline(told_id, state, changes.written, call)
    says = block or whole or baseline is None or manifest.spent or manifest.live
    return (manifest if says else None), now


def _with_tokens(captured: Captured, ledger: Ledger) -> Captured:
    """Return what a call begins with, together with what it must know of tokens."""
    spent, live, call = ledger.first()
    return captured._replace(
        manifest=captured.manifest._replace(spent=spent, live=live),
        baseline=captured.baseline._replace(ledger=call),
    )


def _make_ready(chain: Chain, carried: Carried, ready: _Ready) -> None:
    home = chain.home
    if home.ready is None or len(home.ready) >= _READY:
        # Links come and go, and nobody tells the chains of this.
        home.ready = {}
    home.ready[carried] = ready


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
