"""Pure analysis of source text: the figures of a file and of each of its functions.

Its one rule: every node of a file's syntax tree is counted in one row, that of the innermost
function around it, or that of the file; so a function can be measured from its own text alone.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeGuard

from catena.cli.demo.rows import Figures, FileRow, FunctionRow

LARGE = 40
"""From this many lines on a function is large: it is measured by a routine of its own."""

Function = ast.FunctionDef | ast.AsyncFunctionDef

_FUNCTIONS = frozenset({ast.FunctionDef, ast.AsyncFunctionDef})
_BLOCKS = frozenset(
    {
        ast.If,
        ast.For,
        ast.AsyncFor,
        ast.While,
        ast.With,
        ast.AsyncWith,
        ast.Try,
        ast.TryStar,
        ast.Match,
    }
)
_DECISIONS = frozenset(
    {ast.If, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.IfExp, ast.comprehension}
)
_LEAVES = frozenset({ast.Load, ast.Store, ast.Del, ast.Constant, ast.Pass})
_STATEMENTS = ("body", "orelse", "finalbody", "handlers", "cases")


class NotParsable(ValueError):
    """The text is not a Python module; the message says what the parser said."""


@dataclass(frozen=True, slots=True)
class Found:
    """A function inside a parsed file: its dotted name and its node."""

    name: str
    node: Function

    @property
    def lines(self) -> int:
        """Lines from the ``def`` to the end of the body, decorators outside."""
        return (self.node.end_lineno or self.node.lineno) - self.node.lineno + 1


def parse(text: str) -> ast.Module:
    """The syntax tree of ``text``; raises ``NotParsable`` whatever the parser stumbles over.

    Warnings of the parser (an invalid escape, a return in a finally) are not ours to repeat.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(text)
        except SyntaxError as error:
            raise NotParsable(f"line {error.lineno}: {error.msg}") from None
        except (ValueError, RecursionError, MemoryError) as error:
            raise NotParsable(str(error) or type(error).__name__) from None


def source_lines(text: str) -> list[str]:
    """The lines of ``text`` as the parser counts them: a form feed does not end one."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def figures(root: ast.AST) -> Figures:
    """Count nesting, names and complexity of ``root`` (a module or a function).

    Nested functions, from ``def`` to their last line, are left out: each has a row of its own.
    Class bodies, lambdas and comprehensions belong to the code around them. A function's decorators
    are outside; its parameters, defaults and annotations are inside.

    nesting     how many ``if for while with try match`` blocks stand inside one another at the
                deepest place, 0 without any. An ``if`` that stands alone in an ``else`` is an
                ``elif`` and does not go deeper.
    names       how many different identifiers occur as a name or as a parameter. Attributes,
                keywords of a call, imported names and those of ``except … as`` do not count.
    complexity  1, and 1 more for each ``if``, ``elif``, ``for``, ``while``, ``except``,
                conditional expression, ``for`` and ``if`` of a comprehension, ``and``, ``or``, and
                each ``case`` except a bare ``case _`` or ``case name``. (McCabe's number, with
                boolean operators counted as most tools do.)
    """
    names: set[str] = set()
    decisions = 0
    deepest = 0
    stack = [(child, 0) for child in _children(root)]
    while stack:
        node, depth = stack.pop()
        kind = type(node)
        if kind in _FUNCTIONS or kind in _LEAVES:
            continue
        if isinstance(node, ast.Name):
            names.add(node.id)
            continue
        if isinstance(node, ast.arg):
            names.add(node.arg)
        decisions += _decisions(node)
        below = depth + (kind in _BLOCKS)
        deepest = max(deepest, below)
        elif_ = _elif(node)
        stack += [(child, depth if child is elif_ else below) for child in _children(node)]
    return Figures(nesting=deepest, names=len(names), complexity=1 + decisions)


def functions(tree: ast.Module) -> list[Found]:
    """Every function of a file, methods and functions inside functions too, in order of lines."""
    found: list[Found] = []
    stack: list[tuple[ast.AST, str]] = [(tree, "")]
    while stack:
        node, prefix = stack.pop()
        for child in _statements(node):
            name = prefix
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = f"{prefix}{child.name}."
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                found.append(Found(name[:-1], child))
            stack.append((child, name))
    return sorted(found, key=lambda one: one.node.lineno)


def fragment(lines: list[str], function: Function) -> str:
    """The text of one function, made to stand alone whatever its indentation in the file."""
    end = function.end_lineno or function.lineno
    text = "\n".join(lines[function.lineno - 1 : end]).lstrip("\f")
    return f"if 1:\n{text}\n" if text[:1] in " \t" else f"{text}\n"


def fragment_figures(text: str) -> Figures | None:
    """Figures of the function that ``fragment`` cut out, equal to those in its file.

    None when the text does not stand alone (a ``def`` behind a continued blank line does not).
    """
    try:
        found = functions(parse(text))
    except NotParsable:
        return None
    return figures(found[0].node) if found else None


def file_row(path: str, text: str, tree: ast.Module, count: int) -> FileRow:
    """The row of a file that defines ``count`` functions."""
    lines = len(source_lines(text))
    return FileRow(path=path, lines=lines, functions=count, figures=figures(tree))


def function_row(path: str, found: Found, measured: Figures | None = None) -> FunctionRow:
    """The row of a function: with figures measured elsewhere, or measured here."""
    return FunctionRow(
        path=path,
        name=found.name,
        line=found.node.lineno,
        lines=found.lines,
        figures=figures(found.node) if measured is None else measured,
    )


def is_large(found: Found) -> bool:
    """Whether a function is worth a routine of its own."""
    return found.lines >= LARGE


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for field in node._fields:
        if field == "decorator_list" and type(node) in _FUNCTIONS:
            continue
        value = getattr(node, field, None)
        if isinstance(value, ast.AST):
            yield value
        elif _is_list(value):
            yield from (item for item in value if isinstance(item, ast.AST))


def _is_list(value: object) -> TypeGuard[list[object]]:
    return isinstance(value, list)


def _statements(node: ast.AST) -> Iterator[ast.AST]:
    for field in _STATEMENTS:
        value = getattr(node, field, None)
        if _is_list(value):
            yield from (item for item in value if isinstance(item, ast.AST))


def _decisions(node: ast.AST) -> int:
    match node:
        case ast.BoolOp():
            return len(node.values) - 1
        case ast.comprehension():
            return 1 + len(node.ifs)
        case ast.match_case():
            bare = isinstance(node.pattern, ast.MatchAs) and node.pattern.pattern is None
            return 0 if bare and node.guard is None else 1
        case _:
            return int(type(node) in _DECISIONS)


def _elif(node: ast.AST) -> ast.AST | None:
    if isinstance(node, ast.If) and len(node.orelse) == 1 and isinstance(node.orelse[0], ast.If):
        return node.orelse[0]
    return None
