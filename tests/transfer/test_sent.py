"""Named states on the sender's side: what a link has carried is named and not sent."""

from __future__ import annotations

import contextvars
import gc
import threading
import weakref
from typing import Any

import pytest

import catena
from catena.context.chain import State
from catena.context.ownership import fork_here
from catena.dispatch.payloads import LENIENT
from catena.transfer.capture import capture_drive
from catena.transfer.manifest import EntryKind
from catena.transfer.states.sent import SentStates
from tests.support import variable
from tests.transfer.ends import Link, Scope, entries_of, numbers_of


def test_a_state_is_named_once_it_has_arrived() -> None:
    """M9: until the call that brought it was accepted it is sent again, without another number."""
    var = variable()
    link, caller = Link(), Scope()
    caller.set(var, 1)

    first = link.capture(caller)
    assert numbers_of(first.manifest) == (0, 1)
    again = link.capture(caller)
    assert numbers_of(again.manifest) == (0, 0)
    assert again.manifest.entries == first.manifest.entries

    link.sent.confirm(1)
    for _ in range(3):
        named = link.capture(caller)
        assert (numbers_of(named.manifest), named.manifest.entries) == ((1, 0), b"")


def test_a_state_near_a_known_one_is_sent_as_what_differs() -> None:
    """M9: a set, a reset, and both, against the chain's last state; each makes a state itself."""
    kept, gone, new = variable(), variable(), variable()
    link, caller = Link(), Scope()
    caller.set(kept, 1)
    token = caller.set(gone, 2)
    link.call(caller)

    caller.set(new, 3)
    worker, manifest = link.call(caller)
    assert (numbers_of(manifest), entries_of(manifest).keys()) == ((1, 2), {new.key})
    assert [worker.get(var) for var in (kept, gone, new)] == [1, 2, 3]

    caller.run(gone.reset, token)
    worker, manifest = link.call(caller)
    assert numbers_of(manifest) == (2, 3)
    assert [(one.key, one.kind) for one in LENIENT.unpack(manifest.entries)] == [
        (gone.key, EntryKind.RESET)
    ]
    assert [worker.get(var) for var in (kept, gone, new)] == [1, "unset", 3]
    assert worker.bound == {kept, new}


def test_a_fork_is_sent_as_what_differs_from_another_chain() -> None:
    """M9, C5: a new branch builds on the state that the link has heard of last."""
    var, own = variable(), variable()
    link, caller = Link(), Scope()
    caller.set(var, "x" * 1000)
    link.call(caller)
    child = Scope(caller.context.copy())

    assert caller.chain is not None
    child.run(fork_here, caller.chain)
    child.set(own, 1)
    worker, manifest = link.call(child)

    assert (manifest.base, entries_of(manifest).keys()) == (1, {own.key})
    assert (worker.get(var), worker.get(own)) == ("x" * 1000, 1)
    assert worker.chain is not None
    assert worker.chain.id == manifest.chain_id != caller.chain.id


def test_a_change_in_place_is_sent_against_a_named_state() -> None:
    """C15, M9: the state is the same, the value in it is not."""
    var, other = variable(), variable()
    link, caller = Link(), Scope()
    caller.set(var, [1])
    caller.set(other, [1])
    link.call(caller)

    caller.get(var).append(2)
    worker, manifest = link.call(caller)

    assert (manifest.base, entries_of(manifest).keys()) == (1, {var.key})
    assert (worker.get(var), worker.get(other)) == ([1, 2], [1])
    assert link.call(caller)[1].entries == b""


def _state(*values: Any) -> State:
    scope = Scope()
    for value in values:
        scope.set(variable(), value)
    assert scope.chain is not None
    return scope.chain.state


def test_of_many_states_the_least_recently_used_goes() -> None:
    """M9: a sender is bounded by the number of states, and one that is asked for counts as used."""
    sent = SentStates(states=2)
    first, second, third = _state(1), _state(1), _state(1)
    for state, chain_id in ((first, b"1"), (second, b"2")):
        known = sent.keep_state(state, chain_id, {}, {})
        assert known is not None
        sent.confirm(known.number)
    assert sent.find_exact(first) is not None

    sent.keep_state(third, b"3", {}, {})

    assert len(sent) == 2
    assert sent.find_exact(second) is None
    near = sent.find_near(b"1")
    assert near is not None
    assert near.number == 1
    assert sent.find_near(b"2") is None


def test_large_states_make_room_and_too_large_ones_are_not_kept() -> None:
    """M9: a sender is bounded by bytes too; half of them for one state at the most."""
    sent = SentStates(size=100)
    states = [_state(1) for _ in range(4)]
    key = ("some", "key")

    kept = [sent.keep_state(state, b"%d" % n, {}, {key: 40}) for n, state in enumerate(states)]

    assert len(sent) == 2
    assert [
        one and sent.find_exact(state) is one for one, state in zip(kept, states, strict=True)
    ] == [
        False,
        False,
        True,
        True,
    ]
    assert sent.keep_state(_state(1), b"large", {}, {key: 51}) is None
    assert len(sent) == 2


def test_what_is_forgotten_is_sent_anew_with_other_numbers_of() -> None:
    """M9: after a refusal nothing is named that was sent before, and no number comes twice."""
    link, caller = Link(), Scope()
    caller.set(variable(), 1)
    link.call(caller)
    assert link.capture(caller).manifest.base == 1

    link.sent.clear()

    assert numbers_of(link.capture(caller).manifest) == (0, 2)
    assert len(link.sent) == 1


def test_what_was_sent_keeps_no_value_and_no_variable() -> None:
    """M9, C2: nothing lives longer because it was sent."""

    class Value:
        pass

    sent, caller = SentStates(short=0), Scope()
    var, value = variable(), Value()
    caller.set(var, (value,))
    assert caller.run(capture_drive, LENIENT, None, sent) is not None
    gone = [weakref.ref(var), weakref.ref(value)]
    del caller, var, value
    gc.collect()

    assert [one() for one in gone] == [None, None]
    assert len(sent) == 1


def test_a_state_with_something_lost_in_it_gets_no_name() -> None:
    """M9: both sides would not keep the same."""
    sent, caller = SentStates(), Scope()
    caller.set(variable(), threading.Lock())

    with pytest.warns(catena.SerializationWarning):
        captured = caller.run(capture_drive, LENIENT, None, sent)

    assert captured is not None
    assert (numbers_of(captured.manifest), len(sent)) == ((0, 0), 0)


def test_an_unarmed_context_names_nothing() -> None:
    """C4: where no chain is there is nothing to send."""
    assert contextvars.Context().run(capture_drive, LENIENT, None, SentStates()) is None
