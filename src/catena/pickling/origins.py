"""Where code that travels by value was defined, so that each process keeps what is its own.

Every object that goes by value (a function, a class, a type variable …) gets an identity,
which goes along. The process that defined the object gets its own object back, unchanged. In other
processes a class is made once and brought up to date whenever the defining process sends it; a
function is made anew each time, with the globals that came with it.
"""

from __future__ import annotations

import builtins
import threading
import uuid
import weakref
from collections.abc import Callable
from typing import Any

Setter = Callable[[Any, Any], Any]


class _Entry(weakref.ref[Any]):
    """What this process knows of one object, which it does not keep alive."""

    __slots__ = ("address", "finished", "id", "original")

    address: int
    id: str
    original: bool
    """Whether this process defined it."""
    finished: bool
    """Whether it has been filled: what arrives is made first, since it may hold itself."""


# By address and not in a WeakKeyDictionary, which would ask a metaclass for hash and equality.
_by_address: dict[int, _Entry] = {}
_by_id: dict[str, _Entry] = {}
# Reentrant, because the collector may call _forget_entry while this thread is inside.
_lock = threading.RLock()


def with_identity(obj: Any, reduced: tuple[Any, ...], *, shared: bool) -> tuple[Any, ...]:
    """Return a reduction of an object that its definer will recognise.

    ``reduced`` is ``(make, args, state, None, None, setter)`` or its beginning. ``shared`` says
    that who gets it more than once uses one object: it is the same wherever it comes from.
    Nobody can know who an object is that cannot be referred to weakly; it goes as it is.
    """
    with _lock:
        entry = _by_address.get(id(obj))
        if entry is None:
            entry = _enter_object(obj, uuid.uuid4().hex, original=True, shared=True)
    if entry is None:
        return reduced
    make, args, *rest = reduced
    state = rest[0] if rest else None
    setter = rest[3] if len(rest) > 3 else _update_attributes
    given = (entry.id, shared, make, args)
    if state is None:
        return recall_object, given
    return recall_object, given, (entry.original, setter, state), None, None, fill_arrived


def recall_object(id: str, shared: bool, make: Callable[..., Any], args: Any) -> Any:  # noqa: FBT001
    """Return the object of an identity: the one that is known here, or a new one."""
    known = _find_known(id)
    if known is not None:
        return known
    made = make(*args)
    with _lock:
        # Another thread may have been quicker.
        known = _find_known(id)
        if known is None:
            _enter_object(made, id, original=False, shared=shared)
    return made if known is None else known


def _find_known(id: str) -> Any:
    entry = _by_id.get(id)
    return None if entry is None else entry()


def fill_arrived(obj: Any, given: tuple[bool, Setter, Any]) -> None:
    """Fill an object that has arrived; leave alone what was defined here."""
    original, setter, state = given
    entry = _by_address.get(id(obj))
    if entry is None:
        setter(obj, state)
    elif not entry.finished or (original and not entry.original):
        setter(obj, state)
        entry.finished = True


def _enter_object(obj: Any, id: str, *, original: bool, shared: bool) -> _Entry | None:
    try:
        entry = _Entry(obj, _forget_entry)
    except TypeError:
        return None
    entry.address, entry.id = builtins.id(obj), id
    entry.original = entry.finished = original
    _by_address[entry.address] = entry
    if shared:
        _by_id[id] = entry
    return entry


def _forget_entry(entry: Any) -> None:
    with _lock:
        if _by_address.get(entry.address) is entry:
            del _by_address[entry.address]
        if _by_id.get(entry.id) is entry:
            del _by_id[entry.id]


def _update_attributes(obj: Any, state: dict[str, Any]) -> None:
    obj.__dict__.update(state)
