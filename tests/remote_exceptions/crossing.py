"""Exceptions that cross the wire, for the tests of what takes them apart and rebuilds them."""

from __future__ import annotations

from typing import Any

from catena.remote_exceptions import pickled
from catena.remote_exceptions.hops import RemoteTraceback


class Plain(Exception):
    """An error without anything of its own."""


class Picky(Exception):
    """An error whose constructor does not take its own args."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(f"{code}: {reason}")
        self.code, self.reason = code, reason


class Hidden:
    """A value that can neither be pickled nor shown."""

    def __reduce__(self) -> Any:
        raise TypeError("stays here")

    def __repr__(self) -> str:
        raise ValueError("no text")


def crossed(error: BaseException, worker: str = "w1", routine: str = "app.work") -> Any:
    """Return what arrives of an exception that ends a routine."""
    return pickled.unpickle_exception(
        pickled.pickle_exception(error, worker=worker, routine=routine)
    )


def _raise(error: BaseException) -> None:
    raise error


def raised(error: BaseException) -> BaseException:
    """Return an exception with a traceback."""
    try:
        _raise(error)
    except BaseException as caught:
        return caught


def traceback_of(error: BaseException) -> RemoteTraceback:
    """Return the one remote traceback among its notes."""
    found = [one for one in error.__notes__ if isinstance(one, RemoteTraceback)]
    assert len(found) == 1
    return found[0]


def said(error: BaseException) -> list[str]:
    """Return its other notes."""
    notes = getattr(error, "__notes__", [])
    return [one for one in notes if not isinstance(one, RemoteTraceback)]
