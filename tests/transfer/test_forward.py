"""Forward-only variables go to the worker and never come back, and both ends see to it."""

from __future__ import annotations

import pytest

from catena.dispatch.payloads import LENIENT
from catena.transfer.manifest import Entry, EntryKind
from tests.support import variable
from tests.transfer.ends import (
    Scope,
    entries_of,
    manifest_of,
    value_of,
)


def test_a_forward_variable_never_comes_back() -> None:
    """C13: it goes to the worker, and the worker's own value stays there."""
    var, both = variable(propagate="forward"), variable()
    caller, worker = Scope(), Scope()
    caller.set(var, "out")
    caller.set(both, 1)

    assert caller.call(worker).get(var) == "out"
    worker.set(var, "worker")
    worker.set(both, 2)
    answer = worker.capture(to_worker=False)
    caller.mount(answer, to_worker=False)

    assert entries_of(answer).keys() == {both.key}
    assert (caller.get(var), caller.get(both)) == ("out", 2)
    assert worker.call(Scope()).get(var) == "worker"


def test_a_forward_variable_set_and_reset_on_the_worker_sends_nothing() -> None:
    """C13: its reset stays there as well."""
    var = variable(propagate="forward")
    worker = Scope()
    worker.mount(manifest_of(), to_worker=True)
    worker.run(var.reset, worker.set(var, 1))

    assert entries_of(worker.capture(to_worker=False)) == {}


@pytest.mark.parametrize("kind", [EntryKind.VALUE, EntryKind.RESET])
@pytest.mark.parametrize(("here", "there"), [("forward", False), ("both", True), ("forward", True)])
def test_a_forward_entry_in_an_answer_is_dropped(here: str, there: bool, kind: EntryKind) -> None:
    """C13: the receiver holds the policy too, whether it or the entry knows it as forward."""
    var, both = variable(propagate=here), variable()
    caller = Scope()
    caller.set(var, "own")
    entry = Entry(var.key, kind, LENIENT.dumps("theirs"), there)

    caller.mount(manifest_of(entry, value_of(both, 1)), to_worker=False)

    assert (caller.get(var), caller.get(both)) == ("own", 1)
    assert caller.bound == {var, both}


def test_an_entry_carries_its_policy() -> None:
    """C13: the worker learns of a variable it has not declared that it is forward."""
    var, both = variable(propagate="forward"), variable()
    caller = Scope()
    caller.set(var, 1)
    caller.set(both, 1)

    entries = entries_of(caller.capture(to_worker=True))

    assert (entries[var.key].forward, entries[both.key].forward) == (True, False)
    unknown = Entry(("undeclared", "forward"), EntryKind.VALUE, LENIENT.dumps(1), forward=True)
    worker = Scope()
    worker.mount(manifest_of(unknown), to_worker=True)
    assert {stub.propagate for stub in worker.bound} == {"forward"}
    assert entries_of(worker.capture(to_worker=False)) == {}
