"""Leases: which calls a proxy is bound for, from the mount of each until its unmount.

A call takes its lease by an entry in the ``Leases`` of its proxy, and releases it by taking the
entry out again: both are in the way of every call, so nothing is called for it. What is counted and
listed is read from there, so it is true at every moment.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import perf_counter_ns
from typing import Any, Literal, NamedTuple, Protocol
from weakref import WeakSet

from catena.standing import copy_members, count_with

LeaseState = Literal["called", "outlived"]
"""Whether the call that holds a lease is still open."""

all_leases: WeakSet[Leases] = WeakSet()
"""Those of every proxy of this process."""


class Holder(Protocol):
    """A call on a worker, as far as its lease is concerned."""

    @property
    def over(self) -> bool:
        """Whether nobody waits for an answer any more."""
        ...

    @property
    def routine(self) -> str:
        """The full name of its routine."""
        ...

    @property
    def number(self) -> int:
        """Its number on its link."""
        ...

    @property
    def caller(self) -> str:
        """Who has made it."""
        ...


class Leases(dict[Holder, tuple[str, int]]):
    """The leases of one proxy, by who holds them.

    Each is the path by which the proxy came, ``chain`` or ``fields``, and since when it is held, in
    nanoseconds of ``perf_counter_ns``. ``bound`` is what has the proxy bound for further calls.
    Leases of no proxy, whose id is empty, are not counted.
    """

    def __init__(self, proxy_id: bytes = b"") -> None:
        super().__init__()
        self.proxy_id = proxy_id
        self.bound: WeakSet[Any] = WeakSet()
        if proxy_id:
            all_leases.add(self)

    __hash__ = object.__hash__  # type: ignore[assignment]
    __eq__ = object.__eq__
    __ne__ = object.__ne__


class HeldLease(NamedTuple):
    """A lease that is held: of which proxy, how that came, and by whom since when."""

    proxy_id: bytes
    source: str
    routine: str
    call: int
    caller: str
    seconds: float
    state: LeaseState


def list_leases() -> list[HeldLease]:
    """Return the leases that are held in this process, the oldest first; from any thread."""
    now = perf_counter_ns()
    found = [
        HeldLease(
            of.proxy_id,
            source,
            holder.routine,
            holder.number,
            holder.caller,
            (now - since) / 1e9,
            _state_of(holder),
        )
        for of in copy_members(all_leases)
        for holder, (source, since) in of.copy().items()
    ]
    return sorted(found, key=lambda one: -one.seconds)


@count_with("leases")
def _count_leases() -> Iterator[tuple[str, str]]:
    for of in copy_members(all_leases):
        for holder, (source, _) in of.copy().items():
            yield source, _state_of(holder)


def _state_of(holder: Holder) -> LeaseState:
    return "outlived" if holder.over else "called"


# A forked child runs none of its parent's calls.
os.register_at_fork(after_in_child=all_leases.clear)
