"""How single variables are stored beside a task: openly, encrypted only, or not at all.

A variable that says nothing is stored as the queue stores all values. One that holds a credential
says so here, once, where it is declared.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, NamedTuple, TypeVar, cast

from catena.context.var import ContextVar
from catena.ids import Key
from catena.wording import class_name

T = TypeVar("T")

Persist = Literal["never", "plain", "encrypted"]
"""Whether a value may be stored: never, in any way, or only where the queue encrypts."""


class Persistence(NamedTuple):
    """What holds for one variable; ``has_expired`` is asked before its value is mounted."""

    persist: Persist = "plain"
    has_expired: Callable[[Any], bool] | None = None


PLAIN = Persistence()

persisted: dict[Key, Persistence] = {}
"""What was declared, by variable; few variables are."""


def declare_persistence(
    key: Key, *, persist: Persist = "plain", has_expired: Callable[[Any], bool] | None = None
) -> None:
    """Say how the values of a variable are stored, and when one is no longer to be mounted.

    Raises ValueError for an unknown ``persist``.
    """
    if persist not in ("never", "plain", "encrypted"):
        raise ValueError(f"persist must be 'never', 'plain' or 'encrypted', not {persist!r}")
    persisted[key] = Persistence(persist, has_expired)


def set_persistence(
    var: ContextVar[T],
    persist: Persist,
    *,
    expires: Callable[[T], float | None] | None = None,
) -> None:
    """Say whether a variable is stored with background tasks, and how long its values count.

    ``"never"`` keeps it out of every snapshot: tasks do not have it. ``"encrypted"`` keeps it out
    of the snapshots of queues that do not encrypt. ``"plain"`` holds for a variable of which nobody
    says anything. ``expires`` takes a value and returns its end, in seconds since the epoch, or
    None where it has none; a task that starts later than that does not have the value. Without it,
    what was given before holds. What is said later takes the place of what was said earlier.

    Call it next to the variable, in a module that the worker imports as well. Raises ValueError for
    another word, and TypeError for what is no ``catena.ContextVar``.
    """
    if not isinstance(cast("object", var), ContextVar):
        raise TypeError(f"set_persistence takes a catena.ContextVar, not {class_name(var)}")
    before = persisted.get(var.key, PLAIN).has_expired
    has_expired = before if expires is None else partial(_has_ended, expires)
    declare_persistence(var.key, persist=persist, has_expired=has_expired)


def find_expired(values: Mapping[Key, Any]) -> frozenset[Key]:
    """Return the variables whose values are over now; only those that can be are read."""
    ending = [(key, one.has_expired) for key, one in tuple(persisted.items()) if key in values]
    return frozenset(key for key, expired in ending if expired and expired(values[key]))


def _has_ended(find_end: Callable[[T], float | None], value: T) -> bool:
    end = find_end(value)
    return end is not None and end <= time.time()
