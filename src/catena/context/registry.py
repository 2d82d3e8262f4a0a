"""All live variables by key, weakly: a collected variable frees its key.

A key may arrive from a peer before the module that declares it is imported. Then a stub is held;
the later declaration becomes that same object. Chains keep the stubs they bind alive.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from catena.context.token import Token
    from catena.context.var import ContextVar

__all__ = ["Key", "departures", "find", "lock", "tokens", "variables"]

Key = tuple[str, str]

lock = threading.RLock()
variables: WeakValueDictionary[Key, ContextVar[Any]] = WeakValueDictionary()
tokens: WeakValueDictionary[bytes, Token[Any]] = WeakValueDictionary()
"""The tokens that have crossed to or from another process and are alive here, by id."""

departures: Iterator[int] = itertools.count(1)
"""Numbers in the order of what happens: a token is written, a call is told of tokens."""


def find(key: Key) -> ContextVar[Any] | None:
    """Return the live variable of a key ``(namespace, name)``, or None."""
    return variables.get(key)
