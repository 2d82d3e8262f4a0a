"""How single variables are stored beside a task: openly, encrypted only, or not at all.

A variable that says nothing is stored as the queue stores all values. One that holds a credential
says so here, once, where it is declared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from catena.ids import Key

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
