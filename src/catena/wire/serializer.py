"""How Python objects become bytes: standard pickle when that suffices, cloudpickle otherwise.

The quick way is a pickler that is made once and refuses whatever is not built in; then cloudpickle
takes over, by reference for what can be imported and by value for the rest. Objects that travel in
their own way (variables, routines) say so with a method ``__catena_reduce__``, which returns what
``__reduce__`` would, is given ``dumps`` and ``loads``, and is asked by this module alone.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import threading
from collections.abc import Callable, Iterable
from operator import call
from types import FunctionType
from typing import Any, ClassVar, NoReturn

import cloudpickle  # pyright: ignore[reportMissingTypeStubs]

from catena.wording import reason

__all__ = ["PROTOCOL", "Thorough", "dumps", "loads", "reference", "resolve", "snapshot"]

PROTOCOL = 5

# Bytes. The memo of a pickler stays as large as it has once grown, and all of it is wiped after
# each value: whoever has written a large one is not used again.
_LARGE = 4096


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


def snapshot(gets: Iterable[Callable[[], Any]], *, flat: bool) -> tuple[bytes, ...] | None:
    """Return what some values, given by what gets them, are now: bytes to be compared later on.

    Quicker than to write one after the other. ``flat`` promises that no value holds another one
    that can change in place. None where that cannot be told: a value is not built in, or it cannot
    be written at all.
    """
    pickler = _local.flat if flat else _Quick()
    chunks = pickler.chunks
    try:
        pickler.dump(list(map(call, gets)))
        return tuple(chunks)
    except Exception:
        # Whoever asked looks at each value by itself then, and tells what is wrong with it.
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


def reference(obj: Any) -> str | None:
    """Return ``module:qualified.name`` when importing that yields this very object, else None.

    What lives in ``__main__`` has no reference: a worker's main module is another one.
    """
    module: str | None = getattr(obj, "__module__", None)
    name: str | None = getattr(obj, "__qualname__", None)
    if not module or not name or module in ("__main__", "__mp_main__") or "<" in name:
        return None
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    return f"{module}:{name}" if found is obj else None


def resolve(name: str) -> Any:
    """Import what ``reference`` named. Raises ImportError or AttributeError."""
    module, _, qualname = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


class _NotBuiltin(Exception):
    """The quick pickler met something that it leaves to the thorough one."""


class _File:
    """What the quick pickler writes to: a list's own append, so that no code of ours runs."""

    def __init__(self, chunks: list[bytes]) -> None:
        self.write = chunks.append


class _Quick(pickle.Pickler):
    """Pickles what is built in, and says so quickly when it cannot."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        super().__init__(_File(self.chunks), PROTOCOL)

    def reducer_override(self, obj: Any, /) -> NoReturn:
        raise _NotBuiltin


class Thorough(cloudpickle.Pickler):
    """cloudpickle, with a door for objects that travel in their own way.

    Exceptions are such objects: ``reduce_exception`` is set by the module ``failure``, and returns
    for each what ``__reduce__`` would.
    """

    reduce_exception: ClassVar[Callable[[Any], Any]]

    def reducer_override(self, obj: object) -> Any:
        """Return how an object travels that does so in its own way; asked by pickle."""
        # Only classes and plain functions are asked, not objects that answer to any name, nor bound
        # methods, which show their function's attributes.
        if type(obj) is FunctionType:
            reduce = obj.__dict__.get("__catena_reduce__")
            if reduce is not None:
                return reduce(dumps, loads)
        else:
            kind = type(obj)
            if issubclass(kind, BaseException):
                return Thorough.reduce_exception(obj)
            reduce = getattr(kind, "__catena_reduce__", None)
            if reduce is not None:
                return reduce(obj, dumps, loads)
        thorough: Any = super()
        return thorough.reducer_override(obj)


class _Local(threading.local):
    """A pickler is no place for two threads at once, so each thread has its own."""

    def __init__(self) -> None:
        self.quick = _Quick()
        self.flat = _Quick()
        # Nothing is remembered, which takes a third of the time: the same list in two places is
        # written twice, and that it is the same is lost. Where nothing is flat, that would matter.
        self.flat.fast = True


_local = _Local()
