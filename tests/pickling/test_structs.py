"""Classes of msgspec by value: declared again, since their metaclass is written in C."""

from __future__ import annotations

from typing import Any

import msgspec

from catena.pickling.structs import is_struct
from tests.pickling.elsewhere import Elsewhere, elsewhere, in_main

__all__ = ["elsewhere"]

STRUCTS = """
class Point(msgspec.Struct):
    x: int
    near: "Point | None" = None
    def moved(self): return Point(self.x + 1)
class Tagged(Point, frozen=True, kw_only=True, tag="b"):
    marks: list = []
    z: int = 3
    @property
    def all(self): return [self.x, self.z, *self.marks]
"""


def test_a_struct_is_one_there_and_the_own_one_here(elsewhere: Elsewhere) -> None:
    """D3: with fields, defaults, options and methods; instances come back as the caller's class."""
    script = in_main(STRUCTS, msgspec=msgspec)
    point, tagged = script["Point"], script["Tagged"]

    def look(point: Any, tagged: Any) -> Any:
        one = tagged(x=1, marks=[2])
        try:
            one.z = 4
        except AttributeError:
            frozen = True
        else:
            frozen = False
        fresh = tagged(x=1).marks is not tagged(x=1).marks
        return point(1).moved(), one, one.all, frozen, fresh, msgspec.json.encode(one)

    for _ in range(2):
        there = elsewhere.call(look, point, tagged)
        assert there == look(point, tagged)
        assert type(there[0]) is point
        assert type(there[1]) is tagged
    assert elsewhere.call(lambda kind: kind, tagged) is tagged


def test_only_its_classes_are_taken_for_such() -> None:
    """D3: everything else is put together as Python's own classes are."""
    assert is_struct(in_main(STRUCTS, msgspec=msgspec)["Point"])
    assert not any(is_struct(one) for one in (int, type, Elsewhere))
