"""Nothing stale: what was changed last is what is captured, and what arrives is what was sent."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from catena.dispatch.values import WIRE
from tests.context.ends import (
    Scope,
    entries_of,
)
from tests.support import variable

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
    """M1: a capture tells the state of now, however often the state before was captured."""
    var, other = variable(), variable()
    caller, worker = Scope(), Scope()
    caller.set(other, value)
    caller.set(var, 1)
    for to_worker in (True, False, True):
        caller.capture(to_worker=to_worker)

    token = caller.set(var, 2)
    assert WIRE.loads(entries_of(caller.capture(to_worker=True))[var.key].value) == 2
    caller.run(var.reset, token)
    assert WIRE.loads(entries_of(caller.capture(to_worker=True))[var.key].value) == 1
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


def test_an_answer_that_changes_nothing_keeps_later_changes_visible() -> None:
    """M3: the same answer again changes nothing, a set in between is undone by it."""
    var = variable()
    caller, worker = Scope(), Scope()
    caller.set(var, 1)
    caller.call(worker)
    answer = worker.capture(to_worker=False)

    for _ in range(3):
        caller.mount(answer, to_worker=False)
        assert caller.get(var) == 1
    caller.set(var, 2)
    caller.mount(answer, to_worker=False)

    assert caller.get(var) == 1
