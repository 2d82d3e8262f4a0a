"""Named states on the receiver's side: kept in Contexts of which each call gets a copy."""

from __future__ import annotations

import contextvars
import threading
from typing import Any

import pytest

import catena
from catena.context.chain import UNMOUNTED, current
from catena.context.variable import UNREAD
from catena.dispatch.payloads import LENIENT, STRICT, Wire
from catena.transfer.capture import capture_answer
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from catena.transfer.mount import unmount
from catena.transfer.states import kept as kept_states
from tests.support import variable
from tests.transfer.ends import (
    BAD,
    ID,
    OTHER,
    Link,
    Scope,
    manifest_of,
    numbers_of,
    reset_of,
    value_of,
)


def test_a_mutable_value_is_never_shared_by_two_calls() -> None:
    """M2: each call that names the state opens a mutable value anew."""
    var, fixed = variable(), variable()
    link, caller = Link(), Scope()
    caller.set(var, {"list": []})
    caller.set(fixed, "fixed")
    one, _ = link.call(caller)
    one.get(var)["list"].append("mine")
    two, manifest = link.call(caller)
    three, _ = link.call(caller)

    assert (manifest.base, manifest.entries) == (1, b"")
    two.get(var)["list"].append("two's")
    assert one.get(var) == {"list": ["mine"]}
    assert three.get(var) == {"list": []}
    assert [scope.get(fixed) for scope in (one, two, three)] == ["fixed"] * 3


@pytest.mark.parametrize("value", [[], {}, set(), ([],), bytearray(), object, Scope, frozenset()])
def test_only_what_cannot_change_is_kept_as_an_object(value: Any) -> None:
    """M2: exact str, bytes, int, float, bool, None and tuples of them; nothing else is trusted."""
    fixed, other = variable(), variable()

    kept = Link().keep(
        value_of(fixed, ("s", b"b", 1, 1.0, True, None, ((),))), value_of(other, value)
    )

    assert (set(kept.state), set(kept.lazy)) == ({fixed}, {other})
    assert kept.context.get(current) is UNMOUNTED


def test_a_value_may_become_mutable_and_fixed_again() -> None:
    """M9: under one name after the other, and each state stays what it was."""
    var = variable()
    link, caller = Link(), Scope()
    values: list[Any] = [1, [1], (2,), {"k": []}, None]
    sent: list[ChainManifest] = []
    for value in values:
        caller.set(var, value)
        worker, manifest = link.call(caller)
        assert worker.get(var) == value
        sent.append(manifest)

    assert [numbers_of(one) for one in sent] == [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]
    for n, value in enumerate(values, 1):
        assert link.enter(manifest_of()._replace(base=n)).get(var) == value


@pytest.mark.parametrize("value", [1, [1]])
def test_a_reset_against_a_base_unbinds(value: Any) -> None:
    """M9: what is fixed and what is kept as bytes; the base itself stays as it was."""
    var, link = variable(default="d"), Link()
    link.keep(value_of(var, value))

    worker = link.enter(manifest_of(reset_of(var))._replace(base=1, name=2))

    assert (worker.run(var.get), worker.bound) == ("d", set())
    for number, shown in ((1, value), (2, "unset")):
        assert link.enter(manifest_of()._replace(base=number)).get(var) == shown


def test_a_kept_context_is_copied_for_each_call() -> None:
    """M2: two calls that name one state have its values and each a chain of its own."""
    var, base_var, link = variable(), contextvars.ContextVar[str]("base"), Link()
    link.kept.plain.context.run(base_var.set, "base")
    first = link.enter(manifest_of(value_of(var, 1))._replace(name=1))
    first.set(var, "mine")
    first.run(unmount)

    one = link.enter(manifest_of()._replace(base=1))
    two = link.enter(manifest_of(id=OTHER)._replace(base=1))
    one.set(var, 2)

    assert (one.get(var), two.get(var), two.run(base_var.get)) == (2, 1, "base")
    assert one.chain is not None
    assert two.chain is not None
    assert (one.chain.id, two.chain.id) == (ID, OTHER)
    assert one.run(one.chain.home.is_here)
    assert not two.run(one.chain.home.is_here)
    state = link.base_of(manifest_of()._replace(base=1))
    assert state is not None
    assert state.context.get(current) is UNMOUNTED


def test_a_value_that_cannot_be_read_is_refused_again_by_each_call_that_names_it() -> None:
    """M2, M9: the state is kept with its bytes; a key that occurs twice keeps it from that."""
    var, bad = variable(), variable()
    entries = [value_of(var, 1), Entry(bad.key, EntryKind.VALUE, BAD)]
    link = Link()

    for manifest in (manifest_of(*entries)._replace(name=1), manifest_of()._replace(base=1)):
        with pytest.warns(catena.SerializationWarning) as caught:
            worker = link.enter(manifest)
        assert len(caught) == 1
        assert (worker.get(var), worker.get(bad)) == (1, "unset")
    with pytest.warns(catena.SerializationWarning, match="twice"):
        link.enter(manifest_of(entries[0], entries[0])._replace(name=2))

    assert link.base_of(manifest_of()._replace(base=2)) is None


def test_a_receiver_forgets_the_least_recently_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """M9: by number of states and by bytes; a forgotten number is not known."""
    monkeypatch.setattr(kept_states, "STATES", 1)
    link, var = Link(), variable()
    for n in (1, 2):
        link.enter(manifest_of(value_of(var, n))._replace(name=n))
    assert link.enter(manifest_of()._replace(base=1)).get(var) == 1

    link.enter(manifest_of(value_of(var, 3))._replace(name=3))

    known = [link.base_of(manifest_of()._replace(base=n)) is not None for n in (1, 2, 3, 4)]
    assert known == [True, False, True, False]
    monkeypatch.setattr(kept_states, "STATES_BYTES", 50)
    link.enter(manifest_of(value_of(var, "x"))._replace(name=4))
    known = [link.base_of(manifest_of()._replace(base=n)) is not None for n in (1, 3, 4)]
    assert known == [False, False, True]


@pytest.mark.parametrize(("id", "parent"), [(b"short", b""), (bytes(17), b""), (ID, b"parent")])
def test_a_malformed_id_is_refused_with_a_name_too(id: bytes, parent: bytes) -> None:
    """M2: a known state does not excuse a malformed id."""
    link = Link()
    state = link.keep()
    worker = Scope(state.context.copy())

    with pytest.raises(catena.ChainSerializationError):
        worker.run(link.kept.enter, ChainManifest(id, parent, base=1), state)
    assert worker.chain is None


def test_only_a_first_frame_builds_on_a_state() -> None:
    """M9: a later drive and an answer that name a base are refused before anything changes."""
    var = variable()
    for to_worker in (True, False):
        scope = Scope()
        with pytest.raises(catena.ChainSerializationError, match="first manifest"):
            scope.mount(manifest_of(value_of(var, 1))._replace(base=1), to_worker=to_worker)
        assert (scope.chain, scope.get(var)) == (None, "unset")


@pytest.mark.parametrize("value", [[1], "fixed"])
@pytest.mark.parametrize("values", [LENIENT, STRICT], ids=["lenient", "strict"])
def test_only_in_strict_mode_everything_is_decoded_at_the_mount(value: Any, values: Wire) -> None:
    """C15, M6: elsewhere, what can change is decoded when somebody reads it."""
    var, link = variable(), Link()
    kept = link.keep(value_of(var, value))
    link.kept.values = values

    worker = link.enter(manifest_of()._replace(base=1))

    assert bool(kept.lazy or kept.eager) == (value == [1])
    is_unread = worker.context.get(var.backing) is UNREAD
    assert is_unread == (bool(kept.lazy or kept.eager) and values is LENIENT)
    assert worker.get(var) == value


def test_what_can_change_is_decoded_for_each_call() -> None:
    """C15: two calls that name one state share no value, and what one reads it answers for."""
    var, link = variable(), Link()
    link.keep(value_of(var, [1]))
    one, two = (link.enter(manifest_of()._replace(base=1)) for _ in range(2))

    one.run(var.get).append(2)

    assert two.run(capture_answer, LENIENT, two.serving)[0] is None
    assert (one.get(var), two.get(var)) == ([1, 2], [1])
    sent, _ = one.run(capture_answer, LENIENT, one.serving)
    assert sent is not None
    assert [entry.value for entry in LENIENT.unpack(sent.entries)] == [LENIENT.dumps([1, 2])]


def test_a_named_state_is_mounted_as_one_that_is_sent_whole() -> None:
    """M3, M9: the same values, ids, owner and home; only where they come from differs."""
    var, link = variable(), Link()
    kept = link.keep(value_of(var, 1))
    named = link.enter(ChainManifest(ID, OTHER, base=1))
    whole = link.enter(manifest_of(value_of(var, 1))._replace(parent_id=OTHER))

    for scope in (named, whole):
        assert scope.get(var) == 1
        assert scope.chain is not None
        assert scope.chain[:4] == (ID, OTHER, threading.get_ident(), None)
        assert scope.chain.state.fixed
        assert scope.run(scope.chain.home.is_here)
    assert named.chain is not None
    assert named.chain.state is kept.state


def test_nothing_is_read_before_the_mount() -> None:
    """M8: a kept state's values are an earlier call's, and no one's until a chain is mounted."""
    var, link = variable(default="d"), Link()
    base = link.keep(value_of(var, "earlier"))
    worker = Scope(base.context.copy())

    assert worker.get(var) == "unset"
    assert worker.run(var.get) == "d"
    token = Scope().set(var, 1)
    for act in (lambda: var.set(1), lambda: var.reset(token)):
        with pytest.raises(RuntimeError, match="has not been mounted yet"):
            worker.run(act)
    with pytest.raises(catena.errors.ChainSerializationError):
        worker.run(link.kept.enter, manifest_of(id=b"short")._replace(base=1), base)
    assert worker.run(var.get) == "d"
    assert worker.run(capture_answer, LENIENT, None) == (None, None)

    worker.run(link.kept.enter, manifest_of()._replace(base=1), base)
    assert worker.run(var.get) == "earlier"
