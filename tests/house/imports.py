"""Who imports whom, read from the source and not from running it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

__all__ = ["SOURCE", "Import", "circle", "imports", "module_name", "modules"]

SOURCE = Path(__file__).parents[2] / "src"


class Import(NamedTuple):
    """One imported name; ``when`` is load, typing or late (inside a function)."""

    importer: str
    imported: str
    name: str
    when: str


def modules(source: Path = SOURCE) -> dict[str, str]:
    """Return the text of every module by its dotted name, generated ones left out."""
    return {
        module_name(path, source): path.read_text("utf-8")
        for path in sorted((source / "catena").rglob("*.py"))
        if not path.name.endswith("_pb2.py")
    }


def module_name(path: Path, source: Path = SOURCE) -> str:
    """Return the dotted name of a file below the source folder."""
    parts = path.relative_to(source).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(files: dict[str, str]) -> list[Import]:
    """Return what the modules import; of a package's submodule, the submodule."""
    return [one for name, text in files.items() for one in _of(name, text, set(files))]


def _of(importer: str, text: str, known: set[str]) -> Iterator[Import]:
    for node, when in _nodes(ast.parse(text), "load"):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, "", when)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield Import(importer, whole if whole in known else base, alias.name, when)


def _nodes(tree: ast.AST, when: str) -> Iterator[tuple[ast.AST, str]]:
    for node in ast.iter_child_nodes(tree):
        inner = when
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            inner = "late"
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            inner = "typing"
        yield node, when
        yield from _nodes(node, inner)


def circle(edges: set[tuple[str, str]]) -> list[str]:
    """Return the nodes that are left when what nobody waits for is taken away: those in circles."""
    nodes = {node for edge in edges for node in edge}
    while True:
        free = {node for node in nodes if not any(a == node and b in nodes for a, b in edges)}
        if not free:
            return sorted(nodes)
        nodes -= free
