"""Manifests and entries that cannot be read or written, and what they cost."""

from __future__ import annotations

import threading
import warnings
from typing import Any

import pytest

import catena
from catena.events import EntryLost
from catena.testing import recording
from catena.transfer.manifest import ChainManifest, Entry, EntryKind
from tests.support import variable
from tests.transfer.ends import (
    BAD,
    ID,
    Scope,
    entries_of,
    lost_of,
    manifest_of,
    reset_of,
    value_of,
)

# ---- bad ones


MALFORMED = {
    "short id": ChainManifest(b"short"),
    "long id": ChainManifest(bytes(17)),
    "one byte too few": ChainManifest(bytes(15)),
    "bad parent": ChainManifest(ID, parent_id=b"parent"),
    "bad entries": ChainManifest(ID, entries=b"\xff\xff\xff\xff"),
    "bad text": ChainManifest(ID, entries=b"\x0a\x04\x0a\x02\xff\xff"),
}


@pytest.mark.parametrize("to_worker", [True, False])
@pytest.mark.parametrize("how", MALFORMED)
def test_a_malformed_manifest_is_refused_before_anything_changes(how: str, to_worker: bool) -> None:
    """M2: always ChainSerializationError, in an unarmed context and on a live chain."""
    var = variable()
    unarmed, armed = Scope(), Scope()
    armed.set(var, 1)
    before = armed.chain

    for scope in (unarmed, armed):
        with pytest.raises(catena.ChainSerializationError, match="could not be read"):
            scope.mount(MALFORMED[how], to_worker=to_worker)

    assert (unarmed.chain, len(unarmed.context)) == (None, 0)
    assert (armed.chain, armed.get(var)) == (before, 1)


@pytest.mark.parametrize("to_worker", [True, False])
def test_a_bad_entry_costs_that_entry(to_worker: bool) -> None:
    """M2: the warning names key, direction and cause; the others survive."""
    bad, good = variable(), variable()
    scope = Scope()
    manifest = manifest_of(Entry(bad.key, EntryKind.VALUE, BAD), value_of(good, 1))

    with (
        recording(EntryLost) as recorded,
        pytest.warns(catena.SerializationWarning) as caught,
    ):
        scope.mount(manifest, to_worker=to_worker)

    (warning,) = (one.message for one in caught)
    assert isinstance(warning, catena.SerializationWarning)
    assert (warning.key, warning.doing) == (bad.key, "read")
    assert "UnpicklingError" in warning.cause
    assert recorded.of(EntryLost) == [EntryLost(bad.key, sending=False, cause=warning.cause)]
    assert (scope.get(bad), scope.get(good)) == ("unset", 1)


@pytest.mark.parametrize("to_worker", [True, False])
def test_of_a_repeated_key_the_first_wins(to_worker: bool) -> None:
    """M2: with a warning that says so."""
    var = variable()
    scope = Scope()

    with pytest.warns(catena.SerializationWarning, match="occurs twice"):
        scope.mount(
            manifest_of(value_of(var, "first"), value_of(var, "second"), reset_of(var)),
            to_worker=to_worker,
        )
    assert scope.get(var) == "first"


# ---- lost on the way


def lossy_caller() -> tuple[Scope, Any, Any]:
    """Return a caller whose first variable has a value that cannot be pickled."""
    lost, kept = variable(), variable()
    caller = Scope()
    caller.set(lost, threading.Lock())
    caller.set(kept, 1)
    return caller, lost, kept


def test_a_value_that_cannot_be_written_is_lost_with_a_warning() -> None:
    """M9, M2: a lost entry and one warning (key, direction, cause) at each capture."""
    caller, lost, kept = lossy_caller()

    for _ in range(2):
        with (
            recording(EntryLost) as recorded,
            pytest.warns(catena.SerializationWarning) as caught,
        ):
            entries = entries_of(caller.capture(to_worker=True))
        (warning,) = (one.message for one in caught)
        assert isinstance(warning, catena.SerializationWarning)
        assert (warning.key, warning.doing) == (lost.key, "sent")
        assert "lock" in warning.cause
        assert recorded.of(EntryLost) == [EntryLost(lost.key, sending=True, cause=warning.cause)]
        assert (entries[lost.key].kind, entries[lost.key].value) == (EntryKind.LOST, b"")
        assert entries[kept.key].kind is EntryKind.VALUE


@pytest.mark.parametrize("how", ["lost", "unreadable"])
def test_a_lost_entry_unbinds_on_the_worker_and_is_not_reported_back(how: str) -> None:
    """M9: worker-bound it unbinds, and the caller keeps its value when the answer comes."""
    lost, kept = variable(), variable()
    caller, worker = Scope(), Scope()
    caller.set(lost, "mine")
    worker.mount(manifest_of(value_of(lost, "earlier")), to_worker=True)
    entry = lost_of(lost) if how == "lost" else Entry(lost.key, EntryKind.VALUE, BAD)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        worker.mount(manifest_of(entry, value_of(kept, 1)), to_worker=True)
    assert worker.get(lost) == "unset"
    assert entries_of(worker.capture(to_worker=False)) == {}
    worker.set(kept, 2)
    worker.answer(caller)

    assert (caller.get(lost), caller.get(kept)) == ("mine", 2)


@pytest.mark.filterwarnings("ignore::catena.SerializationWarning")
def test_what_the_worker_sets_in_place_of_a_lost_value_comes_back() -> None:
    """M9: a set on the worker is news like any other."""
    caller, lost, _ = lossy_caller()
    worker = caller.call(Scope())

    worker.set(lost, "set")
    worker.answer(caller)

    assert caller.get(lost) == "set"


@pytest.mark.filterwarnings("ignore::catena.SerializationWarning")
def test_a_lost_value_survives_a_set_that_the_worker_undid() -> None:
    """M9: a set and its reset on the worker leave the caller's variable as it was."""
    caller, lost, _ = lossy_caller()
    value = caller.get(lost)
    worker = caller.call(Scope())

    worker.run(lost.reset, worker.set(lost, "for a while"))
    worker.answer(caller)

    assert caller.get(lost) is value


@pytest.mark.parametrize("how", ["lost", "unreadable"])
def test_on_an_answer_a_lost_entry_keeps_what_the_caller_had(how: str) -> None:
    """M9: the caller's value stays bound, and goes out again with the next call."""
    lost = variable()
    caller = Scope()
    caller.set(lost, "mine")
    entry = lost_of(lost) if how == "lost" else Entry(lost.key, EntryKind.VALUE, BAD)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        caller.mount(manifest_of(entry), to_worker=False)

    assert caller.get(lost) == "mine"
    assert caller.call(Scope()).get(lost) == "mine"
