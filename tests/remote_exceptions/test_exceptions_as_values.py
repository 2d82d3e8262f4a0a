"""Exceptions as values: results, arguments, members of containers, what other exceptions hold."""

from __future__ import annotations

import threading
from typing import Any

from catena.errors import RemoteError
from catena.pickling import pickler
from tests.remote_exceptions import strange
from tests.remote_exceptions.crossing import Picky, Plain, crossed, raised, traceback_of


def _handed(value: Any) -> Any:
    return pickler.loads(pickler.dumps(value))


def test_an_exception_in_a_list_is_the_exception_that_it_was() -> None:
    """D5: what gather(return_exceptions=True) yields has its class, args, text and attributes."""
    cause = KeyError("k")
    error = Picky(503, "full")
    error.__cause__ = cause
    error.add_note("noted")
    first, again, last = _handed(["a", error, "c"])
    assert (first, last) == ("a", "c")
    assert (type(again), again.args, str(again)) == (Picky, error.args, str(error))
    assert (again.code, again.reason) == (503, "full")
    assert type(again.__cause__) is KeyError
    assert again.__notes__ == ["noted"]


def test_one_bad_exception_costs_the_others_nothing() -> None:
    """D5: in a list of exceptions that resist, each arrives for itself."""
    errors = list(strange.RESISTING.values())
    again = _handed([*errors, {"last": Plain(threading.Lock())}])
    assert [type(one) for one in again[:-1]] == [type(one) for one in errors]
    assert type(again[-1]["last"]) is Plain

    class Local(Exception):
        lock = threading.Lock()

    replaced, plain = _handed([Local("the message"), Plain("x")])
    assert (type(replaced), replaced.message) == (RemoteError, "the message")
    assert plain.args == ("x",)


def test_a_value_that_was_raised_says_where() -> None:
    """D5: a traceback cannot travel, its text can; an exception that was never raised has none."""
    again = _handed(raised(Plain("x")))
    (hop,) = traceback_of(again).hops
    assert (hop.routine, hop.frames[-1][2]) == ("", "_raise")
    assert f"in process {hop.worker}:" in traceback_of(again)
    assert not hasattr(_handed(Plain("x")), "__notes__")


def test_the_same_exception_twice_is_one_exception() -> None:
    """D5: as any value that is held in two places."""
    error = Plain("x")
    one, other = _handed([error, error])
    assert one is other


def test_what_an_exception_holds_twice_is_one_object() -> None:
    """D5: an attribute that is an argument as well, or another exception's, stays the same."""
    shared = {"a": [1]}
    error, other = Plain(shared), Plain("other")
    error.data = other.data = shared  # type: ignore[attr-defined]
    error.other = error.__context__ = other  # type: ignore[attr-defined]
    for again in (crossed(error), _handed(error)):
        assert again.data is again.args[0] is again.other.data
        assert again.other is again.__context__


class Holder:
    """A value that holds exceptions, which hold it."""

    def __init__(self) -> None:
        self.errors: list[Any] = []


def test_a_value_and_its_exceptions_may_hold_each_other() -> None:
    """D5: circles through an exception end."""
    holder = Holder()
    error = Plain("x")
    error.holder = holder  # type: ignore[attr-defined]
    holder.errors.append(error)
    (again,) = _handed(holder).errors
    assert again.holder.errors == [again]


def test_a_class_may_hold_exceptions_of_itself() -> None:
    """D5: a class that travels by value takes its own instances along."""

    class Local(Exception):
        default: Any = None

    Local.default = Local("default")
    again = crossed(Local("x"))
    assert type(again).__name__ == "Local"
    assert type(again.default) is type(again)
    assert again.default.args == ("default",)
