"""Nothing stale: what was changed last is what is captured, and what arrives is what was sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from catena.dispatch.payloads import LENIENT
from catena.transfer.capture import capture_answer
from tests.support import variable
from tests.transfer.ends import (
    Scope,
    entries_of,
)

LOOKALIKES = [
    (1, True),
    (1, 1.0),
    (0, False),
    (0.0, -0.0),
    ((1,), (True,)),
    ((1, ("a", 0)), (1, ("a", 0.0))),
    ((0.0,), (-0.0,)),
    ("a", b"a"),
    (math.nan, 0.0),
]


@pytest.mark.parametrize(("old", "new"), [*LOOKALIKES, *(pair[::-1] for pair in LOOKALIKES)])
def test_a_value_that_equals_the_old_one_arrives_all_the_same(old: Any, new: Any) -> None:
    """M3: incoming wins, also where Python calls two different values equal."""
    var = variable()
    caller, worker = Scope(), Scope()
    caller.set(var, old)
    caller.call(worker)
    worker.set(var, new)

    worker.answer(caller)

    assert repr(caller.get(var)) == repr(new)


@pytest.mark.parametrize("value", [1, (1, "a"), [1], {"k": [1]}])
def test_nothing_stale_is_captured(value: Any) -> None:
    """M1: a capture has the state of now, however often the state before was captured."""
    var, other = variable(), variable()
    caller, worker = Scope(), Scope()
    caller.set(other, value)
    caller.set(var, 1)
    for to_worker in (True, False, True):
        caller.capture(to_worker=to_worker)

    token = caller.set(var, 2)
    assert LENIENT.loads(entries_of(caller.capture(to_worker=True))[var.key].value) == 2
    caller.run(var.reset, token)
    assert LENIENT.loads(entries_of(caller.capture(to_worker=True))[var.key].value) == 1
    assert caller.call(worker).get(other) == value


@pytest.mark.parametrize(
    ("wrap", "find"),
    [
        (lambda x: x, lambda x: x),
        (lambda x: (x,), lambda x: x[0]),
        (lambda x: {"in": x}, lambda x: x["in"]),
    ],
)
def test_a_change_in_place_is_seen_at_the_next_capture(
    wrap: Callable[[Any], Any], find: Callable[[Any], Any]
) -> None:
    """C15, M3: a list that is changed between two captures goes out changed, either way."""
    var, items = variable(), [1]
    caller, worker = Scope(), Scope()
    caller.set(var, wrap(items))
    caller.call(worker)

    items.append(2)
    assert caller.call(worker).get(var) == wrap([1, 2])

    find(worker.get(var)).append(3)
    worker.answer(caller)
    assert caller.get(var) == wrap([1, 2, 3])


def test_a_change_in_place_through_a_token_is_seen() -> None:
    """C15: what a token shows is handed out as well, and a reset brings it back."""
    var = variable()
    caller, worker = Scope(), Scope()
    caller.set(var, [1])
    caller.call(worker)

    token = worker.set(var, "meanwhile")
    token.old_value.append(2)
    worker.run(var.reset, token)
    worker.answer(caller)

    assert caller.get(var) == [1, 2]


def test_an_answer_that_changes_nothing_keeps_later_changes_visible() -> None:
    """M3, M9: the same answer again changes nothing, a set in between is undone by it."""
    var = variable()
    caller, worker = Scope(), Scope()
    caller.set(var, 0)
    caller.call(worker)
    worker.set(var, 1)
    answer = worker.capture(to_worker=False)

    for _ in range(3):
        caller.mount(answer, to_worker=False)
        assert caller.get(var) == 1
    caller.set(var, 2)
    caller.mount(answer, to_worker=False)

    assert caller.get(var) == 1


@pytest.mark.parametrize("value", [1, [1], ([1],)])
def test_what_did_not_change_is_not_sent(value: Any) -> None:
    """M9: a step of a stream that changes nothing carries no entry, in neither direction."""
    var = variable()
    caller, worker = Scope(), Scope()
    caller.set(var, value)
    caller.call(worker)

    for _ in range(3):
        worker.get(var)
        worker.answer(caller)
        assert caller.get(var) is value
        drive = caller.capture_drive()
        assert (drive.whole, drive.entries) == (False, b"")
        worker.mount(drive, to_worker=True)
    assert worker.run(capture_answer, LENIENT, worker.serving)[0] is None


def test_a_change_in_the_middle_of_a_call_is_sent_at_the_next_frame() -> None:
    """M9, C15: sets, resets and changes in place, by either side between any two frames."""
    var, other = variable(), variable()
    caller, worker = Scope(), Scope()
    caller.set(var, [0])
    caller.call(worker)

    worker.get(var).append(1)
    worker.answer(caller)
    assert caller.get(var) == [0, 1]
    caller.get(var).append(2)
    token = caller.set(other, "set")
    drive = caller.capture_drive()
    assert entries_of(drive).keys() == {var.key, other.key}
    worker.mount(drive, to_worker=True)
    assert (worker.get(var), worker.get(other)) == ([0, 1, 2], "set")
    worker.answer(caller)
    caller.run(other.reset, token)

    assert caller.drive(worker).get(other) == "unset"


def test_what_changed_while_an_answer_was_under_way_is_sent_at_the_next_step() -> None:
    """M9: an answer is no news of what the caller has done since its last frame."""
    var, other, gone = variable(), variable(), variable()
    caller, worker = Scope(), Scope()
    token = caller.set(gone, 1)
    caller.call(worker)
    worker.set(var, 1)
    caller.set(other, 2)
    caller.run(gone.reset, token)

    worker.answer(caller)
    drive = caller.capture_drive()

    assert entries_of(drive).keys() == {other.key, gone.key}
    worker.mount(drive, to_worker=True)
    assert [worker.get(one) for one in (var, other, gone)] == [1, 2, "unset"]
    assert [caller.get(one) for one in (var, other, gone)] == [1, 2, "unset"]


def test_two_calls_on_one_chain_keep_a_baseline_each() -> None:
    """M9: what one call brought back is sent to the other at its next step."""
    var = variable()
    caller, one, two = Scope(), Scope(), Scope()
    caller.set(var, 1)
    caller.call(one)
    first = caller.calling
    caller.call(two)
    two.set(var, 2)
    two.answer(caller)

    caller.calling = first

    assert caller.drive(one).get(var) == 2


def test_another_chain_that_drives_a_call_sends_everything() -> None:
    """M9: the first frame after the driving chain changed is whole."""
    var = variable()
    caller, other = Scope(), Scope()
    caller.set(var, 1)
    caller.capture(to_worker=True)
    other.set(var, 1)

    other.calling = caller.calling
    assert other.capture_drive().whole
    assert not other.capture_drive().whole
