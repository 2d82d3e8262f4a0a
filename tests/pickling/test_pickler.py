"""How Python objects become bytes."""

from __future__ import annotations

import collections
import contextlib
import json
import operator
import pickle
import sys
import threading
import types
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import catena
from catena.pickling import pickler, references
from tests.pickling.elsewhere import Elsewhere, elsewhere

__all__ = ["elsewhere"]

VARIABLE: catena.ContextVar[int] = catena.ContextVar("serializer", namespace="tests.wire")


@catena.routine
async def far(x: int) -> int:
    """Return what it was given."""
    return x


class Importable:
    """A class that a worker imports."""

    def method(self) -> int:
        """Return a number."""
        return 1


class _Attributes(dict[str, Any]):
    """The usual short cut: attributes are keys, and a missing one is a KeyError."""

    def __getattr__(self, name: str) -> Any:
        return self[name]


class _Eager:
    """A remote object's stub: every attribute is a function that would call far away."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__catena_reduce__":
            raise AttributeError(name)
        return lambda: (int, ("7",))


def test_shared_and_circular_builtins_stay_shared() -> None:
    """D5: the memo of the quick pickler works within one dump and is forgotten after it."""
    shared = [1]
    circle: list[Any] = [shared, shared]
    circle.append(circle)
    for _ in range(3):
        one, other, again = back = pickler.loads(pickler.dumps(circle))
        assert one is other
        assert again is back
    assert pickler.dumps(shared) == pickler.dumps([1])


def test_a_large_value_is_whole() -> None:
    """D5: what pickle writes in several chunks arrives as one."""
    value = [b"x" * 300_000, "y" * 200_000, list(range(50_000))]
    assert pickler.loads(pickler.dumps(value)) == value


@pytest.mark.parametrize(
    "obj",
    [json.dumps, len, operator.add, collections.OrderedDict, Importable, Importable.method, far],
    ids=repr,
)
def test_importable_callables_go_by_reference(obj: Any) -> None:
    """D3: what can be imported costs tens of bytes and arrives as the same object."""
    data = pickler.dumps(obj)
    assert len(data) < 100
    assert pickler.loads(data) is obj


def test_a_reference_names_what_importing_yields() -> None:
    """D3: a reference is given when importing it yields this very object."""
    assert references.find_reference(json.dumps) == "json:dumps"
    assert references.find_reference(Importable.method) == f"{__name__}:Importable.method"
    assert references.load_reference(f"{__name__}:Importable.method") is Importable.method


def test_what_importing_does_not_yield_has_no_reference() -> None:
    """D3: closures, the main module's objects and shadowed names have no reference."""

    def local() -> None: ...

    shadowed = types.FunctionType(local.__code__, {}, "dumps")
    shadowed.__module__, shadowed.__qualname__ = "json", "dumps"
    in_main = types.FunctionType(local.__code__, {}, "f")
    in_main.__module__, in_main.__qualname__ = "__main__", "f"
    for one in (local, lambda: 0, shadowed, in_main, 5, "text"):
        assert references.find_reference(one) is None


def test_what_cannot_be_resolved_says_so() -> None:
    """D3: a reference to what is not there is an ImportError or an AttributeError."""
    with pytest.raises(ModuleNotFoundError):
        references.load_reference("no_such_module:f")
    with pytest.raises(AttributeError):
        references.load_reference("json:no_such_name")


def test_lambdas_and_closures_go_by_value(elsewhere: Elsewhere) -> None:
    """D3: a function that cannot be imported brings its code and what it closes over."""
    base = 40

    def add(x: int) -> int:
        return base + x

    for function in (add, lambda x: base + x):
        assert elsewhere.call(function, 2) == 42


def test_objects_of_the_main_module_go_by_value(elsewhere: Elsewhere) -> None:
    """D3: a class and a function of __main__ work in a process whose main module lacks them."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    source = "class Box:\n    def __init__(self, x): self.x = x\ndef make(x): return Box(x)\n"
    exec(source, scope)
    make, box = scope["make"], scope["Box"]

    def look(make: Any, box: Any) -> Any:
        return (
            box.x,
            make(2).x,
            isinstance(make(3), type(box)),
            "Box" in vars(sys.modules["__main__"]),
        )

    assert elsewhere.call(look, make, box(1)) == (1, 2, True, False)


def test_a_variable_arrives_as_the_same_object() -> None:
    """C11: through Catena's pickler a variable is the registered one, wherever it is held."""
    data = pickler.dumps({"held": [VARIABLE], "closed": lambda: VARIABLE})
    back = pickler.loads(data)
    assert back["held"][0] is VARIABLE
    assert back["closed"]() is VARIABLE
    assert pickler.loads(pickler.dumps(VARIABLE)) is VARIABLE


def test_a_routine_by_value_is_a_routine(elsewhere: Elsewhere) -> None:
    """D3: the wrapper crosses, with its name and options, and refers to itself when it recurses."""

    @catena.routine(name="deep", cancel_grace=1.5)
    async def deep(n: int) -> Any:
        return deep if n == 0 else await deep.local(n - 1)

    def look(again: Any) -> Any:
        declared = again.__catena_routine__
        coro = again.local(2)
        with contextlib.suppress(StopIteration):
            coro.send(None)
        options = declared.name, declared.stream, declared.cancel_grace
        return options, declared.wrapper is again, again

    options, whole, again = elsewhere.call(look, deep)
    assert options == ("deep", False, 1.5)
    assert whole
    # Here it is the one that was sent.
    assert again is deep


def test_a_failed_dump_leaves_the_next_one_intact() -> None:
    """D5: what cannot be pickled raises, and the picklers are as good as new."""
    value = {"a": [1, 2, 3], "b": ("x", b"y")}
    before = pickler.dumps(value)
    for bad in ([value, threading.Lock()], {"a": (x for x in ())}, [[[object(), sys._getframe()]]]):
        with pytest.raises(TypeError):
            pickler.dumps(bad)
        assert pickler.dumps(value) == before

    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises((RecursionError, pickle.PicklingError)):
        pickler.dumps(deep)
    assert pickler.dumps(value) == before
    while deep:
        deep = deep.pop()


def test_threads_dump_at_the_same_time() -> None:
    """D5: a pickler is no place for two threads, so each has its own."""
    start = threading.Barrier(8)

    def work(seed: int) -> list[Any]:
        start.wait(10)
        some = [{"seed": seed, "n": n, "list": [seed] * n, "far": far} for n in range(100)]
        return [pickler.loads(pickler.dumps(one)) == one for one in some]

    with ThreadPoolExecutor(8) as pool:
        assert all(all(one) for one in pool.map(work, range(8)))


def test_objects_with_attributes_of_any_name_are_pickled_as_pickle_does() -> None:
    """D5: the door for our own objects stays shut for one that merely answers every name."""
    attributes = _Attributes(a=1)
    assert pickle.loads(pickle.dumps(attributes)) == attributes
    assert pickler.loads(pickler.dumps(attributes)) == attributes
    assert type(pickler.loads(pickler.dumps(_Eager()))) is _Eager


def test_a_pickler_that_has_grown_is_not_used_again() -> None:
    """D5: else each small value after a large one would wait until the large memo was wiped."""
    value = {"a": [1, "b"]}
    before = pickler.dumps(value)
    # Its size shows that of the memo, which takes 16 bytes and more for each object.
    large = [str(n) for n in range(100_000)]

    assert pickler.loads(pickler.dumps(large)) == large
    assert sys.getsizeof(pickler._local.quick) < 100_000
    for bad in (threading.Lock(), VARIABLE):
        try:
            pickler.dumps([*large, bad])
        except TypeError:
            assert bad is not VARIABLE
        assert sys.getsizeof(pickler._local.quick) < 100_000
    assert pickler.dumps(value) == before


@pytest.mark.parametrize("flat", [True, False])
def test_a_snapshot_is_the_same_for_the_same_values(flat: bool) -> None:
    """C15: large or small, one or many; after a failure as before it."""
    values: list[Any] = [{"a": 1, "b": "x" * 100_000}, ["c", 2.0], {3}]
    gets = [lambda value=value: value for value in values]
    circle: list[Any] = []
    circle.append(circle)

    before = pickler.take_snapshot(gets, flat=flat)

    assert before is not None
    for bad in (Importable(), threading.Lock(), (n for n in ())):
        assert pickler.take_snapshot([*gets, lambda bad=bad: bad], flat=flat) is None
    assert (pickler.take_snapshot([lambda: circle], flat=flat) is None) == flat
    assert pickler.take_snapshot(gets, flat=flat) == before
    assert pickler.take_snapshot(gets[:2], flat=flat) != before
    values[1][1] = 2
    assert pickler.take_snapshot(gets, flat=flat) != before


def test_only_a_snapshot_that_is_not_flat_tells_what_is_shared() -> None:
    """C15: which is why only flat values are looked at without a memo."""
    one: list[Any] = []
    apart, shared = [[], []], [one, one]

    def look(value: Any, *, flat: bool) -> Any:
        return pickler.take_snapshot([lambda: value], flat=flat)

    assert look(apart, flat=True) == look(shared, flat=True)
    assert look(apart, flat=False) != look(shared, flat=False)
