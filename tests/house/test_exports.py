"""The public face: one facade, every name there and sorted, nothing private across files."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator
from types import ModuleType

import pytest

import catena
from tests.house.imports import imports, modules

SOURCES = modules()

# What people import from. Everywhere else a name is public by having no underscore.
PUBLIC = ("catena", "catena.errors", *(f"catena.{name}" for name in catena._SUBMODULES))

# The stdlib's own, documented: of os, sys, named tuples and syntax trees.
PUBLIC_ALL_THE_SAME = {"_exit", "_getframe", "_xoptions", "_replace", "_fields", "_asdict", "_make"}


def order(name: str) -> tuple[int, str]:
    """Return where a name stands in a sorted list: constants, classes, the rest, as ruff has it."""
    rank = 0 if name.isupper() and len(name) > 1 else 1 if name[:1].isupper() else 2
    return rank, name


def listed(text: str) -> list[str] | None:
    """Return a module's ``__all__`` as written, None without one."""
    for node in ast.parse(text).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return list(ast.literal_eval(node.value))
    return None


def defined(text: str) -> set[str]:
    """Return the classes and functions of a module that have no underscore."""
    return {
        node.name
        for node in ast.parse(text).body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and not node.name.startswith("_")
    }


def missing(files: dict[str, str]) -> list[str]:
    """Return what public modules define, or others import from them, that they do not list."""
    wanted = {name: defined(files[name]) for name in PUBLIC if name in files}
    for one in imports(files):
        is_module = one.imported.endswith(f".{one.name}") or one.name.endswith("_pb2")
        if one.imported in wanted and one.name and not is_module:
            wanted[one.imported].add(one.name)
    return sorted(
        f"{module}.{name}"
        for module, names in wanted.items()
        for name in names - set(listed(files[module]) or ())
    )


def repeating(files: dict[str, str]) -> list[str]:
    """Return modules that list what their names say already: nobody imports them from outside."""
    return sorted(
        module
        for module, text in files.items()
        if module not in PUBLIC
        and (names := listed(text)) is not None
        and set(names) <= _bound(text)
    )


def _bound(text: str) -> set[str]:
    """Return the names that a module defines or assigns, not those that it imports."""
    found: set[str] = set()
    for node in ast.parse(text).body:
        match node:
            case ast.Assign(targets=targets):
                found |= {ast.unparse(one) for one in targets}
            case ast.AnnAssign(target=target):
                found.add(ast.unparse(target))
            case _:
                pass
    return found | defined(text)


def private(files: dict[str, str]) -> list[str]:
    """Return underscore names that cross a file: imported, or taken from what another made."""
    found = [
        f"{one.importer} imports {one.name}"
        for one in imports(files)
        if _is_private(one.name) and one.imported.startswith("catena")
    ]
    for module, text in files.items():
        tree = ast.parse(text)
        own = set(_own_names(tree))
        found += [
            f"{module} uses {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and _is_private(node.attr)
            and node.attr not in own
            and node.attr not in PUBLIC_ALL_THE_SAME
        ]
    return found


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def _own_names(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a file defines: on self, in slots, as classes, functions or fields."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="self" | "cls"), attr=name, ctx=ast.Store()):
                yield name
            case ast.Name(id=name, ctx=ast.Store()):
                yield name
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name):
                yield name
            case ast.AsyncFunctionDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id="__slots__")], value=value):
                yield from ast.literal_eval(value)
            case _:
                pass


def test_the_facade_is_sorted_and_every_name_resolves() -> None:
    """The package's own list is sorted, has nothing twice, and each name is there."""
    names = catena.__all__
    assert names == sorted(names, key=order)
    assert len(names) == len(set(names))
    for name in names:
        assert getattr(catena, name) is not None
    assert {"routine", "WorkerPool", "ContextVar", "statistics", "__version__"} <= set(names)


def test_the_facade_imports_nothing_that_it_does_not_list() -> None:
    """What the root imports is what it exports, but for names of its own."""
    bound = {
        alias.asname or alias.name
        for node in ast.parse(SOURCES["catena"]).body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
        if alias.asname is None or alias.asname in catena.__all__
    }
    assert bound == set(catena.__all__)


def test_dir_shows_the_product_and_nothing_else() -> None:
    """The public face: the listed names, and public submodules, which load when they are used."""
    assert set(dir(catena)) == {*catena.__all__, *catena._SUBMODULES}
    for name in catena._SUBMODULES:
        assert getattr(catena, name).__name__ == f"catena.{name}"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        getattr(catena, "nothing")  # noqa: B009 - not known to a type checker


@pytest.mark.parametrize("module", [one for one in SOURCES if listed(SOURCES[one]) is not None])
def test_a_modules_list_is_sorted_and_resolves(module: str) -> None:
    """Every list is sorted and free of repetitions, and every name in it is there."""
    names = listed(SOURCES[module]) or []
    loaded = importlib.import_module(module)
    assert names == sorted(names, key=order)
    assert len(names) == len(set(names))
    assert [name for name in names if not _resolves(loaded, name)] == []
    assert [name for name in names if _is_private(name)] == []


def _resolves(module: ModuleType, name: str) -> bool:
    """Say whether a module has a name, or says how to install what it needs for it."""
    try:
        return hasattr(module, name)
    except ModuleNotFoundError as missing:
        return "pip install" in str(missing)


def test_lists_are_complete() -> None:
    """A public module lists its classes and functions, and whatever another one imports from it."""
    assert missing(SOURCES) == []


def test_only_public_modules_list_their_own_names() -> None:
    """Elsewhere the underscore says what is private, and a list would say it again."""
    assert repeating(SOURCES) == []


def test_no_underscore_name_crosses_a_file() -> None:
    """What begins with an underscore is used where it is made."""
    assert private(SOURCES) == []


def test_every_error_of_the_tree_is_exported() -> None:
    """Whoever is to catch an error can import it from the package."""
    from catena import errors

    kinds = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert kinds <= set(catena.__all__)


# ---- the checks can fail


def test_a_definition_that_is_not_listed_is_found() -> None:
    """An unlisted function, and an unlisted name that is imported, are named."""
    files = {
        "catena.events": "__all__ = ['f']\ndef f(): ...\ndef g(): ...\nX = 1\ndef _h(): ...",
        "catena.b": "from catena.events import X, f",
    }
    assert missing(files) == ["catena.events.X", "catena.events.g"]


def test_a_list_that_repeats_is_found() -> None:
    """An internal module with a list of its own names; one that hands on others' may have one."""
    files = {
        "catena.a": "__all__ = ['X', 'f']\nX = 1\ndef f(): ...",
        "catena.b": "__all__ = ['X', 'f']\nfrom catena.a import X, f",
        "catena.errors": "__all__ = ['f']\ndef f(): ...",
    }
    assert repeating(files) == ["catena.a"]


@pytest.mark.parametrize(
    "line",
    [
        "from catena.a import _hidden",
        "from catena import a\na._hidden()",
        "def f(other):\n    return other._made_elsewhere",
    ],
)
def test_a_private_name_that_crosses_is_found(line: str) -> None:
    """Importing an underscore name, or reaching for one, is found."""
    assert private({"catena.a": "def _hidden(): ...", "catena.b": line}) != []


def test_private_names_of_ones_own_file_are_no_mistake() -> None:
    """A class may look into another instance of a class of its file."""
    text = "class A:\n    __slots__ = ('_x',)\n    def f(self, other):\n        return other._x"
    assert private({"catena.a": text}) == []


def test_the_order_is_constants_classes_the_rest() -> None:
    """The order that the formatter keeps is the one that is checked."""
    assert sorted(["b", "A", "XY", "__v__", "B"], key=order) == ["XY", "A", "B", "__v__", "b"]
