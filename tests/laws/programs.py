"""Random programs over chains of calls: sets, resets, changes in place, calls and answers."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

__all__ = ["PROGRAMS", "VALUES", "Step", "mutate"]

Step = tuple[str, int, Any]

# Few values, so that they meet; half of them are equal for Python though they are not the same.
FIXED = st.sampled_from([0, 0.0, -0.0, False, (0,), (0.0,), (-0.0,), (False,), "a", (0, ("a",))])
MUTABLE = st.sampled_from([[], ["a"], {"a": 0}, ([], "a")])
VALUES = st.one_of(FIXED, FIXED, MUTABLE)
# The first is what a failing program shrinks to where a step does not matter.
STEPS = [
    "look",
    *("set", "set", "set", "reset", "change"),
    *("call", "call", "drive", "answer", "answer", "fork"),
    *("ack", "forget"),
]
WHICH = st.integers(0, 2)
ZEROS = st.sampled_from([0, 0.0, -0.0, False, (0.0,), (-0.0,)])


def _story(*steps: tuple[str, Any, Any]) -> st.SearchStrategy[list[Step]]:
    """Return steps in this order, of which some parts are drawn."""
    return st.tuples(*(st.tuples(st.just(kind), which, value) for kind, which, value in steps)).map(
        list
    )


_FIRST, _LAST, _NO = st.just(0), st.just(-1), st.none()
# What single steps come to too seldom: resets that are sent, values that are only equal, changes
# in place that are sent, states that are named with a difference, calls that change nothing until
# one does, a chain that drives another's.
STORIES = (
    _story(
        ("call", _FIRST, _NO),
        ("set", WHICH, VALUES),
        ("answer", _FIRST, _NO),
        ("drive", _FIRST, _NO),
        ("reset", _LAST, _NO),
        ("answer", _FIRST, _NO),
    ),
    _story(
        ("set", WHICH, VALUES),
        ("call", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("reset", _LAST, _NO),
        ("drive", _FIRST, _NO),
        ("answer", _FIRST, _NO),
    ),
    _story(
        ("set", _FIRST, ZEROS),
        *(("call", _FIRST, _NO), ("answer", _FIRST, _NO)) * 4,
        ("reset", _LAST, _NO),
        ("call", _FIRST, _NO),
    ),
    _story(("set", _FIRST, ZEROS), ("call", WHICH, _NO), ("set", _FIRST, ZEROS)),
    _story(
        ("set", _FIRST, MUTABLE),
        ("look", _FIRST, _NO),
        ("change", _FIRST, _NO),
        ("call", _FIRST, _NO),
    ),
    _story(
        ("set", _FIRST, ZEROS),
        ("call", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("set", _FIRST, ZEROS),
        ("drive", _FIRST, _NO),
    ),
    _story(
        ("set", _FIRST, MUTABLE),
        ("call", _FIRST, _NO),
        ("change", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("change", _FIRST, _NO),
        ("drive", _FIRST, _NO),
    ),
    _story(
        ("set", _FIRST, MUTABLE),
        ("call", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("set", WHICH, VALUES),
        ("call", _FIRST, _NO),
        ("change", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("call", _FIRST, _NO),
    ),
    _story(
        ("set", _FIRST, MUTABLE),
        *(("call", _FIRST, _NO), ("answer", _FIRST, _NO)) * 3,
        ("change", WHICH, _NO),
        ("call", _FIRST, _NO),
    ),
    _story(
        ("set", WHICH, VALUES),
        ("call", _FIRST, _NO),
        ("set", WHICH, VALUES),
        ("answer", _FIRST, _NO),
        ("fork", _FIRST, _NO),
        ("drive", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("answer", _FIRST, _NO),
        ("drive", _FIRST, _NO),
    ),
)
ONE = st.tuples(st.sampled_from(STEPS), WHICH, VALUES).map(lambda step: [step])
PROGRAMS = st.lists(
    st.sampled_from([ONE] * 24 + list(STORIES)).flatmap(lambda part: part), min_size=15, max_size=25
).map(lambda parts: [step for part in parts for step in part])


def mutate(value: Any) -> None:
    """Change a value in place, inside of a tuple too; leave alone what cannot change."""
    match value:
        case list():
            value.append("more")
        case dict():
            value["more"] = len(value)
        case tuple() if value:
            mutate(value[0])
        case _:
            pass
