"""The parts of an exception that the interpreter keeps, read and set without code of its class.

A class may refuse assignment, have a property by the name ``args``, or raise from ``__getattr__``.
No such code is run here: everything goes through descriptors of the builtin classes, and the
attributes of a class are found without its metaclass.
"""

from __future__ import annotations

import builtins
from types import BuiltinFunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import Any, cast

_base: Any = BaseException.__dict__
_group: Any = BaseExceptionGroup.__dict__
_mro: Any = type.__dict__["__mro__"].__get__
_namespace: Any = type.__dict__["__dict__"].__get__

args_of, set_args = _base["args"].__get__, _base["args"].__set__
attributes_of = _base["__dict__"].__get__
traceback_of = _base["__traceback__"].__get__
cause_of, set_cause = _base["__cause__"].__get__, _base["__cause__"].__set__
context_of, set_context = _base["__context__"].__get__, _base["__context__"].__set__
suppresses_context = _base["__suppress_context__"].__get__
set_suppresses_context = _base["__suppress_context__"].__set__
message_of, members_of = _group["message"].__get__, _group["exceptions"].__get__

# By id, since a metaclass may refuse to be hashed. The root and the groups are not among those
# whose fields are copied: their fields have functions of their own here.
_BUILTIN = {
    id(one)
    for one in vars(builtins).values()
    if isinstance(one, type) and issubclass(one, BaseException)
}
_ROOTS = {id(object), id(BaseException), id(BaseExceptionGroup)}
_HOOKS = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")


def fields_of(error: BaseException) -> dict[str, Any]:
    """Return the fields that are set: ``errno`` of an OSError, the ``__slots__`` of any class.

    A field is called after its class, with a dot and its own name.
    """
    found: dict[str, Any] = {}
    for name, (builtin, place) in _places_of(type(error)).items():
        try:
            value = place.__get__(error)
        except AttributeError:
            continue
        # What C keeps is None where it is not set, and setting that is not the same.
        if not builtin or value is not None:
            found[name] = value
    return found


def set_field(error: BaseException, name: str, value: Any) -> None:
    """Set a field by its name; a slot that a class of this name has not, here, is an attribute."""
    _, place = _places_of(type(error)).get(name, (False, None))
    if place is None:
        attributes_of(error)[name.rpartition(".")[2]] = value
    else:
        place.__set__(error, value)


def _places_of(kind: type[BaseException]) -> dict[str, tuple[bool, Any]]:
    """Return the descriptors of a class's fields, and whether a builtin class has them."""
    found: dict[str, tuple[bool, Any]] = {}
    for one in _mro(kind):
        if id(one) in _ROOTS:
            continue
        builtin = id(one) in _BUILTIN
        for name, place in _namespace(one).items():
            if type(place) is MemberDescriptorType or (
                builtin and type(place) is GetSetDescriptorType and name != "__weakref__"
            ):
                found.setdefault(f"{_name_of(one)}.{name}", (builtin, place))
    return found


def hooks_of(kind: type[BaseException]) -> frozenset[str]:
    """Return which ways of pickling a class has of its own: the names of methods not built in."""
    return frozenset(name for name in _HOOKS if _has_own(kind, name))


def _has_own(kind: type[BaseException], name: str) -> bool:
    for one in _mro(kind):
        if name in _namespace(one):
            return id(one) not in _BUILTIN and one is not object
    return False


def notes_of(error: BaseException) -> list[Any]:
    """Return the notes of an exception; none where ``__notes__`` is no list and no tuple."""
    place = _notes_slot(type(error))
    try:
        notes = attributes_of(error).get("__notes__") if place is None else place.__get__(error)
    except AttributeError:
        return []
    return list(notes) if type(notes) in (list, tuple) else []


def set_notes(error: BaseException, notes: list[str]) -> None:
    """Put notes on an exception in place of those it has."""
    place = _notes_slot(type(error))
    if place is not None:
        place.__set__(error, notes)
    elif notes:
        attributes_of(error)["__notes__"] = notes
    else:
        attributes_of(error).pop("__notes__", None)


def _notes_slot(kind: type[BaseException]) -> Any:
    for one in _mro(kind):
        place = _namespace(one).get("__notes__")
        if type(place) is MemberDescriptorType:
            return place
    return None


def make_bare(
    kind: type[BaseException], group: tuple[str, list[BaseException]] | None = None
) -> BaseException:
    """Return an exception of a class on which no constructor of Python has run.

    A group needs its message and its members. Raises TypeError.
    """
    new = _namespace(_builtin_maker(kind))["__new__"]
    made = new(kind) if group is None else new(kind, *group)
    return cast("BaseException", made)


def is_sealed(kind: type[BaseException]) -> bool:
    """Say whether an extension keeps something of the class that only its own pickling carries."""
    return id(_builtin_maker(kind)) not in _BUILTIN


def _builtin_maker(kind: type[BaseException]) -> type[Any]:
    """Return the nearest class whose constructor is not written in Python."""
    return next(
        one for one in _mro(kind) if type(_namespace(one).get("__new__")) is BuiltinFunctionType
    )


def _name_of(kind: type[Any]) -> str:
    return str.__str__(type.__dict__["__name__"].__get__(kind))
