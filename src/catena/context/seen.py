"""Seen: what the values of a state were when they were last compared, all of them at once.

Most calls change nothing in place. To find that out, one snapshot of all values is quicker than to
write one after the other; what changed, if something did, is found out by itself.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from catena.context.chain import State
from catena.context.changes import is_fixed
from catena.context.manifest import Values

__all__ = ["Seen", "as_seen", "is_flat", "look"]

_FLAT = frozenset({list, set, bytearray})


class Seen(NamedTuple):
    """A snapshot of all values that can change in place, and whether each was flat.

    A flat value holds nothing that can change but itself. Only of such values a snapshot may be
    taken that does not tell whether one object is in two places.
    """

    flat: bool
    data: tuple[bytes, ...]


def look(state: State, values: Values) -> Seen | None:
    """Return what the values of a state are now, None where it takes more than a look.

    To be asked before the values are compared one by one: then, what another thread changes in
    between is found by either the one or the other.
    """
    loose = state.loose
    if loose is None:
        bindings = [(var, one) for var, one in state.settle().items() if not one.fixed]
        if any(one.seal is not None for _, one in bindings):
            # Not handed out yet: that is told by the bytes that came.
            return None
        loose = state.loose = tuple([var.backing.get for var, _ in bindings])
    flat = all(is_flat(get()) for get in loose)
    data = values.snapshot(loose, flat=flat) if loose else None
    if data is None:
        # Not built in: nobody tries that again with each call.
        state.loose = ()
        return None
    return Seen(flat, data)


def as_seen(state: State, seen: Seen | None, values: Values) -> bool:
    """Say whether all values of a state are as they were seen."""
    if seen is None or not state.loose:
        return False
    return values.snapshot(state.loose, flat=seen.flat) == seen.data


def is_flat(value: Any) -> bool:
    """Say whether a value surely holds no other one that can be changed in place."""
    kind: object = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is dict:
        return all(map(is_fixed, value)) and all(map(is_fixed, value.values()))
    return kind in _FLAT and all(map(is_fixed, value))
