"""Capture: the current chain as a manifest, with only what the other side does not have of it.

The problem: a chain goes along with every frame, in both directions, and most frames change little
of it or nothing. To encode it all each time would cost more than the call.

The idea: each side remembers a *baseline*, what the other side has. For a call's later frames that
is what its last frame left there, in whichever direction it went. For a call's first frame it is a
*state* that the link has carried before, which both ends keep under a number (``states.sent``).
What was set since shows in the bindings, for a set makes a new one; what was changed in place shows
when a value is encoded once more and the bytes differ from those of the last time.

An example, with ``color`` and ``basket`` bound::

    color.set("red"); basket.set([])
    await f()           first frame: color, basket       the link gives the state no number yet
    await f()           first frame: color, basket       sent again, so it becomes state 1
    await f()           first frame: state 1             nothing to encode
    basket.get().append("pear")
    await f()           first frame: state 1, basket     one entry differs
        color.set("blue")                                in the routine
                        answer: color                    the caller has the rest

Each function runs in the Context that it is about, and asks the guard first.
"""

from __future__ import annotations

from catena.context.carried import sources
from catena.context.chain import EMPTY, UNMOUNTED, State, current
from catena.context.guard import admit
from catena.context.home import Home
from catena.context.ledger import CallLedger
from catena.context.tasks.displacement import ensure_task_factory
from catena.transfer.baseline import NOTHING, Baseline, Captured
from catena.transfer.carried import add_carried
from catena.transfer.diff import ManifestDiff
from catena.transfer.manifest import NO_CHAIN, ChainManifest, Values
from catena.transfer.states.plain import PLAIN, PlainStates
from catena.transfer.states.sent import SentStates


def capture_drive(
    values: Values, baseline: Baseline | None, states: SentStates | PlainStates = PLAIN
) -> Captured | None:
    """Return the current chain for a drive frame; None when it is unarmed and nothing is carried.

    A later frame has what changed since ``baseline``. Without one, as in a call's first frame, or
    when another chain drives than the one that its frame named, it is the whole chain, as the
    ``states`` that the link has carried describe it. A value that cannot be encoded becomes a
    ``lost`` entry, with a SerializationWarning. Raises ChainContention when somebody else runs the
    chain, and ChainSerializationError in strict mode or when the chain exceeds a limit.
    """
    chain = current.get()
    if chain is None or chain is UNMOUNTED:
        return _capture_carried(values, baseline, states.root) if sources else None
    chain = admit(chain)
    ensure_task_factory(chain.task)
    if baseline is None or baseline.chain_id != chain.id:
        return _with_tokens(states.describe(chain, values), chain.home, None)
    diff = _changes_since(baseline, chain.state, values, to_worker=True)
    manifest = ChainManifest(chain.id, chain.parent, diff.pack_entries(), False)
    now = Baseline(chain.id, chain.state, diff.written, None, diff.carried)
    captured = Captured(manifest, now)
    return _with_tokens(captured, chain.home, baseline.ledger or CallLedger())


def capture_answer(
    values: Values, baseline: Baseline | None, *, whole: bool = False
) -> tuple[ChainManifest | None, Baseline | None]:
    """Return the current chain for an answer, None when nothing changed since ``baseline``.

    Forward-only variables stay out, variables that were reset here are named. ``whole`` repeats
    what did not change, for a peer that knows no deltas. Raises as ``capture_drive``.
    """
    chain = current.get()
    if chain is None or chain is UNMOUNTED:
        return _answer_carried(values, baseline) if sources else (None, None)
    chain = admit(chain)
    home, state = chain.home, chain.state
    everything = whole or baseline is None or not baseline.chain_id
    is_as_it_was = baseline is not None and state is baseline.state and state.is_untouched
    if is_as_it_was and not whole and home.ledger is None and not sources:
        return None, baseline
    diff = _changes_since(baseline, state, values, to_worker=False, whole=whole)
    block = diff.pack_entries()
    chain_id, call = chain.id, None
    if baseline is not None:
        chain_id, call = baseline.chain_id or chain.id, baseline.ledger
    now = Baseline(chain_id, state, diff.written, call, diff.carried)
    if not (block or everything) and home.ledger is None:
        return None, now
    captured = Captured(ChainManifest(chain.id, chain.parent, block, everything), now)
    manifest, now = _with_tokens(captured, home, call or CallLedger())
    has_news = block or everything or manifest.spent or manifest.live
    return (manifest if has_news else None), now


def capture_fork(values: Values) -> ChainManifest:
    """Return the current chain for code that goes its own way: whole, and without tokens.

    Nothing comes back from there, and no token opens there. Raises as ``capture_drive``.
    """
    chain = current.get()
    if chain is None or chain is UNMOUNTED:
        captured = _capture_carried(values, None, 0) if sources else None
        return NO_CHAIN if captured is None else captured.manifest
    chain = admit(chain)
    ensure_task_factory(chain.task)
    return PLAIN.describe(chain, values).manifest


def _capture_carried(values: Values, baseline: Baseline | None, root: int) -> Captured | None:
    """Return what is carried, for a drive frame without a chain; None when that is nothing."""
    is_whole = baseline is None or bool(baseline.chain_id)
    diff = ManifestDiff(values, to_worker=True)
    add_carried(diff, NOTHING if baseline is None or is_whole else baseline.carried)
    block = diff.pack_entries()
    if is_whole and not block:
        return None
    manifest = ChainManifest(b"", b"", block, is_whole, root)
    return Captured(manifest, Baseline(b"", EMPTY, carried=diff.carried))


def _answer_carried(
    values: Values, baseline: Baseline | None
) -> tuple[ChainManifest | None, Baseline | None]:
    """Return what was bound anew of carried variables, for an answer without a chain."""
    diff = ManifestDiff(values, to_worker=False)
    add_carried(diff, NOTHING if baseline is None else baseline.carried)
    block = diff.pack_entries()
    now = (baseline or Baseline(b"", EMPTY))._replace(carried=diff.carried)
    return (ChainManifest(b"", b"", block, False) if block else None), now


def _changes_since(
    baseline: Baseline | None,
    state: State,
    values: Values,
    *,
    to_worker: bool,
    whole: bool = False,
) -> ManifestDiff:
    """Return what the other side of a call lacks of a state."""
    diff = ManifestDiff(values, to_worker=to_worker)
    if sources:
        add_carried(diff, NOTHING if baseline is None else baseline.carried)
    if baseline is None:
        diff.add_state(state)
    elif state is not baseline.state or whole:
        diff.add_state(state, baseline.state.by_key, baseline.written, whole=whole)
    elif not state.fixed:
        diff.add_changes_in_place(state, baseline.written)
    return diff


def _with_tokens(captured: Captured, home: Home, call: CallLedger | None) -> Captured:
    """Return a frame with what its call's other side must know of tokens; None is a new ``call``.

    Called when the values have been written: one of them may have held the first token to cross.
    """
    if home.ledger is None:
        return captured
    spent, live, call = home.ledger.for_frame(call, here=home.is_here())
    return Captured(
        captured.manifest._replace(spent=spent, live=live),
        captured.baseline._replace(ledger=call),
    )
