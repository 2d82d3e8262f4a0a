"""All live variables by key, weakly: a collected variable frees its key.

A key may arrive from a peer before the module that declares it is imported. Then a stub is held;
the later declaration becomes that same object. Chains keep the stubs they bind alive.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from catena.context.token import Token
    from catena.context.var import ContextVar

__all__ = ["Key", "find", "lock", "tokens", "variables"]

Key = tuple[str, str]

lock = threading.RLock()
variables: WeakValueDictionary[Key, ContextVar[Any]] = WeakValueDictionary()
tokens: WeakValueDictionary[bytes, Token[Any]] = WeakValueDictionary()
"""The tokens that have crossed to or from another process and are alive here, by id."""


def find(key: Key) -> ContextVar[Any] | None:
    """Return the live variable of a key ``(namespace, name)``, or None."""
    return variables.get(key)
