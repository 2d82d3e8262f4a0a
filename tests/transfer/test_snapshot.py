"""Changes in place are found by one look at all values, and sent as what they are."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from typing import Any

import pytest

import catena
from catena.context.ownership import fork_here
from catena.dispatch.payloads import LENIENT
from catena.transfer.states.snapshot import is_flat
from tests.support import variable
from tests.transfer.ends import Link, Scope, entries_of


class Own:
    """A value that is not built in."""

    def __init__(self) -> None:
        self.items: list[Any] = []


def seen(*values: Any) -> tuple[Link, Scope, list[catena.ContextVar[Any]]]:
    """Return a link on which two calls sent these values, and a third one only their name."""
    variables = [variable() for _ in values]
    link, caller = Link(), Scope()
    for var, value in zip(variables, values, strict=True):
        caller.set(var, value)
    for _ in range(3):
        _, manifest = link.call(caller)
    assert (manifest.base, manifest.entries) == (1, b"")
    return link, caller, variables


def _alias(value: dict[str, Any]) -> None:
    value["b"] = value["a"]


def _swap(value: dict[str, Any]) -> None:
    value["a"] = value.pop("a")


CHANGES: dict[str, tuple[Any, Callable[[Any], object]]] = {
    "something new": ([1], lambda value: value.append(2)),
    "equal, but of another type": ([1], lambda value: value.__setitem__(0, True)),
    "equal, but of another sign": ([0.0], lambda value: value.__setitem__(0, -0.0)),
    "a key of another type": ({1: 2}, lambda value: (value.clear(), value.update({True: 2}))),
    "the order of keys": ({"a": 1, "b": 2}, _swap),
    "deep inside": ({"a": [{"b": []}]}, lambda value: value["a"][0]["b"].append(1)),
    "inside of a tuple": (([],), lambda value: value[0].append(1)),
    "a list that was flat": ([1, 2], lambda value: value.__setitem__(0, [])),
    "a list that holds itself": ([1], lambda value: value.append(value)),
    "bytes": (bytearray(b"a"), lambda value: value.extend(b"b")),
    "an object of its own": (Own(), lambda value: value.items.append(1)),
    "what is not built in": ([1], lambda value: value.append(Own())),
    "one object in two places": ({"a": [], "b": []}, _alias),
}


@pytest.mark.parametrize("which", CHANGES)
def test_a_change_is_found_after_calls_that_changed_nothing(which: str) -> None:
    """C15: whatever changed, its variable is sent and no other one; then it is known again."""
    value, change = CHANGES[which]
    value = pickle.loads(pickle.dumps(value))
    link, caller, (var, other) = seen(value, [0])

    change(value)
    worker, manifest = link.call(caller)

    assert entries_of(manifest).keys() == {var.key}
    assert LENIENT.dumps(worker.get(var)) == LENIENT.dumps(value)
    assert worker.get(other) == [0]
    for _ in range(3):
        assert link.call(caller)[1].entries == b""


def test_one_object_in_two_places_stays_one_after_a_change_of_neither() -> None:
    """C15: a value that was flat, and is no longer, is looked at as what it is."""
    value: list[Any] = [1, 2]
    link, caller, (var,) = seen(value)
    value[:] = [[], []]
    for _ in range(3):
        link.call(caller)

    value[1] = value[0]
    worker, _ = link.call(caller)

    one, two = worker.get(var)
    assert one is two


@pytest.mark.parametrize("value", [[1], {"a": (1, "b")}, {1}, bytearray(b"a")], ids=repr)
def test_what_holds_nothing_that_can_change_is_flat(value: Any) -> None:
    """C15: only there it does not matter what is shared."""
    assert is_flat(value)


@pytest.mark.parametrize("value", [[[]], {"a": {}}, ([],), {(1, Own()): 1}, Own(), 1], ids=repr)
def test_what_holds_something_that_can_change_is_not_flat(value: Any) -> None:
    """C15: nor is what nobody knows."""
    assert not is_flat(value)


def test_a_fork_that_has_sent_nothing_yet_names_what_its_parent_sent() -> None:
    """C7, C15: one look is enough there too, and it finds what changed."""
    link, caller, (var,) = seen([1])
    chain = caller.chain
    assert chain is not None
    fork, late = Scope(caller.context.copy()), Scope(caller.context.copy())
    fork.run(fork_here, chain)
    late.run(fork_here, chain)

    assert link.call(fork)[1].entries == b""
    fork.get(var).append(2)

    for scope in (late, caller):
        worker, _ = link.call(scope)
        assert worker.get(var) == [1, 2]


def test_what_cannot_be_written_any_more_is_sent_as_lost_once() -> None:
    """M6, C15: and what comes instead is sent again."""
    value: list[Any] = [1]
    link, caller, (var,) = seen(value)

    value.append(threading.Lock())
    with pytest.warns(catena.SerializationWarning):
        worker, _ = link.call(caller)
    assert worker.get(var) == "unset"
    value.pop()
    worker, _ = link.call(caller)

    assert worker.get(var) == [1]


def test_a_call_binds_what_it_reads() -> None:
    """C15: values that nobody reads have no bindings of their own until somebody sets or asks."""
    link, caller, variables = seen(*([n] for n in range(5)))
    worker, _ = link.call(caller)
    chain = worker.chain
    assert chain is not None
    assert chain.state.lazy is not None

    assert worker.get(variables[3]) == [3]
    assert chain.state.lazy.bindings.keys() == {variables[3]}
    fork = Scope(worker.context.copy())
    fork.run(fork_here, chain)
    fork.set(variables[0], "other")

    assert fork.chain is not None
    for var in variables[1:]:
        assert fork.chain.state[var] is chain.state[var]
        assert fork.get(var) is worker.get(var)
    assert (worker.get(variables[0]), fork.get(variables[0])) == ([0], "other")
