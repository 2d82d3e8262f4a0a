"""The family of an exception: cause, context, members, and whatever else it holds."""

from __future__ import annotations

import threading
from typing import Any

from tests.remote_exceptions.crossing import Picky, Plain, crossed, raised, said, traceback_of


class Team(ExceptionGroup[Exception]):
    """A group of a class of its own."""

    def derive(self, excs: Any) -> Team:
        """Return a group of the same class for a part of its members."""
        return Team(self.message, excs)


def test_cause_context_and_suppression_travel() -> None:
    """D5: __cause__, __context__ and __suppress_context__ are as they were, all the way down."""
    first, second, last = KeyError("first"), Picky(1, "cause"), Plain("last")
    second.__cause__ = second.__context__ = first
    last.__cause__ = last.__context__ = second
    again = crossed(last)
    assert type(again.__cause__) is Picky
    assert again.__cause__ is again.__context__
    assert again.__suppress_context__
    assert type(again.__cause__.__cause__) is KeyError

    hidden = Plain("x")
    hidden.__context__ = ValueError("y")
    for suppress in (True, False):
        hidden.__suppress_context__ = suppress
        again = crossed(hidden)
        assert type(again.__context__) is ValueError
        assert again.__cause__ is None
        assert again.__suppress_context__ is suppress


def test_a_circle_in_the_context_comes_back_as_a_circle() -> None:
    """D5: each exception of a family is taken apart once, so circles end."""
    one, other = Plain("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    again = crossed(one)
    assert type(again.__context__) is ValueError
    assert again.__context__.__context__ is again


def test_a_long_context_is_cut_and_not_refused() -> None:
    """D5: a chain of hundreds of contexts arrives with its newest ones."""
    first = Plain("0")
    error: Any = first
    for n in range(1, 500):
        error.__context__ = Plain(str(n))
        error = error.__context__
    again, length = crossed(first), 0
    while again is not None:
        assert again.args == (str(length),)
        again, length = again.__context__, length + 1
    assert 30 < length < 500


def test_groups_arrive_with_their_members() -> None:
    """D5: a group is a group of the same class with the same members, nested ones included."""
    inner = Team("inner", [Picky(1, "a"), KeyError("b")])
    inner.add_note("noted")
    again = crossed(ExceptionGroup("outer", [inner, ValueError("c")]))
    assert type(again) is ExceptionGroup
    assert again.message == "outer"
    nested, value = again.exceptions
    assert type(nested) is Team
    assert nested.message == "inner"
    assert [type(one) for one in nested.exceptions] == [Picky, KeyError]
    assert type(value) is ValueError
    assert said(nested) == ["noted"]
    assert type(nested.split(KeyError)[0]) is Team


def test_a_group_of_base_exceptions_stays_one() -> None:
    """D5: BaseExceptionGroup keeps its class and members."""
    again = crossed(BaseExceptionGroup("x", [KeyboardInterrupt(), Plain("y")]))
    assert type(again) is BaseExceptionGroup
    assert [type(one) for one in again.exceptions] == [KeyboardInterrupt, Plain]


def test_a_group_whose_class_cannot_be_pickled_keeps_its_members() -> None:
    """D5: a group degrades to a plain one, and a note names the original."""

    class Local(ExceptionGroup[Exception]):
        lock = threading.Lock()

    again = crossed(Local("x", [Plain("y")]))
    assert type(again) is ExceptionGroup
    assert [type(one) for one in again.exceptions] == [Plain]
    assert any("Local" in note for note in said(again))


def test_a_member_keeps_its_cause_and_its_frames() -> None:
    """D5: members have a family and a remote traceback of their own."""
    member = raised(Plain("x"))
    member.__cause__ = ValueError("y")
    again = crossed(raised(ExceptionGroup("g", [member])))  # type: ignore[list-item]
    (only,) = again.exceptions
    assert type(only.__cause__) is ValueError
    assert traceback_of(only).hops[0].frames[-1][2] == "_raise"
    assert traceback_of(again).hops[0].frames[-1][2] == "_raise"


def test_a_group_raised_again_from_itself_keeps_its_nested_groups() -> None:
    """D5: a nested group that two groups of a family share arrives as a group in both."""
    nested = ExceptionGroup("nested", [Plain("x")])
    first = ExceptionGroup("first", [nested, KeyError("k")])
    second = ExceptionGroup("second", first.exceptions)
    second.__cause__ = first
    again = crossed(second)
    assert type(again.exceptions[0]) is ExceptionGroup
    assert type(again.__cause__.exceptions[0]) is ExceptionGroup
    assert again.__cause__.exceptions[0] is again.exceptions[0]


def test_groups_down_a_long_context_do_not_lose_the_error() -> None:
    """D5: where the family is cut, a group without members is no reason to refuse the whole."""
    first = Plain("first")
    error: BaseException = first
    for n in range(60):
        error.__context__ = ExceptionGroup(str(n), [ValueError(str(n))])
        error = error.__context__
    again = crossed(first)
    assert type(again) is Plain
    assert type(again.__context__.exceptions[0]) is ValueError
