"""How many workers, members, links, calls and leases this process has now, and which worker it is.

The core keeps these objects in sets of its own. Here it registers functions that count them;
telemetry calls these whenever it collects metrics, so a gauge is right however late telemetry was
set up.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Literal, TypeVar
from weakref import WeakSet

WORKER = "CATENA_WORKER_ID"


Standing = Literal["workers", "members", "links", "calls", "leases"]
Numbers = Counter[tuple[str, ...]]
"""How many there are, by their labels."""

T = TypeVar("T")

Reader = Callable[[], Iterable[tuple[str, ...]]]
"""Yields the labels of each one."""

_readers: dict[Standing, Reader] = {}


def count_with(name: Standing) -> Callable[[Reader], Reader]:
    """Have the decorated function asked how many of these there are."""

    def register(read: Reader) -> Reader:
        _readers[name] = read
        return read

    return register


def count_now(name: Standing) -> Numbers:
    """Return how many of these there are at this moment; from any thread."""
    read = _readers.get(name)
    return Counter() if read is None else Counter(read())


def copy_members(of: WeakSet[T]) -> tuple[T, ...]:
    """Return what a set holds that another thread may change meanwhile."""
    for _ in range(100):
        try:
            return tuple(of)
        except RuntimeError:
            # It grew; the next look is a matter of microseconds.
            continue
    return ()


_here = ""
_slots = 0
_tags: tuple[str, ...] = ()


def worker_id() -> str:
    """Return the id of the worker that this process is, empty in any other process."""
    return _here or os.environ.get(WORKER, "")


def count_slots() -> int:
    """Return how many slots the worker has that this process is, 0 in any other process."""
    return _slots


def list_tags() -> tuple[str, ...]:
    """Return the tags of the worker that this process is, sorted; none in any other process."""
    return _tags


def adopt_id(worker: str, slots: int = 0, tags: Iterable[str] = ()) -> None:
    """Keep what this worker is, and hide its id from the processes that this one starts."""
    global _here, _slots, _tags
    _here, _slots, _tags = worker, slots, tuple(sorted(tags))
    os.environ.pop(WORKER, None)
