"""All live variables by key, weakly: a collected variable frees its key.

A key may arrive from a peer before the module that declares it is imported. Then a stub is held;
the later declaration becomes that same object. Chains keep the stubs they bind alive.
"""

from __future__ import annotations

import threading
from weakref import WeakValueDictionary

from catena.context.variable import Variable
from catena.ids import Key

lock = threading.RLock()
variables: WeakValueDictionary[Key, Variable] = WeakValueDictionary()


def find(key: Key) -> Variable | None:
    """Return the live variable of a key ``(namespace, name)``, or None."""
    return variables.get(key)
