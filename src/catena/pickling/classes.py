"""Classes by value: put together from their parts, not defined a second time.

Where a class arrives, neither the metaclass's own ``__new__`` and ``__init__`` run nor
``__init_subclass__`` and ``__set_name__``: their effects are in the attributes of the class, which
all travel. Members of an enum are made without their ``__new__`` and then given their attributes,
so that the effects of ``__new__`` are there as well.
"""

from __future__ import annotations

import abc
import contextlib
import copyreg
import enum
import threading
from abc import ABCMeta
from collections.abc import Callable, Generator, Iterable
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, cast

from catena.pickling import origins

_MADE_ANEW = ("_abc_impl", "__annotate_func__", "__firstlineno__")
"""Attributes that the interpreter makes for each class, or that are set last."""

_SETTABLE = (
    "__abstractmethods__",
    "__annotations__",
    "__doc__",
    "__module__",
    "__qualname__",
    "__type_params__",
)
"""Attributes of every class that may be set, which their descriptors see to."""

_dump_abc: Callable[[Any], tuple[Any, ...]] = getattr(abc, "_get_dump")  # noqa: B009
_newobj: Any = getattr(copyreg, "__newobj__")  # noqa: B009
_creating = threading.RLock()


def reduce_class(cls: Any) -> tuple[Any, ...]:
    """Return how a class is pickled by value."""
    meta: Any = cast("Any", type(cls))
    own = type.__dict__["__dict__"].__get__(cls)
    attributes = _attributes_of(cls, own)
    names = {name: attributes.pop(name) for name in own if _comes_first(meta, name, attributes)}
    names |= {"__module__": own.get("__module__"), "__qualname__": cls.__qualname__}
    if "__slots__" in own:
        names["__slots__"] = _slots_of(own, cls)
    if "__orig_bases__" in own:
        # Generic asks for it; the true one may hold the class itself, and follows.
        names["__orig_bases__"] = ()
    members = _members_of(cls)
    data = {name: _data_of(member) for name, member in members.items()}
    filling: dict[str, dict[str, Any]] = {name: {**one.__dict__} for name, one in members.items()}
    state = (attributes, _registered_with(cls), filling)
    made = (_make_class, (meta, cls.__name__, cls.__bases__, names, data), state)
    return origins.with_identity(cls, (*made, None, None, fill_class), shared=True)


def reduce_member(member: enum.Enum) -> tuple[Any, ...] | None:
    """Return how a member of an enum that goes by value is pickled; None for a made-up one.

    Not by its value: there is none to look up while the class is not complete.
    """
    cls = type(member)
    name = vars(member).get("_name_")
    if isinstance(name, str) and cls.__members__.get(name) is member:
        return _look_up_member, (cls, name)
    return None


def _look_up_member(cls: Any, name: str) -> Any:
    return cls.__members__[name]


# ---- taking apart


def _slots_of(own: Any, cls: type) -> tuple[str, ...]:
    """Return what has a place of its own in the instances, under the names that it has there."""
    places = [
        name
        for name, value in own.items()
        if isinstance(value, MemberDescriptorType) and value.__objclass__ is cls
    ]
    return (
        *places,
        *(one for one in ("__dict__", "__weakref__") if _is_place_of(own.get(one), cls)),
    )


def _is_place_of(value: Any, cls: type) -> bool:
    kinds = (MemberDescriptorType, GetSetDescriptorType)
    # From 3.15 on all classes share the places of __dict__ and __weakref__, which are object's.
    if not isinstance(value, kinds):
        return False
    return value.__objclass__ is cls or value.__objclass__ is object


def _comes_first(meta: Any, name: str, attributes: dict[str, Any]) -> bool:
    """Say whether setting an attribute of a class would be taken for one of its metaclass's own.

    Such a one (``__class__`` as a property …) has to be there from the start.
    """
    for one in meta.__mro__ if name in attributes and name not in _SETTABLE else ():
        if name in one.__dict__:
            return hasattr(cast("Any", type(one.__dict__[name])), "__set__")
    return False


def _attributes_of(cls: Any, own: Any) -> dict[str, Any]:
    """Return the attributes of a class that it does not get by being made."""
    kept = {
        "".join(name): value
        for name, value in own.items()
        if name not in _MADE_ANEW and not _is_place_of(value, cls)
    }
    if isinstance(cls, enum.EnumMeta):
        # Members that were made up since, such as combinations of flags, are made up again.
        named = cast("dict[str, Any]", kept.get("_member_map_", {}))
        known = {id(member) for member in named.values()}
        values = cast("dict[Any, Any]", kept.get("_value2member_map_", {}))
        kept["_value2member_map_"] = {k: m for k, m in values.items() if id(m) in known}
    if "__firstlineno__" in own:
        # Setting __module__ takes it away.
        kept["__firstlineno__"] = own["__firstlineno__"]
    return kept


def _registered_with(cls: Any) -> list[Any]:
    """Return the classes that were registered with an abstract one."""
    if not isinstance(cls, ABCMeta):
        return []
    return [one for ref in _dump_abc(cls)[0] if (one := ref()) is not None]


def _members_of(cls: Any) -> dict[str, Any]:
    """Return the members of an enum, each once, by its own name."""
    if not isinstance(cls, enum.EnumMeta):
        return {}
    members = cast("dict[str, Any]", cls.__members__)
    return {name: one for name, one in members.items() if vars(one)["_name_"] == name}


def _data_of(member: Any) -> tuple[Any, ...]:
    """Return what the builtin part of a member is made of: nothing, or an int, a str …"""
    kind: Any = cast("Any", type(member))
    if getattr(kind, "_member_type_") is object:  # noqa: B009 - one of enum's own names
        return ()
    # Not its own __reduce_ex__, which names the member.
    reduced: Any = object.__reduce_ex__(member, 2)
    make, args, *_ = reduced
    return args[1:] if make is _newobj else args


# ---- putting together


def _make_class(
    meta: Any, name: str, bases: tuple[Any, ...], names: dict[str, Any], data: dict[str, Any]
) -> Any:
    with _without_init_subclass(bases):
        new = ABCMeta.__new__ if issubclass(meta, ABCMeta) else _builtin_new_of(meta)
        cls = new(meta, name, bases, dict(names))
    if isinstance(cls, enum.EnumMeta):
        new = _builtin_new_of(cls)
        members = {one: new(cls, *args) for one, args in data.items()}
        type.__setattr__(cls, "_member_map_", members)
    return cls


def _builtin_new_of(cls: Any) -> Any:
    """Return the first ``__new__`` of a class or a metaclass that is not written in Python."""
    news = (one.__dict__["__new__"] for one in cls.__mro__ if "__new__" in one.__dict__)
    return next(one for one in news if not isinstance(getattr(one, "__func__", one), FunctionType))


@contextlib.contextmanager
def _without_init_subclass(bases: Iterable[Any]) -> Generator[None]:
    """Keep the ``__init_subclass__`` of the bases from running, in this thread.

    Next to a class stands its first base, so that one is asked first; there it is stood in for.
    """
    me = threading.get_ident()
    undo: list[tuple[Any, Any]] = []
    with _creating:
        try:
            for base in filter(_has_init_subclass, bases):
                old = base.__dict__.get("__init_subclass__")
                type.__setattr__(base, "__init_subclass__", _stand_in(base, old, me))
                undo.append((base, old))
            yield
        finally:
            for base, old in undo:
                _put_back(base, old)


def _put_back(base: Any, old: Any) -> None:
    if old is None:
        type.__delattr__(base, "__init_subclass__")
    else:
        type.__setattr__(base, "__init_subclass__", old)


def _has_init_subclass(base: Any) -> bool:
    """Say whether Python code would run when a class is derived from this one."""
    return isinstance(getattr(base.__init_subclass__, "__func__", None), FunctionType)


def _stand_in(base: Any, old: Any, thread: int) -> Any:
    def __init_subclass__(cls: Any, **options: Any) -> None:  # noqa: N807
        if threading.get_ident() == thread:
            return
        parent = cast("Any", super(base, cls))
        (parent.__init_subclass__ if old is None else old.__get__(None, cls))(**options)

    return classmethod(__init_subclass__)


def fill_class(
    cls: Any, state: tuple[dict[str, Any], list[Any], dict[str, dict[str, Any]]]
) -> None:
    """Give a class its attributes, past whatever its metaclass makes of setting one."""
    attributes, registered, members = state
    for name, value in attributes.items():
        type.__setattr__(cls, name, value)
    for one in registered:
        cls.register(one)
    for name, value in members.items():
        cast("dict[str, Any]", vars(cls.__members__[name])).update(value)
