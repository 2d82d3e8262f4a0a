"""The tree of a run's calls, drawn for a terminal or as indented lines.

Its one rule: a node is one line that says the same in both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text
from rich.tree import Tree as RichTree

from catena.cli.demo.trace import Node, Trace
from catena.cli.demo.words import counted, duration, shown

__all__ = ["Tree", "drawn", "lines", "tree"]


@dataclass(frozen=True, slots=True)
class Tree:
    """A title and what stands below it."""

    title: str
    roots: tuple[Node, ...]


def tree(trace: Trace, run: str) -> Tree:
    """Return the tree of a trace; its title says what it was made from."""
    untold = f", {trace.untold} by its caller only" if trace.untold else ""
    calls = counted(trace.calls, "call")
    said = f"Trace of run {run}: {calls}, each as its caller and its worker saw it{untold}"
    return Tree(said, trace.roots)


def drawn(found: Tree) -> RichTree:
    """Return a tree of rich."""
    whole = RichTree(Text(found.title, style="bold"))
    pending = [(whole, node) for node in found.roots]
    for above, node in pending:
        below = above.add(Text(_said(node)))
        pending += [(below, child) for child in node.children]
    return whole


def lines(found: Tree) -> Iterator[str]:
    """Yield plain lines, each level two columns further to the right."""
    yield found.title
    pending = [(1, node) for node in reversed(found.roots)]
    while pending:
        depth, node = pending.pop()
        yield f"{'  ' * depth}{_said(node)}"
        pending += [(depth + 1, child) for child in reversed(node.children)]


def _said(node: Node) -> str:
    name = shown(node.name)
    bad = f", {node.not_done} not done" if node.not_done else ""
    if node.calls == 1:
        return f"{name}: {duration(node.longest)}{bad}"
    half, longest = duration(node.half), duration(node.longest)
    return f"{name}, {node.calls} calls: half within {half}, longest {longest}{bad}"
