"""Snapshots: the values of a state as they were when they were last compared, all of them at once.

Most calls change nothing in place. One snapshot of all values finds that out faster than encoding
one value after the other; only when it differs are the values compared one by one.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from catena.context.chain import State
from catena.transfer.diff import is_fixed
from catena.transfer.manifest import Values

_FLAT = frozenset({list, set, bytearray})


class Snapshot(NamedTuple):
    """The bytes of all values that can change in place, and whether each value was flat.

    A flat value holds nothing that can change but itself. Only of such values a snapshot may be
    taken that does not show whether one object is in two places.
    """

    flat: bool
    data: tuple[bytes, ...]


def take_snapshot(state: State, values: Values) -> Snapshot | None:
    """Return what the values of a state are now, None where one snapshot cannot show it.

    To be taken before the values are compared one by one: then, what another thread changes in
    between is found by either the one or the other.
    """
    getters = state.getters
    if getters is None:
        changeable = [(var, one) for var, one in state.materialize().items() if not one.fixed]
        if any(one.fingerprint is not None for _, one in changeable):
            # Not exposed yet: the bytes that came say what it is.
            return None
        getters = state.getters = tuple([var.backing.get for var, _ in changeable])
    flat = all(is_flat(get()) for get in getters)
    data = values.snapshot(getters, flat=flat) if getters else None
    if data is None:
        # Not built in: nobody tries that again with each call.
        state.getters = ()
        return None
    return Snapshot(flat, data)


def matches(state: State, snapshot: Snapshot | None, values: Values) -> bool:
    """Say whether all values of a state are as they were when a snapshot was taken."""
    if snapshot is None or not state.getters:
        return False
    return values.snapshot(state.getters, flat=snapshot.flat) == snapshot.data


def is_flat(value: Any) -> bool:
    """Say whether a value surely holds no other one that can be changed in place."""
    kind: object = type(value)  # pyright: ignore[reportUnknownVariableType]
    if kind is dict:
        return all(map(is_fixed, value)) and all(map(is_fixed, value.values()))
    return kind in _FLAT and all(map(is_fixed, value))
