"""C17: what ``carry`` takes, and under which name it knows a variable."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextvars
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import catena
from catena.context import carried
from catena.context.carried import find_carried, receive_carried, restore_carried
from tests.carrying import Defining, defining, nothing_carried

__all__ = ["defining", "nothing_carried"]


def place_of(var: contextvars.ContextVar[Any]) -> str:
    """The place by which a carried variable is known."""
    found = find_carried(var)
    assert found is not None
    return found.key[1]


def test_a_variable_is_known_by_its_module_and_name(defining: Defining) -> None:
    """C17: it is found in loaded modules, also under another name than its own."""
    plain = defining("carry_here", "color")
    other: contextvars.ContextVar[int] = contextvars.ContextVar("anything")
    sys.modules["carry_here"].__dict__["size"] = other

    catena.carry(plain, other)

    assert (place_of(plain), place_of(other)) == ("carry_here:color", "carry_here:size")


def test_a_module_that_is_being_imported_comes_last(
    defining: Defining, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C17: an application that imports a variable and carries it is not who defines it."""
    importing = ModuleType("carry_first")
    monkeypatch.setitem(sys.modules, "carry_first", importing)
    var = defining("carry_second")
    vars(importing)["var"] = vars(sys.modules["__main__"])["var"] = var
    try:
        assert importing.__spec__ is None
        importing.__spec__ = type("Spec", (), {"_initializing": True})()  # type: ignore[assignment]
        catena.carry(var)
    finally:
        del vars(sys.modules["__main__"])["var"]

    assert place_of(var) == "carry_second:var"


def test_at_names_the_place_of_a_variable_that_stands_nowhere() -> None:
    """C17: a variable in a list, or in a closure, is given its place."""
    hidden: contextvars.ContextVar[int] = contextvars.ContextVar("hidden")

    with pytest.raises(ValueError, match=r"'hidden' stands in no module.*at='module:name'"):
        catena.carry(hidden)
    catena.carry(hidden, at="some.module:name")

    assert place_of(hidden) == "some.module:name"


WRONG: list[tuple[Any, dict[str, Any], Exception]] = [
    ((), {}, TypeError("at least one contextvars.ContextVar")),
    (("rid",), {}, TypeError("takes contextvars.ContextVar, not str")),
    ((catena.ContextVar("own", namespace="carry"),), {}, TypeError("goes along by itself")),
    (2, {"at": "m:x"}, ValueError("at names one variable")),
    (1, {"at": "m"}, ValueError("at must have the form 'module:name', it is 'm'")),
    (1, {"at": "m:x:y"}, ValueError("at must have the form")),
    (1, {"at": 3}, TypeError("at must be a text such as 'module:name', it is 3")),
    (1, {"propagate": "back"}, ValueError("propagate must be 'both' or 'forward'")),
]


@pytest.mark.parametrize(("given", "options", "error"), WRONG)
def test_wrong_arguments_are_refused(
    given: Any, options: dict[str, Any], error: Exception, defining: Defining
) -> None:
    """C17: each is named, and nothing is carried then."""
    if isinstance(given, int):
        given = [defining("carry_wrong", f"var{number}") for number in range(given)]

    with pytest.raises(type(error), match=re.escape(str(error))):
        catena.carry(*given, **options)

    assert carried.sources == []


def test_two_variables_under_one_key_collide() -> None:
    """C17: the second is refused, with the place where the first was carried."""
    first: contextvars.ContextVar[int] = contextvars.ContextVar("first")
    second: contextvars.ContextVar[int] = contextvars.ContextVar("second")
    catena.carry(first, at="carry_two:var")

    with pytest.raises(catena.ContextVarCollision) as refused:
        catena.carry(second, at="carry_two:var")

    assert (refused.value.namespace, refused.value.name) == ("contextvars", "carry_two:var")
    assert "test_carry.py:" in refused.value.declared_at
    assert find_carried(second) is None


def test_a_variable_that_replaces_another_takes_its_place(defining: Defining) -> None:
    """C17: a cell of a notebook that runs again defines the variable anew."""
    first = defining("carry_again")
    catena.carry(first)
    second = defining("carry_again")
    catena.carry(second, propagate="both")

    assert find_carried(first) is None
    assert place_of(second) == "carry_again:var"


def test_to_carry_once_more_changes_how(defining: Defining) -> None:
    """C17: the later call counts."""
    var = defining("carry_more")
    catena.carry(var)
    catena.carry(var, propagate="both", at="elsewhere:var")

    found = find_carried(var)
    assert found is not None
    assert (found.key[1], found.propagate) == ("elsewhere:var", "both")
    assert len(carried._all) == 1


def test_what_arrives_is_found_in_its_module(defining: Defining) -> None:
    """C17: a worker has carried nothing itself, and knows the variable when its key comes."""
    var = defining("carry_arrives")

    found = receive_carried(("contextvars", "carry_arrives:var"), "both", load=True)

    assert found is find_carried(var)
    assert found is not None
    assert found.propagate == "both"


def test_one_variable_under_two_names_is_one(defining: Defining) -> None:
    """C17: two processes may find it in different modules that import it."""
    var = defining("carry_one")
    sys.modules["carry_one"].__dict__["alias"] = var
    catena.carry(var, at="carry_one:alias")

    assert receive_carried(("contextvars", "carry_one:var"), "forward", load=True) is (
        find_carried(var)
    )


def test_a_module_is_imported_on_workers_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """C17: a caller takes no import from what a worker answers."""
    (tmp_path / "carry_loaded.py").write_text(
        "import contextvars\nvar = contextvars.ContextVar('v')\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    key = ("contextvars", "carry_loaded:var")

    at_caller = receive_carried(key, "forward", load=False)
    assert "carry_loaded" not in sys.modules
    on_worker = receive_carried(key, "forward", load=True)
    monkeypatch.delitem(sys.modules, "carry_loaded")

    assert at_caller is on_worker
    assert on_worker is not None
    assert on_worker.is_found


def test_code_by_value_gets_a_variable_with_its_default() -> None:
    """C17: what a main module defines is made on the worker, once."""
    made = restore_carried("__main__:made", "made", "forward", 7)

    assert (made.name, made.get()) == ("made", 7)
    assert restore_carried("__main__:made", "made", "forward", 8) is made


def test_what_cannot_be_found_is_bounded() -> None:
    """C17: a peer cannot make a process keep any number of them."""
    limit = carried.PLACES_LIMIT
    found = [
        receive_carried(("contextvars", f"nowhere:v{number}"), "forward", load=False)
        for number in range(limit + 1)
    ]

    assert None not in found[:limit]
    assert found[limit] is None


def test_structlog_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """C17: the error has the command that installs it."""
    monkeypatch.setitem(sys.modules, "structlog.contextvars", None)

    with pytest.raises(ModuleNotFoundError, match="structlog is not installed: pip install"):
        catena.carry_structlog()
