"""What single entries may say: limits, keys that occur twice, keys that nobody declared here."""

from __future__ import annotations

import contextvars
import gc
import warnings
from itertools import count
from typing import Any

import pytest

import catena
from catena.context import registry
from catena.dispatch.payloads import LENIENT, values_for
from catena.events import ForwardDropped, KeysUndeclared
from catena.testing import recording
from catena.transfer import decode, diff
from catena.transfer.decode import decode_entries
from catena.transfer.manifest import Entry, EntryKind
from catena.transfer.mount import unmount
from tests.support import isolated, variable
from tests.transfer.ends import (
    BAD,
    Link,
    Scope,
    entries_of,
    lost_of,
    manifest_of,
    reset_of,
    value_of,
)

_numbers = count(1)


def unheard(name: str = "unheard") -> tuple[str, str]:
    """Return a key that nobody has declared."""
    return "tests.decoding", f"{name}{next(_numbers)}"


def stub_of(key: tuple[str, str], value: Any, *, forward: bool = False, **more: Any) -> Entry:
    """Return the entry of a value whose variable nobody has declared here."""
    return Entry(key, EntryKind.VALUE, LENIENT.dumps(value), forward, **more)


def keys_of(scope: Scope) -> dict[tuple[str, str], Any]:
    """Return what is bound, by key."""
    return {var.key: scope.get(var) for var in scope.bound}


def warned(caught: Any) -> list[tuple[Any, str]]:
    """Return key and direction of the warnings."""
    return [(one.message.key, one.message.doing) for one in caught]


# ---- limits


@pytest.mark.parametrize("to_worker", [True, False])
def test_a_manifest_may_bring_so_many_undeclared_variables(
    monkeypatch: pytest.MonkeyPatch, to_worker: bool
) -> None:
    """C12: stubs are capped; each one more costs itself, and what is declared is not counted."""
    monkeypatch.setattr(decode, "STUB_LIMIT", 2)
    keys, declared, scope = [unheard() for _ in range(4)], variable(), Scope()
    entries = [stub_of(key, n) for n, key in enumerate(keys)]

    with pytest.warns(catena.SerializationWarning, match="more than 2 of its") as caught:
        scope.mount(manifest_of(*entries, value_of(declared, "here")), to_worker=to_worker)

    assert warned(caught) == [(keys[2], "read"), (keys[3], "read")]
    assert keys_of(scope) == {keys[0]: 0, keys[1]: 1, declared.key: "here"}
    assert [registry.find(key) is None for key in keys] == [False, False, True, True]


def test_a_value_that_is_too_large_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """M2: it costs that entry, and its bytes are not unpickled."""
    small, large, scope = variable(), variable(), Scope()
    manifest = manifest_of(value_of(large, "x" * 100), value_of(small, "x"))
    monkeypatch.setattr(decode, "VALUE_LIMIT", 50)

    with pytest.warns(catena.SerializationWarning, match="bytes exceed 50") as caught:
        scope.mount(manifest, to_worker=True)

    assert warned(caught) == [(large.key, "read")]
    assert (scope.get(large), scope.get(small)) == ("unset", "x")


def test_a_value_that_is_too_large_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """M9: it counts as one that cannot be written: lost, with a warning."""
    small, large, scope = variable(), variable(), Scope()
    scope.set(small, "x")
    scope.set(large, "x" * 100)
    monkeypatch.setattr(diff, "VALUE_LIMIT", 50)

    with pytest.warns(catena.SerializationWarning, match="bytes exceed 50") as caught:
        entries = entries_of(scope.capture(to_worker=True))

    assert warned(caught) == [(large.key, "sent")]
    assert (entries[large.key].kind, entries[large.key].value) == (EntryKind.LOST, b"")
    assert LENIENT.loads(entries[small.key].value) == "x"


@pytest.mark.parametrize("frame", ["first", "drive", "answer"])
@pytest.mark.parametrize("limit", ["ENTRY_LIMIT", "MANIFEST_LIMIT"])
def test_a_chain_that_is_too_large_is_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, limit: str, frame: str
) -> None:
    """M2: by number of variables and by bytes; nothing changes, and less goes again."""
    scope, link = Scope(), Link()
    scope.set(variable(), 1)
    if frame == "answer":
        scope.mount(manifest_of(whole=False), to_worker=True)
    scope.capture(to_worker=True)
    tokens = [scope.set(variable(), "x" * 20) for _ in range(3)]
    before = scope.chain
    monkeypatch.setattr(diff, limit, 2 if limit == "ENTRY_LIMIT" else 50)
    capture = {
        "first": lambda: link.capture(scope).manifest,
        "drive": scope.capture_drive,
        "answer": lambda: scope.capture(to_worker=False),
    }[frame]

    with pytest.raises(catena.ChainSerializationError, match=r"at most 2|exceed 50") as refused:
        capture()

    assert (refused.value.doing, refused.value.warnings) == ("sent", ())
    assert (scope.chain, len(link.sent)) == (before, 0)
    for token in tokens:
        scope.run(token.var.reset, token)
    assert len(entries_of(capture())) <= 1


# ---- keys


@pytest.mark.parametrize("kind", ["value", "reset", "lost", "bad"])
def test_of_a_key_that_occurs_twice_the_first_counts(kind: str) -> None:
    """M2: whatever the first one says, and also when it is bad itself."""
    var, scope = variable(), Scope()
    scope.set(var, "old")
    first = {
        "value": value_of(var, "first"),
        "reset": reset_of(var),
        "lost": lost_of(var),
        "bad": Entry(var.key, EntryKind.VALUE, BAD),
    }[kind]

    with pytest.warns(catena.SerializationWarning) as caught:
        scope.mount(manifest_of(first, value_of(var, "second"), whole=False), to_worker=True)

    assert warned(caught) == [(var.key, "read")] * (2 if kind == "bad" else 1)
    assert "occurs twice" in str(caught[-1].message)
    assert scope.get(var) == ("first" if kind == "value" else "unset")


@pytest.mark.parametrize("kind", [EntryKind.VALUE, EntryKind.RESET, EntryKind.LOST])
def test_each_forward_entry_of_an_answer_is_dropped_and_counted(kind: EntryKind) -> None:
    """C13: by the policy here or in the entry; a value is not even opened, and on a worker none."""
    here, there = variable(propagate="forward"), variable()
    entries = [Entry(here.key, kind, BAD), Entry(there.key, kind, BAD, forward=True)]
    caller = Scope()
    caller.set(here, "own")

    with recording(ForwardDropped) as recorded:
        caller.mount(manifest_of(*entries), to_worker=False)
        Scope().mount(manifest_of(value_of(here, 1, forward=True)), to_worker=True)

    assert recorded.events == [ForwardDropped(here.key), ForwardDropped(there.key)]
    assert keys_of(caller) == {here.key: "own"}


def test_decoding_binds_nothing() -> None:
    """M2: everything is decoded before a mount changes anything."""
    var, other = variable(), variable()
    context = contextvars.Context()
    entries = [value_of(var, [1]), reset_of(other)]

    found = context.run(decode_entries, entries, LENIENT, to_worker=True)

    assert [(one[0], one[1]) for one in found.bound] == [(var, [1])]
    assert found.unbound == [other]
    assert (found.problems, found.stubs, len(context)) == ([], 0, 0)


# ---- what nobody declared


@pytest.mark.parametrize(("kind", "bound"), [("value", True), ("reset", False), ("lost", False)])
def test_a_key_that_nobody_declared_is_held_as_a_stub(kind: str, bound: bool) -> None:
    """C12: with the value, the default and the policy that travelled, while its chain lives."""
    key, scope = unheard(), Scope()
    entry = stub_of(key, 7, forward=True, default=LENIENT.dumps(1))
    entry = entry._replace(kind=EntryKind[kind.upper()])

    scope.mount(manifest_of(entry), to_worker=True)

    assert keys_of(scope) == ({key: 7} if bound else {})
    stub = registry.find(key)
    assert (stub is not None) == bound
    if stub is not None:
        assert (stub.declared, stub.default, stub.propagate) == (False, 1, "forward")
    del stub, scope
    gc.collect()
    assert registry.find(key) is None


@isolated
def test_a_later_declaration_becomes_the_stub() -> None:
    """C12: the same object, its explicit default and policy win, and it reads what travelled."""
    key, scope = unheard("late"), Scope()
    scope.mount(
        manifest_of(stub_of(key, 7, forward=True, default=LENIENT.dumps(1))), to_worker=True
    )
    stub = registry.find(key)

    declared = catena.ContextVar[int](key[1], namespace=key[0], default=2)

    assert declared is stub
    assert (declared.declared, declared.default, declared.propagate) == (True, 2, "both")
    assert (scope.get(declared), declared.get()) == (7, 2)
    scope.set(declared, 8)
    assert entries_of(scope.capture(to_worker=False)).keys() == {key}


def test_a_declaration_without_a_default_takes_the_one_that_travelled() -> None:
    """C12: and one that was declared first keeps its own, whatever comes."""
    late, early = unheard("late"), variable(default="mine")
    scope = Scope()
    theirs = LENIENT.dumps("theirs")
    scope.mount(
        manifest_of(stub_of(late, 1, default=theirs), stub_of(early.key, 1, default=theirs)),
        to_worker=True,
    )

    declared = catena.ContextVar[str](late[1], namespace=late[0])

    assert (declared.default, early.default) == ("theirs", "mine")


def test_a_default_that_cannot_be_read_goes_on_as_it_came() -> None:
    """C12, V2: without a warning, for who declares the variable brings a default of its own."""
    key, scope = unheard(), Scope()
    with warnings.catch_warnings():
        warnings.simplefilter("error", catena.SerializationWarning)
        scope.mount(manifest_of(stub_of(key, 7, default=BAD)), to_worker=True)

    assert keys_of(scope) == {key: 7}
    assert entries_of(scope.capture(to_worker=True))[key].default == BAD
    assert catena.ContextVar[int](key[1], namespace=key[0], default=2).default == 2


@pytest.mark.parametrize("strict", [False, True])
def test_a_value_that_nobody_here_can_read_goes_on_until_somebody_asks(strict: bool) -> None:
    """V2, M2: bytes of an undeclared variable travel on; who declares and reads it is warned."""
    key, scope = unheard(), Scope(values=values_for(strict=strict))
    bad = Entry(key, EntryKind.VALUE, BAD)
    with warnings.catch_warnings():
        warnings.simplefilter("error", catena.SerializationWarning)
        scope.mount(manifest_of(bad), to_worker=True)
        assert entries_of(scope.capture(to_worker=True)) == {key: bad}
        assert entries_of(scope.capture(to_worker=False)) == {}

    declared = catena.ContextVar[int](key[1], namespace=key[0], default=2)

    with pytest.warns(catena.SerializationWarning) as caught:
        assert scope.get(declared) == "unset"
    assert warned(caught) == [(key, "read")]
    assert entries_of(scope.capture(to_worker=True))[key].value == BAD


# ---- what stays undeclared is announced


def test_keys_that_stay_undeclared_are_announced_once_when_their_chain_ends() -> None:
    """C12: one event with the keys, sorted; those that were declared meanwhile are not in it."""
    keys = [unheard("z"), unheard("a")]
    late = unheard("late")
    manifest = manifest_of(*(stub_of(key, 1) for key in (*keys, late)))
    worker, again, other = Scope(), Scope(), unheard("other")
    worker.mount(manifest, to_worker=True)
    declared = catena.ContextVar[int](late[1], namespace=late[0])

    with recording(KeysUndeclared) as recorded:
        worker.run(unmount)
        worker.run(unmount)
        again.mount(manifest_of(stub_of(keys[0], 1), stub_of(other, 1)), to_worker=True)
        again.run(unmount)

    first, second = recorded.of(KeysUndeclared)
    assert first == KeysUndeclared(manifest.chain_id, tuple(sorted(keys)))
    assert second.keys == (other,)
    assert declared.declared


def test_a_chain_whose_keys_are_all_declared_announces_nothing() -> None:
    """C12: also one that brought a stub and took it away again."""
    key, var, worker = unheard(), variable(), Scope()
    worker.mount(manifest_of(value_of(var, 1)), to_worker=True)
    worker.mount(manifest_of(stub_of(key, 1), whole=False), to_worker=True)
    worker.mount(manifest_of(Entry(key, EntryKind.RESET), whole=False), to_worker=True)

    with recording(KeysUndeclared) as recorded:
        worker.run(unmount)

    assert recorded.events == []


@pytest.mark.parametrize("value", [1, [1]])
def test_undeclared_keys_of_a_named_state_are_announced_too(value: Any) -> None:
    """C12: a call that only names a state has its stubs, those that can change among them."""
    key, link = unheard(), Link()
    link.enter(manifest_of(stub_of(key, value))._replace(name=1))
    worker = link.enter(manifest_of()._replace(base=1))

    with recording(KeysUndeclared) as recorded:
        worker.run(unmount)

    assert [one.keys for one in recorded.of(KeysUndeclared)] == [(key,)]
