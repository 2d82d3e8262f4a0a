"""Measuring functions in the text of a Python file; pure.

Its one rule: what belongs to a nested function is counted in that function's row only, so that a
function measures the same inside its file and cut out of it.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

LARGE = 40
"""From this many lines on a function is large, and is measured by a routine of its own."""

Function = ast.FunctionDef | ast.AsyncFunctionDef

_LOOPS = (ast.For, ast.AsyncFor, ast.While)
_DECISIONS = (ast.If, *_LOOPS, ast.ExceptHandler, ast.match_case, ast.IfExp)
_STATEMENTS = ("body", "orelse", "finalbody", "handlers", "cases")


@dataclass(frozen=True, slots=True)
class FileRow:
    """One file that was parsed; ``path`` is relative to the root, with ``/``."""

    path: str
    lines: int
    functions: int


@dataclass(frozen=True, slots=True)
class FunctionRow:
    """One function or method, by its dotted name in the file, from its ``def`` to its end.

    ``complexity`` is McCabe's: 1, and 1 more for each ``if``, ``elif``, ``for``, ``while``,
    ``except``, ``case``, conditional expression, ``and``, ``or``, and each ``for`` and ``if`` of a
    comprehension.
    """

    path: str
    name: str
    line: int
    lines: int
    complexity: int


def parse_source(text: str) -> ast.Module:
    """Return the syntax tree; raises SyntaxError and ValueError, and warns of nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def find_functions(tree: ast.Module) -> list[tuple[str, Function]]:
    """Return every function of a file with its dotted name, methods included, by line."""
    found: list[tuple[str, Function]] = []
    pending: list[tuple[ast.AST, str]] = [(tree, "")]
    while pending:
        node, prefix = pending.pop()
        for child in _list_statements(node):
            name = prefix
            if isinstance(child, Function | ast.ClassDef):
                name = f"{prefix}{child.name}."
            if isinstance(child, Function):
                found.append((name[:-1], child))
            pending.append((child, name))
    return sorted(found, key=lambda one: one[1].lineno)


def count_lines(function: Function) -> int:
    """Return how many lines a function has from its ``def``, decorators left out."""
    return (function.end_lineno or function.lineno) - function.lineno + 1


def measure_complexity(function: Function) -> int:
    """Return the complexity of a function's body; FunctionRow says what that is."""
    complexity = 1
    pending: list[ast.AST] = [*function.body]
    while pending:
        node = pending.pop()
        if not isinstance(node, Function):
            complexity += _count_decisions(node)
            pending += ast.iter_child_nodes(node)
    return complexity


def cut_out(lines: list[str], function: Function) -> str:
    """Return the text of one function as a module of its own, however far it is indented."""
    text = "\n".join(lines[function.lineno - 1 : function.end_lineno])
    return f"if 1:\n{text}\n" if text[:1].isspace() else f"{text}\n"


def measure_text(text: str) -> int | None:
    """Return the complexity of a function that was cut out; None if its text does not stand alone.

    A ``def`` that follows a continued line does not.
    """
    try:
        (_, function), *_ = find_functions(parse_source(text))
    except (SyntaxError, ValueError):
        return None
    return measure_complexity(function)


def _list_statements(node: ast.AST) -> Iterator[ast.AST]:
    for field in _STATEMENTS:
        inside: list[Any] = getattr(node, field, [])
        yield from inside


def _count_decisions(node: ast.AST) -> int:
    match node:
        case ast.BoolOp():
            return len(node.values) - 1
        case ast.comprehension():
            return 1 + len(node.ifs)
        case _:
            return isinstance(node, _DECISIONS)
