"""Values that a worker has received on a link and keeps by number, up to a limit.

The least recently used is dropped first. The worker asks for a dropped value again (by a Nack), so
the limit costs time, but never a call.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Hashable
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Learnt(OrderedDict[Key, Value]):
    """At most ``most`` values whose encodings take at most ``most_bytes``; the newest stays.

    Whoever uses a value moves it to the end.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        super().__init__()
        self._most, self._most_bytes = most, most_bytes
        self._sizes: dict[Key, int] = {}
        self._bytes = 0
        self._forgotten = 0

    def keep(self, key: Key, value: Value, size: int) -> None:
        """Keep a value whose encoding takes ``size`` bytes."""
        self._bytes += size - self._sizes.get(key, 0)
        self[key], self._sizes[key] = value, size
        self.move_to_end(key)
        while len(self) > 1 and (len(self) > self._most or self._bytes > self._most_bytes):
            oldest, _ = self.popitem(last=False)
            forgotten = self._sizes.pop(oldest)
            self._bytes -= forgotten
            self._forgotten += forgotten
        if self._forgotten > self._most_bytes:
            # A function that came by value refers to itself through its globals.
            self._forgotten = 0
            gc.collect()

    def clear(self) -> None:
        """Forget everything."""
        super().clear()
        self._sizes.clear()
        self._bytes = 0
