"""Classes by value: put together from what they are, not defined a second time."""

from __future__ import annotations

import abc
import dataclasses
import datetime as dt
import enum
import typing
from typing import Any

import pytest

from tests.pickling.elsewhere import Elsewhere, elsewhere, in_main

__all__ = ["elsewhere"]

SLOTS = """
class Plain:
    __slots__ = ("a", "__b", "__weakref__")
    def __init__(self): self.a, self.__b = 1, 2
    def both(self): return self.a, self.__b
class Text:
    __slots__ = "a"
    def __init__(self): self.a = 1
class Child(Plain):
    __slots__ = {"c": "what c is"}
    def __init__(self): super().__init__(); self.c = 3
class Open(Plain):
    def __init__(self): super().__init__(); self.z = 4
class WithDict:
    __slots__ = ("a", "__dict__")
    def __init__(self): self.a, self.z = 1, 2
@dataclasses.dataclass(slots=True, weakref_slot=True, frozen=True, order=True)
class Data:
    a: int = 1
    b: list = dataclasses.field(default_factory=list, compare=False)
"""


def _slots_of(one: Any) -> Any:
    places = [place for kind in type(one).__mro__ for place in getattr(kind, "__slots__", ())]
    own = getattr(one, "__dict__", None)
    values = {name: getattr(one, name) for name in ("a", "b", "c", "z") if hasattr(one, name)}
    try:
        one.unknown = 1
    except (AttributeError, TypeError):
        return type(one).__slots__, places, own and dict(own), values, "closed"
    return places, values, "open"


@pytest.mark.parametrize("name", ["Plain", "Text", "Child", "Open", "WithDict", "Data"])
def test_slots_are_slots(elsewhere: Elsewhere, name: str) -> None:
    """D3: there and back; what has no place in an instance has none there either."""
    kind = in_main(SLOTS, dataclasses=dataclasses)[name]
    assert elsewhere.call(_slots_of, kind()) == _slots_of(kind())

    back = elsewhere.call(lambda one: one, kind())
    assert type(back) is kind
    assert _slots_of(back) == _slots_of(kind())


def test_private_slots_are_read_by_methods(elsewhere: Elsewhere) -> None:
    """D3: under the name that the class gave them."""
    script = in_main(SLOTS, dataclasses=dataclasses)
    assert elsewhere.call(lambda one: one.both(), script["Child"]()) == (1, 2)


def test_a_dataclass_is_one_there(elsewhere: Elsewhere) -> None:
    """D3: fields, replace and inheritance work, which compare marks of the module by identity."""
    kind = in_main(SLOTS, dataclasses=dataclasses)["Data"]

    def look(kind: Any) -> Any:
        first = dataclasses.fields(kind)[1]
        child = dataclasses.make_dataclass("Child", [("c", int, 3)], bases=(kind,), frozen=True)
        missing = first.default is dataclasses.MISSING
        return missing, dataclasses.replace(kind(), a=4).a, child().c, child().b, kind(1) < kind(2)

    assert elsewhere.call(look, kind) == (True, 4, 3, [], True)


ENUMS = """
class Given(enum.Enum):
    def __new__(cls, value, label):
        made = object.__new__(cls)
        made._value_, made.label = value, label
        return made
    X = 1, "one"
    Y = 2, "two"
    ALSO = 1, "again"
    @classmethod
    def _missing_(cls, value): return cls.Y
class Number(int, enum.Enum):
    def __new__(cls, value, label):
        made = int.__new__(cls, value)
        made._value_, made.label = f"v{value}", label
        return made
    X = 1, "one"
class Planet(enum.Enum):
    EARTH = 5, 6
    def __init__(self, mass, radius): self.mass, self.radius = mass, radius
class Word(enum.StrEnum):
    A = enum.auto()
    def loud(self): return self.upper()
class Right(enum.Flag):
    R = enum.auto()
    W = enum.auto()
    RW = R | W
class Bits(enum.IntFlag):
    R = 4
    W = 2
class Day(datetime.date, enum.Enum):
    D = 2020, 1, 2
class Data(Point, enum.Enum):
    ONE = 5
class Call(enum.Enum):
    ADD = enum.member(lambda a, b: (Call.ADD.name, a + b))
class Odd(enum.Enum):
    L = [1]
"""


@dataclasses.dataclass
class Point:
    """What an enum may be mixed with."""

    x: int = 0


def _enums() -> dict[str, Any]:
    return in_main(ENUMS, enum=enum, datetime=dt, Point=Point)


def _enum_facts(kind: Any) -> Any:
    members = {
        name: (one.name, one._value_ if not callable(one._value_) else one._value_(1, 2))
        for name, one in kind.__members__.items()
    }
    own = {
        name: {k: v for k, v in vars(one).items() if not k.startswith("_")}
        for name, one in kind.__members__.items()
    }
    same = all(kind[one.name] is one and kind(one.value) is one for one in kind)
    return members, own, same, [one.name for one in kind], kind.__qualname__


@pytest.mark.parametrize(
    "name",
    ["Given", "Number", "Planet", "Word", "Right", "Bits", "Day", "Data", "Call", "Odd"],
)
def test_an_enum_is_whole(elsewhere: Elsewhere, name: str) -> None:
    """D3: with what its members got when they were made, its aliases, and its lookups."""
    kind = _enums()[name]
    assert elsewhere.call(_enum_facts, kind) == _enum_facts(kind)
    for member in kind:
        assert elsewhere.call(lambda one: one, member) is member


def test_members_that_are_made_up_come_back(elsewhere: Elsewhere) -> None:
    """D3: combinations of flags, and what ``_missing_`` finds."""
    script = _enums()
    bits, given, right = script["Bits"], script["Given"], script["Right"]
    assert elsewhere.call(lambda kind: kind(6), bits) == bits.R | bits.W
    assert elsewhere.call(lambda kind: kind(9), given) is given.Y
    assert elsewhere.call(lambda one: ~one, right.R) is right.W


HOOKS = """
ran = []
class Meta(type):
    def __new__(meta, name, bases, names, *, need):
        ran.append(("meta", name))
        made = super().__new__(meta, name, bases, names)
        made.need = need
        return made
    def __init__(cls, name, bases, names, *, need): super().__init__(name, bases, names)
    def __setattr__(cls, name, value):
        if "need" in vars(cls): raise AttributeError("sealed")
        super().__setattr__(name, value)
class Made(metaclass=Meta, need=1):
    pass
class Name:
    def __set_name__(self, owner, name): self.name = name; ran.append(("set", name))
    def __get__(self, one, owner=None): return self.name
class Plugin:
    kinds = {}
    def __init_subclass__(cls, *, key, **rest):
        super().__init_subclass__(**rest)
        ran.append(("sub", key))
        Plugin.kinds[key] = cls
class One(Plugin, key="one"):
    field = Name()
class Two(One, key="two"): pass
"""


def test_nothing_of_a_class_statement_runs_again(elsewhere: Elsewhere) -> None:
    """D3: no metaclass, no ``__init_subclass__``, no ``__set_name__``; what they did is there."""
    script = in_main(HOOKS)
    for name in ("Plugin", "One", "Two", "Made"):
        elsewhere.call(lambda kind: None, script[name])

    def look(made: Any, two: Any, plugin: Any, ran: list[Any]) -> Any:
        base = type(made).__mro__[1], two.__mro__[2] is plugin
        return made.need, two.field, sorted(plugin.kinds), plugin.kinds["two"] is two, ran, base[1]

    args = (script["Made"], script["Two"], script["Plugin"], script["ran"])
    there = elsewhere.call(look, *args)
    assert there == look(*args)
    assert "__init_subclass__" in vars(script["Plugin"])


def test_init_subclass_of_an_imported_base_is_left_as_it_was(elsewhere: Elsewhere) -> None:
    """D3: a subclass of it arrives though its class keywords are not known, and others go on."""
    source = "class Sub(Base, key=1): pass\n"
    kind = in_main(source, Base=NeedsKey)["Sub"]

    def look(kind: Any) -> Any:
        try:
            type("Another", kind.__bases__, {})
        except TypeError as error:
            return kind.key, str(error)
        return "nothing was asked"

    key, text = elsewhere.call(look, kind)
    assert key == 1
    assert "key" in text


class NeedsKey:
    """A base that workers import, which wants a keyword of each subclass."""

    key: int

    def __init_subclass__(cls, *, key: int) -> None:
        cls.key = key


OTHERS = """
P = typing.ParamSpec("P")
T = typing.TypeVar("T")
Ts = typing.TypeVarTuple("Ts")
class Wrapper(typing.Generic[P]): pass
class Many(typing.Generic[typing.Unpack[Ts]]): pass
class Tree(typing.Generic[T]):
    child: "Tree[T] | None" = None
class Pair(typing.NamedTuple, typing.Generic[T]):
    a: T
    b: int = 2
    def total(self): return self.a + self.b
class Dict(typing.TypedDict, total=False):
    a: typing.Required[int]
    b: str
@typing.runtime_checkable
class Runs(typing.Protocol):
    def run(self) -> int: ...
class Impl:
    def run(self): return 1
class Shape(abc.ABC):
    @abc.abstractmethod
    def area(self): ...
Shape.register(int)
Shape.register(Impl)
class Parent:
    version = 1
class Same(Parent):
    version = 1
class Outer:
    class Inner:
        class Most: x = 1
class Hidden:
    @property
    def __class__(self): return int
class Asks:
    def __init__(self): self.inner = "text"
    def __getattr__(self, name): return getattr(self.inner, name)
"""


def _others() -> dict[str, Any]:
    return in_main(OTHERS, typing=typing, abc=abc)


def test_classes_of_typing_and_abc_work_there(elsewhere: Elsewhere) -> None:
    """D3: generics with their parameters, named tuples, typed dictionaries, protocols, ABCs."""

    def look(s: dict[str, Any]) -> Any:
        generic = (
            s["Wrapper"].__parameters__ == (s["P"],),
            s["Many"][int, str].__origin__ is s["Many"],
            s["Tree"].__parameters__ == (s["T"],),
            s["Tree"][int].__origin__ is s["Tree"],
        )
        pair = s["Pair"](1)
        tuples = (pair.total(), pair._replace(b=5)[1], s["Pair"]._field_defaults)
        typed = (s["Dict"](a=1), s["Dict"].__required_keys__, typing.is_typeddict(s["Dict"]))
        protocol = isinstance(s["Impl"](), s["Runs"]), isinstance(1, s["Runs"])
        shape = s["Shape"]
        abstract = (isinstance(3, shape), isinstance(s["Impl"](), shape), shape.__abstractmethods__)
        return generic, tuples, typed, protocol, abstract

    names = {k: v for k, v in _others().items() if isinstance(v, type) or k in ("P", "T", "Ts")}
    there = elsewhere.call(look, names)
    assert there == look(names)
    assert all(there[0])


def test_what_a_class_has_of_its_own_it_has_there(elsewhere: Elsewhere) -> None:
    """D3: an override equal to its parent's, a nested name, ``__class__`` as a property."""
    script = _others()

    def look(same: Any, most: Any, hidden: Any) -> Any:
        return (
            "version" in vars(same),
            most.__qualname__,
            isinstance(hidden(), int),
            same.__module__,
        )

    args = script["Same"], script["Outer"].Inner.Most, script["Hidden"]
    assert elsewhere.call(look, *args) == (True, "Outer.Inner.Most", True, "__main__")


def test_a_class_that_passes_on_what_it_lacks_is_read(elsewhere: Elsewhere) -> None:
    """D5: its ``__getattr__`` is not asked before it has its attributes."""
    asks = _others()["Asks"]
    assert elsewhere.call(lambda one: one.upper(), asks()) == "TEXT"
    assert elsewhere.call(lambda one: one, asks()).inner == "text"
