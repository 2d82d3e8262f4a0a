"""For tests of carried variables: a process that carries nothing, before and after."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import contextvars
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest

from catena.context import carried

__all__ = ["Defining", "carrying_alone", "defining", "nothing_carried"]

Defining = Callable[..., contextvars.ContextVar[Any]]
"""Makes a variable that stands in a module of its own, by the name of the module."""


def _forget() -> None:
    carried.sources.clear()
    carried._known.clear()
    carried._places.clear()
    carried._tried.clear()
    carried._all = ()


@contextmanager
def carrying_alone() -> Generator[None]:
    """Forget what other tests carry, and let them not see what this one does."""
    _forget()
    try:
        yield
    finally:
        _forget()


@pytest.fixture(autouse=True)
def nothing_carried() -> Iterator[None]:
    """Let each test begin and end with nothing carried."""
    with carrying_alone():
        yield


@pytest.fixture
def defining(monkeypatch: pytest.MonkeyPatch) -> Defining:
    """Make a variable that stands in a module, which is loaded as long as the test runs."""

    def define(module: str, name: str = "var", **options: Any) -> contextvars.ContextVar[Any]:
        made: contextvars.ContextVar[Any] = contextvars.ContextVar(name, **options)
        if module not in sys.modules:
            monkeypatch.setitem(sys.modules, module, ModuleType(module))
        setattr(sys.modules[module], name, made)
        return made

    return define
