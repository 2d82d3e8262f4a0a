"""Which part cannot be sent: the path from code or a value down to the part that does not pickle.

This is computed only after a failure, by trying the parts one by one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from types import CodeType, FunctionType, MethodType
from typing import Any, cast

from catena.pickling import pickler

_TRIES = 500
_DEPTH = 10
_INSIDE: dict[Any, dict[str, str]] = {
    MethodType: {"__self__": "its object", "__func__": "its function"},
    staticmethod: {"__func__": "its function"},
    classmethod: {"__func__": "its function"},
    property: {"fget": "its getter", "fset": "its setter"},
}


def locate_unsendable(obj: Any) -> str:
    """Return where in an object the part stands that cannot be sent, as ``in global 'lock': ``.

    Empty where it is the object itself, or nothing is found.
    """
    tries = iter(range(_TRIES))
    seen = {id(obj)}
    steps: list[str] = []
    while len(steps) < _DEPTH:
        try:
            found = _first_unsendable(obj, tries, seen)
        except BaseException:
            # An object that resists being looked into, by SystemExit as well as by anything else;
            # what was found leads up to it.
            break
        if found is None:
            break
        step, obj = found
        steps.append(step)
    return f"in {', '.join(steps)}: " if steps else ""


def _first_unsendable(obj: Any, tries: Iterator[int], seen: set[int]) -> tuple[str, Any] | None:
    """Return the first part of an object that cannot be sent by itself."""
    for name, part in _parts_of(obj):
        if id(part) in seen:
            continue
        seen.add(id(part))
        if next(tries, None) is None:
            return None
        try:
            pickler.dumps(part)
        except Exception:
            return name, part
    return None


def _parts_of(obj: Any) -> Iterable[tuple[str, Any]]:
    # A routine in a class, and one that is bound, pass for a function and for a bound method.
    kind = cast("type[Any]", obj.__class__)
    if kind is FunctionType:
        return _of_function(obj)
    if issubclass(kind, dict):
        return ((f"key {key!r:.60}", value) for key, value in islice(obj.items(), _TRIES))
    if issubclass(kind, list | tuple | set | frozenset):
        items = cast("Iterable[Any]", islice(obj, _TRIES))
        return ((f"item {at}", value) for at, value in enumerate(items))
    inside = [(text, getattr(obj, name)) for name, text in _INSIDE.get(kind, {}).items()]
    attributes: Mapping[str, Any] = getattr(obj, "__dict__", {})
    own = ((f"attribute {name!r}", value) for name, value in attributes.items())
    return [*inside, *own, ("its class", kind)]


def _of_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name in _names_in(function.__code__):
        if name in function.__globals__:
            yield f"global {name!r}", function.__globals__[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            value = cell.cell_contents
        except ValueError:
            # It is empty: its variable has not been set yet.
            continue
        yield f"variable {name!r}", value
    yield from ((f"default {value!r:.60}", value) for value in function.__defaults__ or ())
    yield from ((f"default of {k!r}", v) for k, v in (function.__kwdefaults__ or {}).items())
    yield from ((f"attribute {name!r}", value) for name, value in vars(function).items())


def _names_in(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_in(constant)
