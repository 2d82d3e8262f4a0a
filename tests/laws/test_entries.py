"""Laws of single entries: how states are merged, and that a bad entry harms no other."""

from __future__ import annotations

import warnings
from itertools import count
from threading import Lock
from typing import Any

from hypothesis import strategies as st

import catena
from catena.context.chain import Binding, State
from catena.dispatch.payloads import LENIENT, STRICT, Wire
from catena.transfer.manifest import Entry, EntryKind
from tests.laws.law import Seen, law
from tests.support import variable
from tests.transfer.ends import (
    BAD,
    ID,
    OTHER,
    Scope,
    entries_of,
    lost_of,
    manifest_of,
    reset_of,
    value_of,
)

WHICH = st.integers(0, 2)
VALUES = st.sampled_from([0, 0.0, "a", (0,), [], ["a"]])
CHANGES = st.dictionaries(WHICH, st.none() | VALUES, min_size=1, max_size=3)
KNOWN = st.dictionaries(WHICH, VALUES, max_size=3)

Change = dict[int, Any]
Var = catena.ContextVar[Any]
_unheard = count(1)


def _after(one: Change, other: Change) -> Change:
    """Return what one change after another comes to; None is a reset."""
    return {**one, **other}


@law(
    KNOWN,
    CHANGES,
    CHANGES,
    floors={
        "bound twice": 20,
        "bound, then unbound": 10,
        "unbound, then bound": 10,
        "survives": 10,
    },
)
def test_merging_states_is_associative_and_idempotent(
    seen: Seen, known: Change, first: Change, second: Change
) -> None:
    """M3: merges in a row are one merge, a merge again changes nothing, and no state changes."""
    variables = [variable() for _ in range(3)]
    bindings = [[Binding() for _ in range(3)] for _ in range(3)]

    def merged(state: State, *changes: tuple[Change, int]) -> State:
        for change, by in changes:
            bound = {variables[n]: bindings[by][n] for n in change if change[n] is not None}
            state = state.merge(bound, [variables[n] for n in change if change[n] is None])
        return state

    start = State({variables[n]: bindings[0][n] for n in known})
    before = dict(start)
    steps = merged(start, (first, 1), (second, 2))
    both = [(first, 1, second.keys()), (second, 2, set[int]())]
    at_once = State(start).merge(
        {
            variables[n]: bindings[by][n]
            for change, by, later in both
            for n in change.keys() - later
            if change[n] is not None
        },
        [variables[n] for n, value in _after(first, second).items() if value is None],
    )

    assert dict(steps) == dict(at_once)
    assert dict(merged(steps, (second, 2))) == dict(steps)
    assert dict(start) == before
    for n in first.keys() & second.keys():
        kinds = first[n] is None, second[n] is None
        seen["bound twice"] += kinds == (False, False)
        seen["bound, then unbound"] += kinds == (False, True)
        seen["unbound, then bound"] += kinds == (True, False)
    seen["survives"] += bool(known.keys() - first.keys() - second.keys())


@law(
    KNOWN,
    CHANGES,
    CHANGES,
    st.booleans(),
    floors={"a worker": 20, "a caller": 20, "unarmed": 5, "a reset": 40, "overlap": 30},
)
def test_mounting_is_associative_and_idempotent_and_the_receiver_keeps_its_id(
    seen: Seen, known: Change, first: Change, second: Change, to_worker: bool
) -> None:
    """M3: frames in a row come to one frame; a live chain keeps its id, another takes the first."""
    variables = [variable() for _ in range(3)]
    seen["a worker" if to_worker else "a caller"] += 1
    seen["a reset"] += None in first.values() or None in second.values()
    seen["overlap"] += bool(first.keys() & second.keys())

    def receiver(*changes: tuple[Change, bytes]) -> tuple[Scope, bytes]:
        scope = Scope()
        for n, value in known.items():
            scope.set(variables[n], value)
        id = ID if scope.chain is None else scope.chain.id
        for change, sender in changes:
            some = [
                reset_of(variables[n]) if value is None else value_of(variables[n], value)
                for n, value in change.items()
            ]
            scope.mount(manifest_of(*some, id=sender, whole=False), to_worker=to_worker)
        assert scope.chain is not None
        assert scope.chain.id == id
        return scope, id

    steps, id = receiver((first, ID), (second, OTHER))
    seen["unarmed"] += id == ID
    shown = [repr(steps.get(var)) for var in variables]

    for scope, _ in (
        receiver((_after(first, second), ID)),
        receiver((first, ID), (second, OTHER), (second, OTHER)),
        receiver((first, ID), (first, ID), (second, OTHER)),
    ):
        assert [repr(scope.get(var)) for var in variables] == shown
        assert scope.bound == steps.bound
    expected = _after(known, _after(first, second))
    assert shown == [
        repr("unset" if expected.get(n) is None else expected[n]) for n in range(len(variables))
    ]


UNDECLARED = ("stub", "huge name", "bad default", "bad stub")
KINDS = ("good", "good", "reset", "lost", "bad", "forward", *UNDECLARED)
ENTRIES = st.lists(st.tuples(st.sampled_from(KINDS), st.booleans()), max_size=8)


def _entry(kind: str, number: int) -> tuple[Entry, Var | None]:
    """Return an entry, and its variable if somebody declared that."""
    unheard = ("law", f"unheard{next(_unheard)}")
    var = variable(propagate="forward" if kind == "forward" else "both")
    value = LENIENT.dumps([number])
    plain = Entry(unheard, EntryKind.VALUE, value)
    made = {
        "reset": reset_of(var),
        "lost": lost_of(var),
        "bad": Entry(var.key, EntryKind.VALUE, BAD),
        "bad default": plain._replace(default=BAD),
        "bad stub": plain._replace(value=BAD),
        "stub": plain._replace(default=LENIENT.dumps(0)),
        "huge name": plain._replace(key=(unheard[0], unheard[1] * 100)),
    }
    entry = made.get(kind, Entry(var.key, EntryKind.VALUE, value, kind == "forward"))
    return entry, var if entry.key == var.key else None


def _warned_of(scope: Scope, act: Any) -> tuple[list[Any], catena.ChainSerializationError | None]:
    """Return the keys that were warned of, and the refusal, if there is one."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            act(scope)
        except catena.ChainSerializationError as error:
            assert caught == []
            return [one.key for one in error.warnings], error
    return [one.message.key for one in caught], None  # type: ignore[union-attr]


@law(
    ENTRIES,
    st.booleans(),
    st.sampled_from([LENIENT, STRICT]),
    examples=200,
    floors={"good ones beside bad ones": 60, "several bad ones": 40, "refused": 40, "twice": 60}
    | dict.fromkeys(UNDECLARED, 15),
)
def test_a_bad_entry_harms_no_other(
    seen: Seen, drawn: list[tuple[str, bool]], to_worker: bool, values: Wire
) -> None:
    """M2, M5: each bad entry is reported, in order, and costs itself; in strict mode, the whole.

    V2: what nobody has declared goes on as it came, whether it can be decoded here or not.
    """
    scope, entries, bad, expected = Scope(values=values), [], [], {}
    scope.set(variable(), "armed")
    for number, (kind, twice) in enumerate(drawn):
        entry, var = _entry(kind, number)
        entries += [entry, entry] if twice else [entry]
        dropped = kind == "forward" and not to_worker
        bad += [entry.key] * ((kind == "bad") + twice)
        seen["twice"] += twice
        if var is not None:
            scope.set(var, "old")
            unbound = kind == "reset" or (to_worker and kind in ("lost", "bad"))
            kept = dropped or kind in ("lost", "bad")
            expected[var] = "unset" if unbound else "old" if kept else [number]
    before = scope.chain

    warned_of, refusal = _warned_of(
        scope, lambda one: one.mount(manifest_of(*entries, whole=False), to_worker=to_worker)
    )

    assert warned_of == bad
    assert (refusal is not None) == (values.strict and bool(bad))
    if refusal is None:
        assert {var: scope.get(var) for var in expected} == expected
        sent = entries_of(scope.capture(to_worker=True))
        for (kind, _), entry in zip(drawn, _firsts(entries), strict=True):
            if kind in UNDECLARED:
                seen[kind] += 1
                assert sent[entry.key] == entry
    else:
        assert scope.chain is before
        assert {scope.get(var) for var in expected} <= {"old"}
    seen["good ones beside bad ones"] += bool(bad) and any(kind == "good" for kind, _ in drawn)
    seen["several bad ones"] += len(bad) > 1
    seen["refused"] += refusal is not None


def _firsts(entries: list[Entry]) -> list[Entry]:
    return list({entry.key: entry for entry in entries}.values())


@law(
    st.lists(st.booleans(), min_size=1, max_size=6),
    st.sampled_from(["first", "drive", "answer"]),
    st.sampled_from([LENIENT, STRICT]),
    floors={"lost": 60, "good ones beside lost ones": 20, "refused": 20, "drive": 15, "answer": 15},
)
def test_a_value_that_cannot_be_written_harms_no_other(
    seen: Seen, some: list[bool], frame: str, values: Wire
) -> None:
    """M2, M5, M9: what cannot be written is sent as lost; in strict mode nothing is sent."""
    scope = Scope(values=values)
    variables = [variable() for _ in some]
    scope.set(variable(), "armed")
    if frame == "answer":
        scope.mount(manifest_of(whole=False), to_worker=True)
    else:
        scope.capture(to_worker=True)
    for var, good in zip(variables, some, strict=True):
        scope.set(var, [1] if good else Lock())
    lost = {var.key for var, good in zip(variables, some, strict=True) if not good}
    sent: list[dict[Any, Entry]] = []

    def act(one: Scope) -> None:
        if frame == "drive":
            sent.append(entries_of(one.capture_drive()))
        else:
            sent.append(entries_of(one.capture(to_worker=frame == "first")))

    warned_of, refusal = _warned_of(scope, act)

    assert set(warned_of) == lost
    assert len(warned_of) == len(lost)
    assert (refusal is not None) == (values.strict and bool(lost))
    assert bool(sent) == (refusal is None)
    for sent_entries in sent:
        assert sent_entries.keys() >= {var.key for var in variables}
        for var, good in zip(variables, some, strict=True):
            entry = sent_entries[var.key]
            assert entry.kind is (EntryKind.VALUE if good else EntryKind.LOST)
            assert not good or LENIENT.loads(entry.value) == [1]
    seen["lost"] += len(lost)
    seen["good ones beside lost ones"] += bool(lost) and any(some)
    seen["refused"] += refusal is not None
    seen[frame] += 1
