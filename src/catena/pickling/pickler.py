"""How Python objects become bytes: standard pickle when that suffices, cloudpickle otherwise.

The quick way is a pickler that is made once and refuses whatever is not built in; then cloudpickle
takes over, by reference for what can be imported and by value for the rest. Objects that travel in
their own way (variables, routines) say so with a method ``__catena_reduce__``, which returns what
``__reduce__`` would, is given ``dumps`` and ``loads``, and is asked by this module alone.
"""

from __future__ import annotations

import copyreg
import io
import pickle
import sys
import threading
from collections.abc import Callable, Iterable
from enum import Enum
from operator import call
from types import FunctionType
from typing import Any, ClassVar, NoReturn, cast

import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

from catena.pickling import reducers
from catena.pickling.classes import reduce_class, reduce_member
from catena.pickling.origins import with_identity
from catena.pickling.references import find_reference, load_reference
from catena.pickling.structs import is_struct, reduce_struct
from catena.wording import reason

PROTOCOL = 5

# Bytes. The memo of a pickler stays as large as it has once grown, and all of it is wiped after
# each value: whoever has written a large one is not used again.
_LARGE = 4096

_HEAP = 1 << 9
"""The flag of a class that was made by a class statement, and not in C."""

# What cloudpickle knows of single types, without those that somebody registers for all picklers.
_theirs: dict[type, Any] = getattr(cloudpickle.Pickler, "_dispatch_table")  # noqa: B009


def dumps(value: Any) -> bytes:
    """Return the object as bytes.

    Raises the Exception that pickling raises (TypeError, PicklingError, …); what an object's own
    code raises besides, such as SystemExit, becomes a PicklingError.
    """
    quick = _local.quick
    chunks = quick.chunks
    try:
        quick.dump(value)
    except _NotBuiltin:
        _local.quick = _Quick()
    except BaseException:
        _local.quick = _Quick()
        raise
    else:
        data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        if len(data) > _LARGE:
            _local.quick = _Quick()
        else:
            chunks.clear()
            quick.clear_memo()
        return data
    buffer = io.BytesIO()
    thorough: Any = Thorough(buffer, protocol=PROTOCOL)
    try:
        thorough.dump(value)
    except Exception:
        raise
    except BaseException as error:
        # SystemExit and its like, raised by an object's own code: not meant for whoever writes it.
        raise pickle.PicklingError(reason(error)) from error
    return buffer.getvalue()


def take_snapshot(gets: Iterable[Callable[[], Any]], *, flat: bool) -> tuple[bytes, ...] | None:
    """Return what some values, given by what gets them, are now: bytes to be compared later on.

    Quicker than to write one after the other. ``flat`` promises that no value holds another one
    that can change in place. None where that cannot be known: a value is not built in, or it cannot
    be written at all.
    """
    pickler = _local.flat if flat else _Quick()
    chunks = pickler.chunks
    try:
        pickler.dump(list(map(call, gets)))
        return tuple(chunks)
    except Exception:
        # Whoever asked looks at each value by itself then, and reports what is wrong with it.
        return None
    finally:
        chunks.clear()


def loads(data: bytes) -> Any:
    """Return the object that the bytes stand for. Raises the Exception that unpickling raises."""
    try:
        return pickle.loads(data)
    except Exception:
        raise
    except BaseException as error:
        raise pickle.UnpicklingError(reason(error)) from error


class _NotBuiltin(Exception):
    """The quick pickler met something that it leaves to the thorough one."""


class _ChunkFile:
    """What the quick pickler writes to: a list's own append, so that no code of ours runs."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.write = chunks.append


class _Quick(pickle.Pickler):
    """Pickles what is built in, and says so quickly when it cannot."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        super().__init__(_ChunkFile(self.chunks), PROTOCOL)

    def reducer_override(self, obj: Any, /) -> NoReturn:
        raise _NotBuiltin


class Thorough(cloudpickle.Pickler):
    """cloudpickle, with a door for objects that travel in their own way and with our registry.

    Exceptions are such objects: ``reduce_exception`` is set by ``remote_exceptions``, and returns
    for each what ``__reduce__`` would.
    """

    reduce_exception: ClassVar[Callable[[Any], Any]]

    def reducer_override(self, obj: Any) -> Any:
        """Return how an object travels that does so in its own way; asked by pickle."""
        kind = cast("type[Any]", type(obj))
        if kind is FunctionType:
            return self._reduce_function(obj)
        own = reducers.REDUCERS.get(kind) or _theirs.get(kind)
        if own is not None:
            return own(obj)
        if issubclass(kind, type):
            return self._reduce_class(obj)
        if issubclass(kind, BaseException):
            return Thorough.reduce_exception(obj)
        # Only classes and plain functions are asked, not objects that answer to any name, nor bound
        # methods, which show their function's attributes.
        reduce = getattr(kind, "__catena_reduce__", None)
        if reduce is not None:
            return reduce(obj, dumps, loads)
        return _reduce_object(obj, kind)

    def _reduce_function(self, function: FunctionType) -> Any:
        reduce = function.__dict__.get("__catena_reduce__")
        # A decorator may have copied it from the function beneath, for which alone it speaks.
        reduced = NotImplemented if reduce is None else reduce(function, dumps, loads)
        if reduced is NotImplemented:
            name = find_reference(function)
            if name is not None:
                return (
                    NotImplemented
                    if name.endswith(function.__qualname__)
                    else (load_reference, (name,))
                )
            if reducers.is_dispatcher(function):
                return reducers.reduce_dispatcher(function)
            reduced = self._reduce_by_value(function)
        return reduced if len(reduced) == 2 else with_identity(function, reduced, shared=False)

    def _reduce_by_value(self, function: FunctionType) -> Any:
        # Not through its own reducer_override, which holds whatever is loaded for importable.
        reduce: Any = getattr(self, "_dynamic_function_reduce")  # noqa: B009
        reduced = reduce(function)
        attributes, slots = reduced[2]
        for name in ("__catena_reduce__", "__catena_routine__"):
            attributes.pop(name, None)
        if sys.version_info >= (3, 12):
            slots["__type_params__"] = function.__type_params__
        return reduced

    def _reduce_class(self, cls: Any) -> Any:
        if cls.__module__ == "builtins":
            # Among them the types of None and of functions, which nothing holds under their names.
            thorough: Any = super()
            return thorough.reducer_override(cls)
        if _goes_by_name(cls) or not cls.__flags__ & _HEAP:
            return NotImplemented
        return reduce_struct(cls) if is_struct(cls) else reduce_class(cls)


def _reduce_object(obj: Any, kind: Any) -> Any:
    """Return how pickle itself would reduce an object, with what it does not do."""
    if issubclass(kind, Enum) and not _goes_by_name(kind):
        reduced = reduce_member(obj)
        if reduced is not None:
            return reduced
    if issubclass(kind, io.IOBase) and reducers.is_file(obj):
        return reducers.reduce_file(obj)
    registered = copyreg.dispatch_table.get(kind)
    reduced: Any = obj.__reduce_ex__(PROTOCOL) if registered is None else registered(obj)
    if type(reduced) is str:
        return reducers.named(obj, reduced)
    return reducers.without_getattr(kind, reduced) if hasattr(kind, "__getattr__") else reduced


def _goes_by_name(cls: Any) -> bool:
    name = find_reference(cls)
    return name is not None and name.endswith(cls.__qualname__)


class _Local(threading.local):
    """A pickler is no place for two threads at once, so each thread has its own."""

    def __init__(self) -> None:
        self.quick = _Quick()
        self.flat = _Quick()
        # Nothing is remembered, which takes a third of the time: the same list in two places is
        # written twice, and that it is the same is lost. Where nothing is flat, that would matter.
        self.flat.fast = True


_local = _Local()
