"""``find_reachable``: an object that another one holds, found without running any code of it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
from collections import deque
from collections.abc import Callable, Iterable
from types import CodeType, CoroutineType, FrameType, FunctionType, GeneratorType, ModuleType
from typing import Any, TypeVar, cast

T = TypeVar("T")

_LIMIT = 500
"""How many objects are looked at, the near ones first."""

# What leads to the rest of the program rather than into the object.
_OUTSIDE = (
    ModuleType,
    CodeType,
    FrameType,
    CoroutineType,
    GeneratorType,
    contextvars.Context,
    asyncio.AbstractEventLoop,
    asyncio.Future,
    str,
    bytes,
    int,
)


def find_reachable(top: object, kind: type[T], wanted: Callable[[T], bool]) -> T | None:
    """Return the nearest object of exactly that class that ``top`` holds, None without one.

    Looked into are closures, defaults, attributes of objects and classes, bound methods,
    ``functools.partial``, containers and the globals that a function names.
    """
    seen = {id(top)}
    todo: deque[object] = deque([top])
    while todo and len(seen) < _LIMIT:
        for one in _referents_of(todo.popleft()):
            if id(one) in seen:
                continue
            seen.add(id(one))
            if type(one) is kind and wanted(one):
                return one
            # Not isinstance: a proxy may run code to answer that.
            if not issubclass(type(one), _OUTSIDE):
                todo.append(one)
    return None


def _referents_of(one: object) -> Iterable[Any]:
    if issubclass(type(one), type):
        kind = cast("type", one)
        return [*kind.__bases__, *vars(kind).values()]
    if type(one) is not FunctionType:
        return gc.get_referents(one)
    named = one.__globals__
    return [
        *(one.__closure__ or ()),
        *(one.__defaults__ or ()),
        *(one.__kwdefaults__ or {}).values(),
        *one.__dict__.values(),
        *(named[name] for name in one.__code__.co_names if name in named),
    ]
