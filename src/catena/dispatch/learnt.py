"""What a worker has learnt on a link and keeps by number: least recently used goes first.

What is forgotten is asked for again (a Nack), so a limit costs time and never a call.
"""

from __future__ import annotations

import gc
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Learnt"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class Learnt(Generic[Key, Value]):
    """At most ``most`` values whose encodings take at most ``most_bytes``; the newest stays."""

    __slots__ = ("_bytes", "_forgotten", "_kept", "_most", "_most_bytes")

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._kept: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._bytes = 0
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._kept)

    def values(self) -> list[Value]:
        """Return what is known, the least recently used first."""
        return [value for value, _ in self._kept.values()]

    def get(self, key: Key) -> Value | None:
        """Return what is known, and note that it was used."""
        found = self._kept.get(key)
        if found is None:
            return None
        self._kept.move_to_end(key)
        return found[0]

    def keep(self, key: Key, value: Value, size: int) -> None:
        """Keep a value whose encoding takes ``size`` bytes."""
        before = self._kept.pop(key, None)
        self._bytes += size - (before[1] if before is not None else 0)
        self._kept[key] = value, size
        while len(self._kept) > 1 and (
            len(self._kept) > self._most or self._bytes > self._most_bytes
        ):
            forgotten = self._kept.popitem(last=False)[1][1]
            self._bytes -= forgotten
            self._forgotten += forgotten
        if self._forgotten > self._most_bytes:
            # A function that came by value refers to itself through its globals.
            self._forgotten = 0
            gc.collect()

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._bytes = 0
