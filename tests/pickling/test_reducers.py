"""Single objects of the standard library: how they go by value, and which cannot."""

from __future__ import annotations

import contextvars
import functools
import io
import linecache
import operator
import sys
import tempfile
import threading
import types
import typing
import weakref
from pathlib import Path
from typing import Any

import pytest

from catena.pickling import pickler
from catena.pickling.blame import locate_unsendable
from tests.pickling.elsewhere import Elsewhere, elsewhere, in_main

__all__ = ["elsewhere"]

FUNCTIONS = """
@functools.cache
def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
@functools.lru_cache(maxsize=3, typed=True)
def square(n): return n * n
@functools.singledispatch
def show(x): return "any"
@show.register
def _(x: int): return "int, not " + show("x")
class Has:
    @functools.cached_property
    def words(self): return ["a"]
    @functools.singledispatchmethod
    def show(self, x): return "any"
    @show.register
    def _(self, x: int): return "int"
    @functools.cache
    def method(self): return 1
    @staticmethod
    @functools.cache
    def static(): return 2
    part = functools.partialmethod(lambda self, a, b: a + b, 1)
"""


def test_what_functools_makes_of_functions(elsewhere: Elsewhere) -> None:
    """D3: caches with their options and empty, dispatchers with what was registered."""
    script = in_main(FUNCTIONS, functools=functools)
    fib, square, show, has = (script[name] for name in ("fib", "square", "show", "Has"))
    assert (fib(30), show(1), show("x")) == (832040, "int, not any", "any")

    def look(fib: Any, square: Any, show: Any, one: Any) -> Any:
        cached = fib.cache_info().currsize, fib(30), square.cache_parameters(), square(3)
        shown = show(1), show("x"), show.__name__, one.show(1), one.show("x")
        return cached, shown, one.words, one.method(), one.static(), one.part(3)

    assert elsewhere.call(look, fib, square, show, has()) == (
        (0, 832040, {"maxsize": 3, "typed": True}, 9),
        ("int, not any", "any", "show", "int", "any"),
        ["a"],
        1,
        2,
        4,
    )
    for one in (fib, square, show):
        assert elsewhere.call(lambda same: same, one) is one


def test_what_typing_makes(elsewhere: Elsewhere) -> None:
    """D3: type variables and new types are the caller's own when they come back."""
    script = in_main(
        "T = typing.TypeVar('T', bound=int)\n"
        "C = typing.TypeVar('C', str, bytes, covariant=True)\n"
        "P = typing.ParamSpec('P')\n"
        "Ts = typing.TypeVarTuple('Ts')\n"
        "User = typing.NewType('User', int)\n"
        "Admin = typing.NewType('Admin', User)\n",
        typing=typing,
    )
    for name in ("T", "C", "P", "Ts", "User", "Admin"):
        one = script[name]
        assert elsewhere.call(lambda same: same, one) is one
        assert elsewhere.call(lambda one: (repr(one), one.__module__), one) == (
            repr(one),
            "__main__",
        )
    bound = elsewhere.call(lambda t, c: (t.__bound__, c.__constraints__), script["T"], script["C"])
    assert bound == (int, (str, bytes))
    assert elsewhere.call(lambda a, u: a.__supertype__ is u, script["Admin"], script["User"])
    of_call: Any = operator.getitem(typing.Callable, (script["P"], int))
    assert elsewhere.call(lambda one: one, of_call) == of_call


ALIASES = """
type Ids = list[int]
type Json = dict[str, Json] | list[Json] | str
type Tree[T] = dict[str, T]
def first[T](items: list[T]) -> T: return items[0]
class Box[T]:
    def __init__(self, item: T): self.item = item
"""


@pytest.mark.parametrize("name", ["Ids", "Json", "Tree", "first", "Box"])
def test_the_type_statement_and_its_parameters(elsewhere: Elsewhere, name: str) -> None:
    """D3: an alias may stand in its own value; before Python 3.12 there is none."""
    if sys.version_info < (3, 12):
        with pytest.raises(SyntaxError):
            in_main(ALIASES)
        return
    one = in_main(ALIASES)[name]

    def look(one: Any) -> Any:
        return str(getattr(one, "__value__", one)).split(" at ")[0], str(one.__type_params__)

    assert elsewhere.call(look, one) == look(one)
    assert elsewhere.call(lambda same: same, one) is one or name in ("Ids", "Json", "Tree")


def test_an_object_that_is_known_by_a_name_of_the_script(elsewhere: Elsewhere) -> None:
    """D3: a mark that says it is a name arrives as one object, and comes back as the own one."""
    script = in_main("class Mark:\n    def __reduce__(self): return 'MARK'\nMARK = Mark()\n")
    mark = script["MARK"]
    one, other, ident = elsewhere.call(lambda one, two: (one, two, one is two), mark, [mark][0])
    assert one is other is mark
    assert ident


def test_weak_dictionaries_go_with_what_is_alive(elsewhere: Elsewhere) -> None:
    """D3: the references themselves cannot be written."""
    key = in_main("class Key: pass\n")["Key"]()
    by_key = weakref.WeakKeyDictionary({key: 1})
    by_value = weakref.WeakValueDictionary({"a": key})
    assert elsewhere.call(lambda d, k: d[k], by_key, key) == 1
    assert elsewhere.call(lambda d, k: d["a"] is k, by_value, key)


def test_code_keeps_its_file_and_its_lines(elsewhere: Elsewhere) -> None:
    """D5: whatever cloudpickle makes of file names."""
    function = in_main("def f(x):\n    return 1 / x\n")["f"]

    def look(function: Any) -> Any:
        code = function.__code__
        return code.co_filename, list(code.co_lines()), code.co_qualname, list(code.co_positions())

    assert elsewhere.call(look, function) == look(function)
    assert linecache.getline("script.py", 1) == ""
    assert pickler.loads(pickler.dumps(function.__code__)) == function.__code__


def test_a_module_that_cannot_be_imported_goes_by_value(elsewhere: Elsewhere) -> None:
    """D3: with what is in it; one that can be is imported, and the main module is refused."""
    module: Any = types.ModuleType("made_up")
    exec("K = 4\ndef f(): return K\n", module.__dict__)
    assert elsewhere.call(lambda m: (m.__name__, m.f()), module) == ("made_up", 4)
    assert elsewhere.call(lambda m: m, module) is module
    assert len(pickler.dumps(functools)) < 100
    with pytest.raises(TypeError, match="the main module"):
        pickler.dumps(sys.modules["__main__"])


_LOCK = threading.Lock()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: _LOCK, "a lock of threading belongs to one process .* make it inside"),
        (threading.RLock, "a RLock of threading"),
        (threading.local, "a local of threading"),
        (lambda: contextvars.ContextVar("who"), r"'who' stays .* catena.ContextVar\('who'\)"),
        (contextvars.copy_context, "contextvars.Context stays"),
        (lambda: sys.__stdin__, "the open file '<stdin>' cannot be sent; send its path"),
    ],
)
def test_what_belongs_to_this_process_is_refused(make: Any, text: str) -> None:
    """D5: with the remedy."""
    with pytest.raises(TypeError, match=text):
        pickler.dumps(make())


@pytest.mark.parametrize("mode", ["r", "rb", "w", "ab", "r+b"])
def test_an_open_file_is_refused(tmp_path: Path, mode: str) -> None:
    """D5: not sent as a copy of its text, which reading and writing would not reach."""
    path = tmp_path / "some.txt"
    path.write_text("text")
    with (
        path.open(mode) as file,
        pytest.raises(TypeError, match=r"the open file .*some.txt.* cannot be sent; send its path"),
    ):
        pickler.dumps(file)
    with tempfile.TemporaryFile("w") as file, pytest.raises(TypeError, match="open file"):
        pickler.dumps([file])


def test_what_only_looks_like_a_file_is_a_value(elsewhere: Elsewhere) -> None:
    """D5: text in memory travels, and the standard output is the other process's own."""
    assert elsewhere.call(lambda file: file.getvalue(), io.StringIO("text")) == "text"
    assert pickler.loads(pickler.dumps(sys.stderr)) is sys.stderr


def test_the_part_that_cannot_be_sent_is_named() -> None:
    """D5: by the way to it, through functions, classes, methods and containers."""
    script = in_main(
        "def helper(): return lock.locked()\n"
        "class Box:\n"
        "    def get(self): return helper()\n"
        "def routine(): return Box().get()\n"
        "def closed(inner):\n"
        "    def f(): return inner\n"
        "    return f\n",
        lock=_LOCK,
    )
    assert locate_unsendable(script["routine"]) == (
        "in global 'Box', attribute 'get', global 'helper', global 'lock': "
    )
    assert locate_unsendable({"a": [1, _LOCK]}) == "in key 'a', item 1: "
    assert locate_unsendable(script["closed"](_LOCK)) == "in variable 'inner': "
    assert locate_unsendable(script["Box"]().get).startswith(
        "in its object, its class, attribute 'get', "
    )
    assert locate_unsendable(_LOCK) == locate_unsendable([1]) == ""
