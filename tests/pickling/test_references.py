"""What travels as a name: what a worker gets by importing the module that defines it."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

from catena.pickling import references
from catena.pickling.references import find_reference, is_importable, load_reference


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as people write them."""

    @functools.wraps(function)
    def inner(*args: Any) -> Any:
        return function(*args)

    return inner


@wrapped
@wrapped
def decorated() -> int:
    """A function under two decorators."""
    return 1


class Holder:
    """A class with decorated methods."""

    @classmethod
    @wrapped
    def made(cls) -> int:
        """A class method."""
        return 2


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module of one function, found on the path."""
    (tmp_path / "found_here.py").write_text("def f(): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "found_here", raising=False)
    monkeypatch.setattr(references, "_modules", {})
    yield importlib.import_module("found_here")
    sys.modules.pop("found_here", None)


def test_a_function_under_its_decorators_has_a_reference() -> None:
    """D1: by what wraps leaves, one step for each; a class method by its function."""
    base = f"{__name__}:decorated"
    inner: Any = decorated
    for steps in range(3):
        name = base + ".__wrapped__" * steps
        assert find_reference(inner) == name
        assert load_reference(name) is inner
        inner = getattr(inner, "__wrapped__", None)
    method = vars(Holder)["made"].__func__
    assert find_reference(method) == f"{__name__}:Holder.made.__func__"
    assert load_reference(f"{__name__}:Holder.made.__func__") is method


def test_a_module_that_is_found_again_is_importable(module: Any) -> None:
    """D3: on the path, of the standard library, a package's."""
    assert is_importable("found_here")
    assert find_reference(module.f) == "found_here:f"
    assert all(is_importable(name) for name in ("json", "json.decoder", "os.path", __name__))
    assert find_reference(json.dumps) == "json:dumps"


def test_a_module_that_was_loaded_some_other_way_is_not(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3: from a path of its own, under another module's name, or made by hand."""
    for name in ("found_here", "on_no_path"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        place = tmp_path / "sub" / f"{name}.py"
        place.write_text("def f(): return 2\n")
        spec: Any = importlib.util.spec_from_file_location(name, place)
        other = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(other)
        monkeypatch.setitem(sys.modules, name, other)
        monkeypatch.setattr(references, "_modules", {})
        assert not is_importable(name)
        assert find_reference(other.f) is None
    monkeypatch.setitem(sys.modules, "by_hand", types.ModuleType("by_hand"))
    assert not any(is_importable(name) for name in ("by_hand", "__main__", "not_loaded_at_all"))


def test_a_module_whose_parent_is_not_found_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3: as pytest's import mode importlib makes them."""
    package = types.ModuleType("made_package")
    package.__path__ = [str(tmp_path)]
    (tmp_path / "part.py").write_text("x = 1\n")
    monkeypatch.setitem(sys.modules, "made_package", package)
    part = importlib.import_module("made_package.part")
    monkeypatch.setitem(sys.modules, "made_package.part", part)
    assert not is_importable("made_package.part")


def test_a_module_found_before_the_directory_changed_is_importable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """D3: a relative entry of the path meant another place then."""
    (tmp_path / "from_here.py").write_text("x = 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    importlib.import_module("from_here")
    monkeypatch.chdir("/")
    assert is_importable("from_here")
    monkeypatch.delitem(sys.modules, "from_here")


def test_what_is_registered_with_cloudpickle_goes_by_value(module: Any) -> None:
    """D3: until it is registered no more."""
    cloudpickle.register_pickle_by_value(module)
    try:
        assert find_reference(module.f) is None
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    assert find_reference(module.f) == "found_here:f"


def test_a_module_that_was_reloaded_goes_by_value(module: Any) -> None:
    """D3: workers may have imported it as it was."""
    assert find_reference(module.f) == "found_here:f"
    again = importlib.reload(module)
    assert find_reference(again.f) is None


def test_a_module_that_was_reloaded_before_it_was_asked_about_is_importable(module: Any) -> None:
    """D3: nobody has sent its name yet."""
    assert find_reference(importlib.reload(module).f) == "found_here:f"


def test_a_finder_that_fails_finds_nothing(module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """D3: an import on a worker would fail with it."""

    class Failing:
        def find_spec(self, *_: Any) -> Any:
            raise ValueError("mine")

    monkeypatch.setattr(sys, "meta_path", [Failing(), *sys.meta_path])
    assert not is_importable("found_here")
