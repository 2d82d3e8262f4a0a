"""Exceptions that resist: each arrives as its class, or by a later step, and nothing is raised."""

from __future__ import annotations

from typing import Any

import pytest

from catena.errors import RemoteError
from catena.remote_exceptions import pickled
from catena.remote_exceptions.native import args_of, attributes_of, context_of, set_context
from tests.remote_exceptions import strange
from tests.remote_exceptions.crossing import crossed, raised


@pytest.mark.parametrize("name", strange.RESISTING)
def test_what_resists_arrives_as_its_class(name: str) -> None:
    """D5: no code of the class stands in the way, over two hops, with and without a traceback."""
    error = strange.RESISTING[name]
    kind = type(error)
    for one in (error, raised(error)):
        once = crossed(one)
        twice = crossed(once, "w0")
        assert type(once) is kind
        assert type(twice) is kind
        assert args_of(twice) == args_of(error)


def test_what_resists_as_a_cause_or_a_member_costs_nobody_else() -> None:
    """D5: the family of a strange exception arrives, and it arrives with its family."""
    for error in strange.RESISTING.values():
        outer = ValueError("outer")
        outer.__cause__ = error
        set_context(error, KeyError("inner"))
        again = crossed(outer)
        assert type(again.__cause__) is type(error)
        assert type(context_of(again.__cause__)) is KeyError
        set_context(error, None)
        if issubclass(type(error), Exception):
            group = crossed(ExceptionGroup("g", [error, KeyError("k")]))  # type: ignore[list-item]
            assert [type(one) for one in group.exceptions] == [type(error), KeyError]


def test_a_class_that_resists_is_named() -> None:
    """D5: where even the class cannot be pickled, its name and the message arrive."""
    again = crossed(strange.Meta("x"))
    assert again.type_name == f"{strange.__name__}.Meta"
    assert again.message == "x"
    assert type(again) is RemoteError


def test_a_thousand_exceptions_in_one_another_end() -> None:
    """D5: very deep families are cut, and nothing recurses until it fails."""
    causes: BaseException = ValueError(0)
    held: BaseException = ValueError(0)
    groups: BaseException = ValueError(0)
    for n in range(3000):
        outer = ValueError(n)
        outer.__cause__, causes = causes, outer
        held = ValueError(held)
        groups = ExceptionGroup(str(n), [groups])  # type: ignore[list-item]
    assert type(crossed(causes)) is type(crossed(held)) is ValueError
    assert type(crossed(groups)) is ExceptionGroup


def test_an_exception_that_holds_itself_arrives_so() -> None:
    """D5: its arguments and its attributes may lead back to it."""
    error = ValueError()
    error.args, error.me = (error,), [error]  # type: ignore[attr-defined]
    again = crossed(error)
    assert again.args[0] is again
    assert again.me[0] is again


def test_attributes_with_strange_names_break_nothing() -> None:
    """D5: an attribute that no assignment could have made costs itself."""
    error = ValueError("x")
    attributes_of(error)[3] = "three"
    error.fact = 5  # type: ignore[attr-defined]
    again = crossed(error)
    assert (again.args, again.fact) == (("x",), 5)


def test_texts_that_no_encoding_can_say_arrive() -> None:
    """D5: lone surrogates and zero bytes are as good as any text."""
    for text in ("\udcff \ud800", "\0"):
        assert crossed(ValueError(text)).args == (text,)


def test_a_class_without_a_module_is_sent_or_named() -> None:
    """D5: a class that was made by hand has a name as well."""
    made: Any = type("Made", (Exception,), {"__module__": None})
    again = pickled.unpickle_exception(pickled.pickle_exception(made("x"), worker="w", routine="r"))
    assert type(again).__name__ in ("Made", "RemoteError")
    assert "x" in str(again)
