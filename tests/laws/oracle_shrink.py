"""Shrinking of a script by its shape: steps go, calls give way to what they run, numbers shrink.

Hypothesis shrinks what it drew, of which it knows no shape: with scripts that run in processes that
takes minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from tests.laws.oracle_scripts import Body, Call, Fork

__all__ = ["shrunk"]


def shrunk(script: Body, fails: Callable[[Body], bool], *, seconds: float) -> Body:
    """Return the smallest script found in so many seconds that fails as well."""
    end = monotonic() + seconds
    best, found = script, True
    while found:
        found = False
        for one in _smaller(best):
            if monotonic() > end:
                return best
            if fails(one):
                best, found = one, True
                break
    return best


def _smaller(value: Any) -> Iterator[Any]:
    """Return what a script, or what is in it, may become."""
    if isinstance(value, tuple):
        fields: tuple[str, ...] | None = getattr(value, "_fields", None)
        if fields is None:
            yield from _shorter(value)
        for place, inner in enumerate(value):
            for less in _smaller(inner):
                all_of_it = (*value[:place], less, *value[place + 1 :])
                yield all_of_it if fields is None else type(value)(*all_of_it)
    elif value and type(value) in (bool, int):
        yield type(value)(0)
        if value > 1:
            yield value - 1


def _shorter(body: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Return it without parts of it, the largest first, and with what single steps are about."""
    length = len(body)
    while length:
        for begin in range(0, len(body), length):
            yield body[:begin] + body[begin + length :]
        length //= 2
    for place, step in enumerate(body):
        if isinstance(step, Call | Fork):
            yield body[:place] + step.body + body[place + 1 :]
