"""Exceptions on the wire: class, facts, family, and where they come from."""

from __future__ import annotations

import asyncio
import importlib
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from catena.errors import NoPool, RemoteError
from catena.wire import codec, failure
from catena.wire.failure import RemoteTraceback


class Plain(Exception):
    """An error without anything of its own."""


class Picky(Exception):
    """An error whose constructor does not take its own args."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


class Mute(Exception):
    """An error that cannot be shown."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Hidden:
    """A value that can neither be pickled nor shown."""

    def __reduce__(self) -> Any:
        raise TypeError("stays here")

    def __repr__(self) -> str:
        raise ValueError("no text")


class Team(ExceptionGroup[Exception]):
    """A group of a class of its own."""

    def derive(self, excs: Any) -> Team:
        """Return a group of the same class for a part of its members."""
        return Team(self.message, excs)


def _crossed(error: BaseException, worker: str = "w1", routine: str = "app.work") -> Any:
    return failure.load(failure.dump(error, worker=worker, routine=routine))


def _raise(error: BaseException) -> None:
    raise error


def _raised(error: BaseException) -> BaseException:
    try:
        _raise(error)
    except BaseException as caught:
        return caught


def _traceback(error: BaseException) -> RemoteTraceback:
    found = [one for one in error.__notes__ if isinstance(one, RemoteTraceback)]
    assert len(found) == 1
    return found[0]


def _said(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", [])
    return [one for one in notes if not isinstance(one, RemoteTraceback)]


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
    again = _crossed(error)
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
    again = _crossed(error)
    assert again.fact == {"a": [1]}
    assert _said(again) == ["first", "second"]


# ---- step two: rebuilt


def test_a_constructor_of_its_own_is_gone_round() -> None:
    """D5: an exception whose constructor refuses its own args is rebuilt without it."""
    again = _crossed(Picky(4, "bad"))
    assert type(again) is Picky
    assert again.args == ("4: bad",)
    assert (again.code, again.reason) == (4, "bad")
    assert any("rebuilt from its class and arguments" in note for note in _said(again))


def test_an_attribute_that_cannot_be_pickled_is_left_out() -> None:
    """D5: a bad attribute costs itself; the note says why."""
    error = Plain("x", 1)
    error.lock, error.fact = threading.Lock(), 5  # type: ignore[attr-defined]
    again = _crossed(error)
    assert type(again) is Plain
    assert again.args == ("x", 1)
    assert again.fact == 5
    assert not hasattr(again, "lock")
    assert any("lock" in note for note in _said(again))


def test_an_argument_that_cannot_be_pickled_is_shown() -> None:
    """D5: a bad argument arrives as its representation, the others as they are."""
    lock = threading.Lock()
    again = _crossed(Plain("x", lock, Hidden()))
    assert type(again) is Plain
    assert again.args == ("x", repr(lock), "<Hidden whose repr raises>")


def test_the_remark_of_a_rebuilt_exception_is_made_once() -> None:
    """D5: a second hop does not repeat what the first one had to say."""
    once = _crossed(Picky(4, "bad"))
    twice = _crossed(once, "w0")
    assert len(_said(once)) == len(_said(twice)) == 1


# ---- step three: replaced


def test_a_class_that_cannot_be_pickled_becomes_a_remote_error() -> None:
    """D5: the last step keeps the original's name and message, and says why."""

    class Local(Exception):
        lock = threading.Lock()

    again = _crossed(Local("the message"))
    assert type(again) is RemoteError
    assert again.type_name.endswith("Local")
    assert again.message == "the message"
    assert "the message" in str(again)
    assert "pickle" in again.step


def test_a_class_that_is_not_there_becomes_a_remote_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D5: a class that the receiver cannot import is named, with its message."""
    (tmp_path / "only_there.py").write_text("class Odd(Exception): pass")
    monkeypatch.syspath_prepend(tmp_path)
    module = importlib.import_module("only_there")
    monkeypatch.setitem(sys.modules, "only_there", module)
    data = failure.dump(_raised(module.Odd("the message")), worker="w1", routine="r")
    monkeypatch.delitem(sys.modules, "only_there")
    (tmp_path / "only_there.py").unlink()
    importlib.invalidate_caches()
    again: Any = failure.load(data)
    assert type(again) is RemoteError
    assert (again.type_name, again.message) == ("only_there.Odd", "the message")
    assert "only_there" in again.step
    assert _traceback(again).hops[0].worker == "w1"


def test_an_exception_that_cannot_be_shown_is_sent_all_the_same() -> None:
    """D5: str and repr that raise hide nothing of the class."""
    assert type(_crossed(Mute("x"))) is Mute

    class Local(Mute):
        lock = threading.Lock()

    again = _crossed(Local("x"))
    assert type(again) is RemoteError
    assert again.message == "<message whose str raises>"


@pytest.mark.parametrize(
    "notes", [None, 5, "text", [3, Hidden()]], ids=["none", "number", "text", "list"]
)
def test_strange_notes_break_nothing(notes: Any) -> None:
    """D5: dumping never fails for a strange exception, whatever is in its __notes__."""
    error = Plain("x")
    error.__notes__ = notes
    assert type(_crossed(error)) is Plain


def test_an_exception_that_pickles_as_something_else_is_rebuilt() -> None:
    """D5: a pickle that yields no exception is not trusted."""
    again = _crossed(Turncoat("x"))
    assert type(again) is Turncoat
    assert again.args == ("x",)
    assert any("its pickle is a int" in note for note in _said(again))


class Turncoat(Exception):
    """An error whose pickle is a number."""

    def __reduce__(self) -> Any:
        return int, ("7",)


# ---- the family


def test_cause_context_and_suppression_travel() -> None:
    """D5: __cause__, __context__ and __suppress_context__ are as they were, all the way down."""
    first, second, last = KeyError("first"), Picky(1, "cause"), Plain("last")
    second.__cause__ = second.__context__ = first
    last.__cause__ = last.__context__ = second
    again = _crossed(last)
    assert type(again.__cause__) is Picky
    assert again.__cause__ is again.__context__
    assert again.__suppress_context__
    assert type(again.__cause__.__cause__) is KeyError

    hidden = Plain("x")
    hidden.__context__ = ValueError("y")
    for suppress in (True, False):
        hidden.__suppress_context__ = suppress
        again = _crossed(hidden)
        assert type(again.__context__) is ValueError
        assert again.__cause__ is None
        assert again.__suppress_context__ is suppress


def test_a_circle_in_the_context_comes_back_as_a_circle() -> None:
    """D5: each exception of a family is taken apart once, so circles end."""
    one, other = Plain("one"), ValueError("other")
    one.__context__, other.__context__ = other, one
    again = _crossed(one)
    assert type(again.__context__) is ValueError
    assert again.__context__.__context__ is again


def test_a_long_context_is_cut_and_not_refused() -> None:
    """D5: a chain of hundreds of contexts arrives with its newest ones."""
    first = Plain("0")
    error: Any = first
    for n in range(1, 500):
        error.__context__ = Plain(str(n))
        error = error.__context__
    again, length = _crossed(first), 0
    while again is not None:
        assert again.args == (str(length),)
        again, length = again.__context__, length + 1
    assert 30 < length < 500


def test_groups_arrive_with_their_members() -> None:
    """D5: a group is a group of the same class with the same members, nested ones included."""
    inner = Team("inner", [Picky(1, "a"), KeyError("b")])
    inner.add_note("noted")
    again = _crossed(ExceptionGroup("outer", [inner, ValueError("c")]))
    assert type(again) is ExceptionGroup
    assert again.message == "outer"
    nested, value = again.exceptions
    assert type(nested) is Team
    assert nested.message == "inner"
    assert [type(one) for one in nested.exceptions] == [Picky, KeyError]
    assert type(value) is ValueError
    assert _said(nested) == ["noted"]
    assert type(nested.split(KeyError)[0]) is Team


def test_a_group_of_base_exceptions_stays_one() -> None:
    """D5: BaseExceptionGroup keeps its class and members."""
    again = _crossed(BaseExceptionGroup("x", [KeyboardInterrupt(), Plain("y")]))
    assert type(again) is BaseExceptionGroup
    assert [type(one) for one in again.exceptions] == [KeyboardInterrupt, Plain]


def test_a_group_whose_class_cannot_be_pickled_keeps_its_members() -> None:
    """D5: a group degrades to a plain one, and a note names the original."""

    class Local(ExceptionGroup[Exception]):
        lock = threading.Lock()

    again = _crossed(Local("x", [Plain("y")]))
    assert type(again) is ExceptionGroup
    assert [type(one) for one in again.exceptions] == [Plain]
    assert any("Local" in note for note in _said(again))


def test_a_member_keeps_its_cause_and_its_frames() -> None:
    """D5: members have a family and a remote traceback of their own."""
    member = _raised(Plain("x"))
    member.__cause__ = ValueError("y")
    again = _crossed(_raised(ExceptionGroup("g", [member])))  # type: ignore[list-item]
    (only,) = again.exceptions
    assert type(only.__cause__) is ValueError
    assert _traceback(only).hops[0].frames[-1][2] == "_raise"
    assert _traceback(again).hops[0].frames[-1][2] == "_raise"


def test_a_group_raised_again_from_itself_keeps_its_nested_groups() -> None:
    """D5: a nested group that two groups of a family share arrives as a group in both."""
    nested = ExceptionGroup("nested", [Plain("x")])
    first = ExceptionGroup("first", [nested, KeyError("k")])
    second = ExceptionGroup("second", first.exceptions)
    second.__cause__ = first
    again = _crossed(second)
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
    again = _crossed(first)
    assert type(again) is Plain
    assert type(again.__context__.exceptions[0]) is ValueError


# ---- the remote traceback


def _inner() -> None:
    raise Plain("deep")


def _outer() -> None:
    _inner()


def test_the_remote_traceback_reads_like_one() -> None:
    """D5: it names the worker and the routine, and shows each frame with its line of source."""
    with pytest.raises(Plain) as caught:
        _outer()
    shown = str(_traceback(_crossed(caught.value, "w7", "app.job")))
    assert shown.startswith("Remote traceback (most recent call last):\n")
    assert "on worker w7, in routine app.job:" in shown
    assert shown.index(", in _outer\n") < shown.index(", in _inner\n")
    assert 'raise Plain("deep")' in shown
    assert f'File "{__file__}"' in shown


def test_hops_are_shown_in_order_and_each_frame_once() -> None:
    """D5: over two hops the note grows instead of being quoted: outermost first, nothing twice."""
    with pytest.raises(Plain) as caught:
        _outer()
    near = _crossed(caught.value, "w1", "app.leaf")

    def relay() -> None:
        raise near

    with pytest.raises(Plain) as again:
        relay()
    note = _traceback(_crossed(again.value, "w0", "app.root"))
    assert [(hop.worker, hop.routine) for hop in note.hops] == [
        ("w0", "app.root"),
        ("w1", "app.leaf"),
    ]
    names = [frame[2] for hop in note.hops for frame in hop.frames]
    assert names[-2:] == ["_outer", "_inner"]
    assert "relay" in names
    places = [frame[:3] for hop in note.hops for frame in hop.frames]
    assert len(places) == len(set(places))
    assert str(note).count('raise Plain("deep")') == 1
    assert str(note).index("w0") < str(note).index("w1")


def _through_us() -> None:
    codec.decode(b"\xff\xff")


@pytest.mark.parametrize(("asked", "ours"), [("", False), ("1", True)])
def test_our_own_frames_are_hidden_unless_asked_for(
    monkeypatch: pytest.MonkeyPatch, asked: str, ours: bool
) -> None:
    """D5: CATENA_FULL_TRACEBACK shows the frames of Catena itself."""
    monkeypatch.setenv("CATENA_FULL_TRACEBACK", asked)
    with pytest.raises(Exception, match="does not parse") as caught:
        _through_us()
    files = [Path(frame[0]).name for frame in _traceback(_crossed(caught.value)).hops[0].frames]
    assert Path(__file__).name in files
    assert ("codec.py" in files) is ours


def test_the_hop_of_an_exception_without_frames_is_named_all_the_same() -> None:
    """D5: whoever sent an exception that was never raised is still told."""
    assert "on worker w1, in routine app.work" in str(_traceback(_crossed(Plain("x"))))


def test_bytes_that_are_no_exception_say_so() -> None:
    """D5: loading raises what unpickling raises, for the caller to wrap."""
    with pytest.raises(Exception, match=r"pickle|EOF|truncated|invalid"):
        failure.load(b"\x80\x05junk")
