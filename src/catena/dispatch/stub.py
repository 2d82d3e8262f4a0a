"""The stub of a function: the same signature, which takes its arguments and does nothing.

A routine calls it first, so that a missing or a surplus argument is refused where the call is made,
with the text that the function itself would give, and not where the call is awaited or on the
worker.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from types import CodeType, FunctionType
from typing import Any

_VARIABLE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS


def stub_of(function: FunctionType) -> Callable[..., None]:
    """Return a function that takes what another one takes, and returns None.

    Its signature is that of the function itself, whatever that wraps.
    """
    code = function.__code__
    variable = code.co_flags & _VARIABLE
    count = code.co_argcount + code.co_kwonlyargcount + variable.bit_count()
    body = _do_nothing.__code__
    stub = FunctionType(
        body.replace(
            co_argcount=code.co_argcount,
            co_posonlyargcount=code.co_posonlyargcount,
            co_kwonlyargcount=code.co_kwonlyargcount,
            co_nlocals=count,
            co_varnames=code.co_varnames[:count],
            co_flags=body.co_flags | variable,
        ),
        {},
        function.__name__,
        function.__defaults__,
    )
    stub.__kwdefaults__ = function.__kwdefaults__
    stub.__qualname__ = function.__qualname__
    return stub


def mark_async(function: FunctionType, *, stream: bool) -> FunctionType:
    """Return a plain function as ``inspect`` sees a coroutine or an async-generator function.

    Only the mark in its code is set, which ``inspect`` looks at; what a call does is decided by the
    instructions alone.
    """
    code = _mark_code(function.__code__, stream=stream)
    name, closure = function.__name__, function.__closure__
    return FunctionType(code, function.__globals__, name, None, closure)


@cache
def _mark_code(code: CodeType, *, stream: bool) -> CodeType:
    mark = inspect.CO_ASYNC_GENERATOR if stream else inspect.CO_COROUTINE
    return code.replace(co_flags=code.co_flags | mark)


def _do_nothing() -> Any:
    """Do nothing."""
