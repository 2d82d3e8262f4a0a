"""What is counted of the source: lines of code and prose, words of names, ways through a call.

``python -m tests.house.measures`` prints all of it, beside what the release before had.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.house.imports import SOURCE, modules

__all__ = [
    "BEFORE",
    "Lines",
    "area_of",
    "count_lines",
    "functions_calling",
    "lines_by_area",
    "named_functions",
    "one_word_share",
    "words_found",
]

DOCS = SOURCE.parent / "docs"


class Lines(NamedTuple):
    """Lines of code, without blanks, comments and docstrings, and lines of those two."""

    code: int
    prose: int


BEFORE = {"core": 12_408, "demo": 1_538, "collect": 1_538, "cli": 346}
"""Lines of code before the house was built anew, by area, counted by this module."""

# What a protocol of the standard library, or a port that names it, calls so.
_FIXED = frozenset(
    {
        *("asend", "athrow", "aclose", "throw", "send", "close", "write", "read", "flush"),
        *("get", "set", "reset", "run", "items", "keys", "values", "cancel", "emit", "filter"),
        *("reducer_override", "persistent_id", "dump", "dumps", "load", "loads", "main"),
        *("put", "clear", "add", "pop", "result", "done", "fileno", "isatty", "format"),
    }
)


def count_lines(text: str) -> Lines:
    """Count the lines of one module."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            for one in node.body:
                if isinstance(one, ast.Expr) and isinstance(one.value, ast.Constant):
                    docstrings.update(range(one.lineno, (one.end_lineno or 0) + 1))
    code: set[int] = set()
    comments: set[int] = set()
    layout = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments.add(token.start[0])
        elif token.type not in layout:
            code.update(range(token.start[0], token.end[0] + 1))
    return Lines(len(code - docstrings), len(docstrings | (comments - code)))


def area_of(module: str) -> str:
    """Return where the lines of a module are counted."""
    for area, package in (
        ("demo", "catena.demo"),
        ("collect", "catena.collect"),
        ("cli", "catena.cli"),
    ):
        if module == package or module.startswith(f"{package}."):
            return area
    return "core"


def lines_by_area(files: dict[str, str]) -> dict[str, Lines]:
    """Return the lines of each area, and of all together as ``src``."""
    code: Counter[str] = Counter()
    prose: Counter[str] = Counter()
    for name, text in files.items():
        found = count_lines(text)
        for area in (area_of(name), "src"):
            code[area] += found.code
            prose[area] += found.prose
    return {area: Lines(code[area], prose[area]) for area in code}


def named_functions(files: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield module and name of each function whose name we chose.

    Properties, overloads, dunders and names of the standard library's protocols are left out.
    """
    for module, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            marks = {ast.unparse(one).rpartition(".")[2] for one in node.decorator_list}
            name = node.name.strip("_")
            dunder = node.name.startswith("__") and node.name.endswith("__")
            if not (marks & {"property", "overload", "setter"} or dunder or name in _FIXED):
                yield module, node.name


def one_word_share(files: dict[str, str]) -> float:
    """Return the share of function names that are a single word."""
    names = [name.strip("_") for _, name in named_functions(files)]
    return sum("_" not in name for name in names) / len(names)


def words_found(texts: dict[str, str], pattern: str) -> list[str]:
    """Return where words stand that shall not, with their lines."""
    sought = re.compile(pattern, re.IGNORECASE)
    return [
        f"{name}:{number}: {line.strip()}"
        for name, text in texts.items()
        for number, line in enumerate(text.splitlines(), 1)
        if sought.search(line)
    ]


def functions_calling(files: dict[str, str], called: str) -> list[str]:
    """Return the functions in which something is called, by module and name, each once."""
    found: list[str] = []
    for module, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                calls = [one for one in _own_nodes(node) if isinstance(one, ast.Call)]
                if any(ast.unparse(one.func) == called for one in calls):
                    found.append(f"{module}.{node.name}")
    return found


def _own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """Yield what stands in a function, but not in functions within."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from _own_nodes(child)


def docs_texts(folder: Path = DOCS) -> dict[str, str]:
    """Return the pages by their path below the folder."""
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.md")}


def _report() -> None:
    files = modules()
    total = sum(BEFORE.values())
    for area, lines in lines_by_area(files).items():
        before = BEFORE.get(area, total)
        print(
            f"{area:8} {lines.code:6} lines of code ({lines.code / before:5.0%} of {before}),"
            f" {lines.prose / lines.code:.2f} lines of prose a line"
        )
    print(f"one-word names of functions: {one_word_share(files):.0%}")
    told = words_found({**files, **docs_texts()}, r"\btell(s|ing)?\b|\btold\b")
    print(f"tell and told: {len(told)}")


if __name__ == "__main__":
    _report()
