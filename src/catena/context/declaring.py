"""How a ``ContextVar`` is declared: its arguments, checked as the stdlib checks them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

NOT_GIVEN: Any = object()
"""Stands for an argument that was not given, where every value is one."""


def find_declaring_frame() -> FrameType:
    """Return the frame that declares a variable: the caller of the caller."""
    getframe: Callable[[int], FrameType] = getattr(sys, "_getframe")  # noqa: B009
    return getframe(2)


def namespace_of(frame: FrameType) -> str:
    """Return the top-level package of the module that a frame belongs to."""
    names = frame.f_globals
    module: str = names.get("__name__", "__main__")
    if module == "__mp_main__":
        module = "__main__"
    if module == "__main__" and (spec := names.get("__spec__")) is not None:
        module = spec.name
    return module.partition(".")[0]


def not_one_argument(method: str, first: object, rest: tuple[object, ...]) -> TypeError:
    """Return what the stdlib raises for any number of arguments but one."""
    given = 0 if first is NOT_GIVEN else 1 + len(rest)
    return TypeError(f"ContextVar.{method}() takes exactly one argument ({given} given)")
