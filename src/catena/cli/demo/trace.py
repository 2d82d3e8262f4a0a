"""The tree of a run's calls, from what this process and the workers saw of them; pure.

Its one rule: siblings of one name are one node, so a run of thousands of calls is a few lines.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

__all__ = ["Node", "Seen", "Trace", "trace_of"]

_WORKERS = 4
"""Up to so many workers each have a node of their own."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A call as its caller saw it (``dispatch``) or the worker that ran it (``execution``).

    ``parent`` is the id of what it belongs to: of a dispatch the execution that made it, empty in
    the process of the demo; of an execution its dispatch. ``worker`` is who ran the call, ``about``
    what the call was made for, where that is known.
    """

    id: str
    parent: str
    kind: Literal["dispatch", "execution"]
    routine: str
    worker: str
    seconds: float
    end: str
    about: str = ""


@dataclass(frozen=True, slots=True)
class Node:
    """Calls of one name below one node: how many, how long half of them and the longest took."""

    name: str
    calls: int
    half: float
    longest: float
    not_done: int = 0
    children: tuple[Node, ...] = ()


@dataclass(frozen=True, slots=True)
class Trace:
    """What there is to show: the calls of this process, and below them what workers told.

    ``calls`` counts dispatches, ``untold`` those whose worker told nothing of them.
    """

    calls: int
    untold: int
    roots: tuple[Node, ...]


def trace_of(seen: Sequence[Seen]) -> Trace | None:
    """Return the tree of all that was seen; None when there was no call."""
    below: dict[str, list[Seen]] = {}
    for one in seen:
        below.setdefault(one.parent, []).append(one)
    dispatches = [one for one in seen if one.kind == "dispatch"]
    if not dispatches:
        return None
    untold = sum(one.id not in below for one in dispatches)
    roots = [one for one in below.get("", ()) if one.kind == "dispatch"]
    return Trace(len(dispatches), untold, tuple(_grown(roots, below)))


def _grown(siblings: Iterable[Seen], below: dict[str, list[Seen]]) -> Iterable[Node]:
    """Yield a node for each name, in the order in which names come first."""
    named: dict[str, list[Seen]] = {}
    found = list(siblings)
    many = len({one.worker for one in found if one.kind == "execution"}) > _WORKERS
    for one in found:
        named.setdefault(_name(one, many=many), []).append(one)
    for name, group in sorted(named.items(), key=lambda item: _order(item[1][0])):
        children = _grown(_of(group, below), below)
        longest = max(group, key=lambda one: one.seconds)
        if len(group) > 1 and longest.about:
            example = f"the longest, {longest.about}"
            children = (*children, _node(example, [longest], _grown(_of([longest], below), below)))
        yield _node(name, group, children)


def _node(name: str, group: Sequence[Seen], children: Iterable[Node]) -> Node:
    seconds = [one.seconds for one in group]
    not_done = sum(one.end != "done" for one in group)
    return Node(name, len(group), median(seconds), max(seconds), not_done, tuple(children))


def _of(group: Iterable[Seen], below: dict[str, list[Seen]]) -> list[Seen]:
    return [child for one in group for child in below.get(one.id, ())]


def _order(first: Seen) -> tuple[bool, str]:
    """Return where a node stands: workers by name, calls as they came."""
    return (first.kind == "dispatch", first.worker if first.kind == "execution" else "")


def _name(one: Seen, *, many: bool) -> str:
    if one.kind == "dispatch":
        return one.routine.rpartition(".")[2]
    return "on workers" if many else f"on worker {one.worker.rpartition('-')[2]}"
