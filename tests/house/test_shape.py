"""The shape of the source: short files, short functions, nothing swallowed."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.house.imports import modules

LINES = 400
BODY_LINES = 40
NESTING = 3

# What may be longer than the walls, by name, with its reason.
LONG_FILES: set[str] = set()
LONG_FUNCTIONS: set[str] = set()

Function = ast.FunctionDef | ast.AsyncFunctionDef


def long_files(files: dict[str, str]) -> list[str]:
    """Return the modules beyond the wall."""
    lengths = {name: len(text.splitlines()) for name, text in files.items()}
    return [
        f"{name} has {lines} lines"
        for name, lines in lengths.items()
        if lines > LINES and name not in LONG_FILES
    ]


def long_functions(files: dict[str, str]) -> list[str]:
    """Return the functions whose bodies are beyond the wall, without their documentation."""
    return [
        f"{name}.{node.name} has {lines} lines"
        for name, node in _functions(files)
        if (lines := _body_lines(node)) > BODY_LINES and f"{name}.{node.name}" not in LONG_FUNCTIONS
    ]


def deep_functions(files: dict[str, str]) -> list[str]:
    """Return the functions that nest too many blocks."""
    return [
        f"{name}.{node.name} nests {depth} deep"
        for name, node in _functions(files)
        if (depth := _depth(node)) > NESTING
    ]


def asserts(files: dict[str, str]) -> list[str]:
    """Return the asserts: an error of ours has a name, and -O takes no check away."""
    return [
        f"{name}:{node.lineno} asserts"
        for name, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Assert)
    ]


def swallowed(files: dict[str, str]) -> list[str]:
    """Return the handlers that take every exception and do nothing with it."""
    return [
        f"{name}:{node.lineno} swallows"
        for name, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or ast.unparse(node.type) in ("Exception", "BaseException"))
        and all(isinstance(one, ast.Pass | ast.Continue) or _is_dots(one) for one in node.body)
    ] + [
        f"{name}:{node.lineno} suppresses"
        for name, text in files.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("suppress")
        and any(ast.unparse(one) in ("Exception", "BaseException") for one in node.args)
    ]


def undocumented(files: dict[str, str]) -> list[str]:
    """Return the modules that do not say what they are."""
    return [name for name, text in files.items() if not ast.get_docstring(ast.parse(text))]


def _body_lines(node: Function) -> int:
    body = node.body if ast.get_docstring(node) is None else node.body[1:]
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def _functions(files: dict[str, str]) -> Iterator[tuple[str, Function]]:
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, Function):
                yield name, node


def _depth(node: ast.AST) -> int:
    """Return how many blocks are inside of one another, functions within not counted."""
    blocks = ast.If | ast.For | ast.AsyncFor | ast.While | ast.With | ast.AsyncWith | ast.Try
    deepest = 0
    for child in ast.iter_child_nodes(node):
        if isinstance(child, Function):
            continue
        inner = _depth(child)
        # An elif is an If in the else of another: as deep as that one.
        elif_ = isinstance(child, ast.If) and isinstance(node, ast.If) and node.orelse == [child]
        deepest = max(deepest, inner + (isinstance(child, blocks) and not elif_))
    return deepest


def _is_dots(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _body(*lines: str) -> str:
    return "def f():\n" + "".join(f"    {line}\n" for line in lines)


CHECKS = [long_files, long_functions, deep_functions, asserts, swallowed, undocumented]
PLANTED = {
    "long_files": ["x = 1\n" * (LINES + 1)],
    "long_functions": [_body(*["x = 1"] * (BODY_LINES + 1))],
    "deep_functions": [
        "def f():\n" + "".join("    " * n + "if x:\n" for n in range(1, 6)) + "    " * 6 + "pass\n"
    ],
    "asserts": [_body("assert x"), "if x:\n    assert y, 'text'\n"],
    "swallowed": [
        _body("try: g()", "except Exception: pass"),
        _body("try: g()", "except: pass"),
        _body("for x in y:", "    try: g()", "    except BaseException: continue"),
        _body("try: g()", "except Exception as error: ..."),
        _body("with contextlib.suppress(Exception):", "    g()"),
    ],
    "undocumented": ["x = 1\n"],
}
FINE = '"""A module."""\n' + _body(
    "try: g()",
    "except Exception: log()",
    "try: g()",
    "except ValueError: pass",
    "with contextlib.suppress(OSError): g()",
    "if a: ...",
    *["elif a: ..."] * 9,
)


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
def test_the_source_keeps_the_rule(check: object) -> None:
    """Files, functions and blocks stay short; nothing is asserted, nothing swallowed."""
    assert callable(check)
    assert check(modules()) == []


@pytest.mark.parametrize("check", CHECKS, ids=lambda one: one.__name__)
def test_the_check_finds_planted_mistakes(check: object) -> None:
    """Each check fails on a small bad source, names it, and passes a good one."""
    assert callable(check)
    for text in PLANTED[check.__name__]:
        found = check({"catena.bad": text})
        assert len(found) == 1
        assert "catena.bad" in found[0]
    assert check({"catena.fine": FINE}) == []


def test_the_tables_name_nothing_that_is_gone() -> None:
    """An exception that nobody needs any more is taken out."""
    files = modules()
    assert set(files) >= LONG_FILES
    assert {f"{name}.{node.name}" for name, node in _functions(files)} >= LONG_FUNCTIONS
