"""Exceptions on the wire: by which step each arrives, and that what arrives is right."""

from __future__ import annotations

import asyncio
import importlib
import os
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from catena.errors import ChainContention, ChainSerializationError, NoPool, RemoteError
from catena.pickling import pickler
from catena.remote_exceptions import pickled
from catena.remote_exceptions.native import fields_of
from tests.remote_exceptions.crossing import (
    Hidden,
    Picky,
    Plain,
    crossed,
    raised,
    said,
    traceback_of,
)

BUILTIN = [
    AttributeError("x", name="n", obj=5),
    NameError("x", name="n"),
    ImportError("x", name="n", path="p"),
    OSError(2, "none", "file", None, "other"),
    BlockingIOError(11, "later", 7),
    UnicodeEncodeError("ascii", "\u20ac", 0, 1, "bad"),
    UnicodeTranslateError("\u20ac", 0, 1, "bad"),
    SyntaxError("bad", ("f.py", 1, 2, "a b", 1, 4)),
    StopIteration({"a": 1}),
    SystemExit(["x"]),
]


class Mute(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


# ---- step one: whole


@pytest.mark.parametrize(
    "error",
    [
        Plain("one", 2),
        ValueError("x"),
        KeyError("k"),
        OSError(2, "none", "file"),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        StopIteration(3),
        StopAsyncIteration(),
        KeyboardInterrupt(),
        SystemExit(3),
        GeneratorExit(),
        asyncio.CancelledError("why"),
        TimeoutError(),
        NoPool(routine="a.b"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_exception_is_its_own_class_with_its_args(error: BaseException) -> None:
    """D5: what can be pickled arrives as its own class, BaseExceptions included."""
    again = crossed(error)
    assert type(again) is type(error)
    assert again.args == error.args
    assert str(again) == str(error)
    assert vars(again).keys() - {"__notes__"} == vars(error).keys()


def test_attributes_and_notes_travel() -> None:
    """D5: what was put on an exception stays on it, and its notes keep their order."""
    error = Plain("x")
    error.fact = {"a": [1]}  # type: ignore[attr-defined]
    error.add_note("first")
    error.add_note("second")
    again = crossed(error)
    assert again.fact == {"a": [1]}
    assert said(again) == ["first", "second"]


@pytest.mark.parametrize("error", BUILTIN, ids=lambda error: type(error).__name__)
def test_what_builtin_classes_keep_besides_their_args_travels(error: BaseException) -> None:
    """D5: name, filename, object, code: what a local handler reads, a remote one reads as well."""
    again = crossed(raised(error))
    names = [one.rpartition(".")[2] for one in fields_of(error) | fields_of(again)]
    assert [getattr(again, name, None) for name in names] == [
        getattr(error, name, None) for name in names
    ]
    assert (type(again), again.args, str(again)) == (type(error), error.args, str(error))
    assert said(again) == []


def test_the_object_that_lacks_an_attribute_stays_where_it_is() -> None:
    """D5: as in the standard library; its name travels, and what is as small as a number."""
    with pytest.raises(AttributeError) as caught:
        threading.Lock().name  # type: ignore[attr-defined]  # noqa: B018
    again = crossed(caught.value)
    assert (again.name, again.obj) == ("name", None)
    assert said(again) == []


def test_no_constructor_runs_a_second_time() -> None:
    """D5: a message that a constructor makes is not made again, over two hops either."""
    made = Counted.made
    once = crossed(Counted("bolt"))
    assert Counted.made == made + 1
    again = crossed(once)
    assert Counted.made == made + 1
    assert (str(again), again.args, again.name) == ("no bolt", ("no bolt",), "bolt")


class Counted(Exception):
    """An error that counts its constructions and makes its message."""

    made = 0

    def __init__(self, name: str) -> None:
        super().__init__(f"no {name}")
        self.name = name
        Counted.made += 1


class Slotted(Exception):
    """An error with slots, one of which is never filled."""

    __slots__ = ("code", "unset")

    def __init__(self, code: int) -> None:
        super().__init__("slotted")
        self.code = code

    def __str__(self) -> str:
        return f"code {self.code}"


@dataclass(frozen=True)
class Frozen(Exception):
    """An error that refuses every assignment."""

    code: int


def test_slots_and_frozen_dataclasses_travel() -> None:
    """D5: what has no place among the attributes, or cannot be assigned, arrives all the same."""
    slotted = crossed(Slotted(4))
    assert (type(slotted), slotted.code, str(slotted)) == (Slotted, 4, "code 4")
    assert not hasattr(slotted, "unset")
    frozen = crossed(raised(Frozen(7)))
    assert (type(frozen), frozen.code, frozen.args) == (Frozen, 7, (7,))
    assert said(slotted) == said(frozen) == []


# ---- step one: its class's own way


class Stated(Exception):
    """An error that keeps something to itself when it travels."""

    def __init__(self, user: str, password: str) -> None:
        super().__init__(user)
        self.user, self.password, self.restored = user, password, False

    def __getstate__(self) -> dict[str, Any]:
        return {"user": self.user, "password": None}

    def __setstate__(self, state: dict[str, Any] | None) -> None:
        self.__dict__.update(state or {}, restored=True)


def test_a_way_of_its_own_is_honoured() -> None:
    """D5: __reduce__, __getstate__ and __setstate__ of a class decide what of it travels."""
    stated = crossed(Stated("ann", "secret"))
    assert (stated.user, stated.password, stated.restored) == ("ann", None, True)
    assert stated.args == ("ann",)
    reduced = crossed(Kept(4))
    assert (type(reduced), str(reduced), reduced.via) == (Kept, "code 4", "reduce")
    assert said(stated) == said(reduced) == []


class Kept(Exception):
    """An error whose own pickling adds something."""

    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code

    def __reduce__(self) -> Any:
        return _kept, (self.code,)


def _kept(code: int) -> Kept:
    error = Kept(code)
    error.via = "reduce"  # type: ignore[attr-defined]
    return error


class Doubling(Exception):
    """An error whose own pickling makes the message a second time."""

    def __init__(self, name: str, when: datetime | None = None) -> None:
        super().__init__(f"no {name}")
        self.when = when

    def __reduce__(self) -> Any:
        return Doubling, self.args


class Forgetful(Exception):
    """An error whose own pickling loses what was set later on."""

    def __reduce__(self) -> Any:
        return Forgetful, self.args


def test_a_way_of_its_own_that_is_wrong_is_not_believed() -> None:
    """D5: another text, other arguments or a lost attribute lead to the next step."""
    when = datetime(2026, 1, 2, tzinfo=UTC)
    doubling = crossed(Doubling("bolt", when))
    assert (type(doubling), str(doubling), doubling.when) == (Doubling, "no bolt", when)
    assert any("its pickle has other arguments" in note for note in said(doubling))
    error = Forgetful("x")
    error.tries = 3  # type: ignore[attr-defined]
    forgetful = crossed(error)
    assert (type(forgetful), forgetful.tries) == (Forgetful, 3)
    assert any("attribute 'tries'" in note for note in said(forgetful))


def test_errors_of_ours_keep_their_text_and_leave_a_value_behind() -> None:
    """D5, M5: a contention's tasks travel as texts; the value of a chain's error does not."""
    contention = ChainContention(chain_id="c", kind="task", owner_task=Hidden, task=Hidden)
    again = crossed(contention)
    assert (str(again), said(again)) == (str(contention), [])
    error = ChainSerializationError(cause="bad")
    error.value = 5
    assert crossed(error).value is None


class Renamed(Exception):
    """An error that another text is made of by its own pickling, and by nothing else."""

    def __init__(self, name: str) -> None:
        super().__init__(name)

    def __str__(self) -> str:
        return f"{self.args[0]} in {os.environ['CATENA_TEST_PLACE']}"

    def __reduce__(self) -> Any:
        return Renamed, ("renamed",)


def test_a_way_of_its_own_that_changes_the_text_costs_no_class(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """D5: what is rebuilt without it and has all is kept, the text there is noted."""
    monkeypatch.setenv("CATENA_TEST_PLACE", "there")
    data = pickled.pickle_exception(Renamed("x"), worker="w", routine="r")
    monkeypatch.setenv("CATENA_TEST_PLACE", "here")
    again = pickled.unpickle_exception(data)
    assert (type(again), str(again)) == (Renamed, "x in here")
    assert said(again)[-1] == "(its text there: x in there)"


# ---- step two: rebuilt


def test_a_constructor_of_its_own_is_gone_round() -> None:
    """D5: an exception whose constructor refuses its own args arrives without it."""
    again = crossed(Picky(4, "bad"))
    assert type(again) is Picky
    assert again.args == ("4: bad",)
    assert (again.code, again.reason) == (4, "bad")
    assert said(again) == []


def test_an_attribute_that_cannot_be_pickled_is_left_out() -> None:
    """D5: a bad attribute costs itself; the note says why."""
    error = Plain("x", 1)
    error.lock, error.fact = threading.Lock(), 5  # type: ignore[attr-defined]
    again = crossed(error)
    assert type(again) is Plain
    assert again.args == ("x", 1)
    assert again.fact == 5
    assert not hasattr(again, "lock")
    assert any("lock" in note for note in said(again))


def test_an_argument_that_cannot_be_pickled_is_shown() -> None:
    """D5: a bad argument arrives as its representation, the others as they are."""
    lock = threading.Lock()
    again = crossed(Plain("x", lock, Hidden()))
    assert type(again) is Plain
    assert again.args == ("x", repr(lock), "<Hidden whose repr raises>")


class Odd:
    """A value that can be pickled and cannot be opened."""

    def __reduce__(self) -> Any:
        return int, ("no number",)


class Leaving:
    """A value that ends the process that opens it."""

    def __reduce__(self) -> Any:
        return sys.exit, ("opened",)


@pytest.mark.parametrize("value", [Odd(), Leaving()], ids=["odd", "leaving"])
def test_an_argument_that_cannot_be_opened_is_shown(value: object) -> None:
    """D5: the class is kept, and so is the text, though that quotes the argument."""
    again = crossed(KeyError(value))
    assert type(again) is KeyError
    assert str(again) == str(KeyError(value))
    assert repr(again) == repr(KeyError(value))
    assert any("argument 1: " in note for note in said(again))


class Answer:
    """A value that holds something that can be pickled and something that cannot."""

    def __init__(self, url: str) -> None:
        self.url, self.lock = url, threading.Lock()


class Unread(Exception):
    """An error whose text needs what it holds."""

    def __init__(self, answer: Any) -> None:
        super().__init__("unread")
        self.answer = answer

    def __str__(self) -> str:
        return f"unread: {self.answer.url}"


def test_within_a_value_only_what_cannot_be_pickled_is_shown() -> None:
    """D5: the text that needs the rest of the value is right."""
    again = crossed(Unread(Answer("there")))
    assert (type(again), str(again)) == (Unread, "unread: there")
    assert "lock" in again.answer.lock
    assert any("attribute 'answer'" in note for note in said(again))


class Quoting(Exception):
    """An error whose text quotes something that cannot be pickled."""

    def __init__(self, lock: Any) -> None:
        super().__init__()
        self.lock = lock

    def __str__(self) -> str:
        return f"held: {self.lock}"


def test_an_attribute_is_shown_where_the_text_needs_it() -> None:
    """D5: rather than to lose class or text, an attribute arrives as its representation."""
    lock = threading.Lock()
    again = crossed(Quoting(lock))
    assert type(again) is Quoting
    assert str(again) == f"held: {lock}"


def test_the_remark_of_a_rebuilt_exception_is_made_once() -> None:
    """D5: a second hop does not repeat what the first one had to say."""
    once = crossed(Plain(threading.Lock()))
    twice = crossed(once, "w0")
    assert said(once) == said(twice)
    assert len(said(once)) == 1


# ---- step three: replaced


def test_a_class_that_cannot_be_pickled_becomes_a_remote_error() -> None:
    """D5: the last step keeps the original's name and message, and says why."""

    class Local(Exception):
        lock = threading.Lock()

    again = crossed(Local("the message"))
    assert type(again) is RemoteError
    assert again.type_name.endswith("Local")
    assert again.message == "the message"
    assert "the message" in str(again)
    assert "cannot be sent" in again.step


def test_a_class_that_is_not_there_becomes_a_remote_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: a class that the receiver cannot import is named, with its message."""
    (tmp_path / "only_there.py").write_text("class Odd(Exception): pass")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("only_there")
    monkeypatch.setitem(sys.modules, "only_there", module)
    data = pickled.pickle_exception(raised(module.Odd("the message")), worker="w1", routine="r")
    monkeypatch.delitem(sys.modules, "only_there")
    (tmp_path / "only_there.py").unlink()
    importlib.invalidate_caches()
    again: Any = pickled.unpickle_exception(data)
    assert type(again) is RemoteError
    assert (again.type_name, again.message) == ("only_there.Odd", "the message")
    assert "only_there" in again.step
    assert traceback_of(again).hops[0].worker == "w1"


class Asking(Exception):
    """An error whose text asks what cannot be pickled."""

    def __init__(self, lock: Any) -> None:
        super().__init__()
        self.lock = lock

    def __str__(self) -> str:
        return f"locked: {self.lock.locked()}"


def test_an_exception_that_could_not_be_shown_here_becomes_a_remote_error() -> None:
    """D5: nobody gets an exception whose str raises here and did not there."""
    again = crossed(Asking(threading.Lock()))
    assert type(again) is RemoteError
    assert again.message == "locked: False"
    assert "its text cannot be had here" in again.step


def test_a_text_that_depends_on_the_process_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """D5: where all of an exception has come, another text here is noted, and the class kept."""
    monkeypatch.setenv("CATENA_TEST_PLACE", "there")
    data = pickled.pickle_exception(Placed(4), worker="w", routine="r")
    monkeypatch.setenv("CATENA_TEST_PLACE", "here")
    again = pickled.unpickle_exception(data)
    assert (type(again), str(again)) == (Placed, "here")
    assert said(again) == ["(its text there: there)"]


class Placed(Exception):
    """An error whose text is made from where it is."""

    def __str__(self) -> str:
        return os.environ["CATENA_TEST_PLACE"]


def test_a_long_message_is_cut_in_texts_of_ours_alone() -> None:
    """D5: a message of megabytes arrives whole with its class, and short in a RemoteError."""
    assert crossed(Plain("x" * 3_000_000)).args == ("x" * 3_000_000,)

    class Local(Exception):
        lock = threading.Lock()

    assert len(str(crossed(Local("x" * 3_000_000)))) < 10_000


def test_an_exception_that_cannot_be_shown_is_sent_all_the_same() -> None:
    """D5: str and repr that raise hide nothing of the class."""
    assert type(crossed(Mute("x"))) is Mute

    class Local(Mute):
        lock = threading.Lock()

    again = crossed(Local("x"))
    assert type(again) is RemoteError
    assert again.message == "<no text: ValueError was raised>"


@pytest.mark.parametrize(
    "notes", [None, 5, "text", [3, Hidden()]], ids=["none", "number", "text", "list"]
)
def test_strange_notes_break_nothing(notes: Any) -> None:
    """D5: dumping never fails for a strange exception, whatever is in its __notes__."""
    error = Plain("x")
    error.__notes__ = notes
    assert type(crossed(error)) is Plain


def test_an_exception_that_pickles_as_something_else_is_rebuilt() -> None:
    """D5: a pickle that yields no exception is not trusted."""
    again = crossed(Turncoat("x"))
    assert type(again) is Turncoat
    assert again.args == ("x",)
    assert any("its pickle is a int" in note for note in said(again))


class Turncoat(Exception):
    """An error whose pickle is a number."""

    def __reduce__(self) -> Any:
        return int, ("7",)


def test_bytes_that_are_no_exception_say_so() -> None:
    """D5: loading raises what unpickling raises, for the caller to wrap."""
    with pytest.raises(Exception, match=r"pickle|EOF|truncated|invalid"):
        pickled.unpickle_exception(b"\x80\x05junk")


def test_rows_with_more_fields_than_are_known_are_read() -> None:
    """D5: a newer peer may say more of an exception."""
    rows, parts = pickler.loads(pickled.pickle_exception(Plain("x", 1), worker="w", routine="r"))
    more = [(*row, "new") for row in rows], [(*part, "new") for part in parts], "new"
    again = pickled.unpickle_exception(pickler.dumps(more))
    assert (type(again), again.args) == (Plain, ("x", 1))
