"""Failures of single entries of a chain: collected one by one, reported together.

A bad entry is left out, with a warning. In strict mode, or where a warnings filter turns that
warning into an error, one error for all bad entries refuses the chain.
"""

from __future__ import annotations

import warnings
from functools import partial

from catena.errors import ChainSerializationError, SerializationWarning
from catena.events import EntryLost
from catena.events.bus import announce, is_observing, run_observing
from catena.ids import Key
from catena.wording import reason

Problems = list[SerializationWarning]


def describe_problem(key: Key, error: Exception, doing: str) -> SerializationWarning:
    """Announce that an entry could not be sent or read; return the warning that says so."""
    cause = reason(error)
    if EntryLost.listeners:
        announce(EntryLost(key, doing == "sent", cause))
    return SerializationWarning(key=key, doing=doing, cause=cause)


def warn_or_raise(problems: Problems, *, strict: bool) -> None:
    """Warn of every problem, or refuse them all.

    Called before anything changes. Raises ChainSerializationError with all of them in ``warnings``
    when ``strict``, or when a filter turned one of them into an error.
    """
    refusing = strict
    for one in () if strict else problems:
        try:
            warnings.warn(one, stacklevel=4)
        except SerializationWarning:
            refusing = True
    if refusing and problems:
        first = problems[0]
        more = f", and {len(problems) - 1} more" if len(problems) > 1 else ""
        raise ChainSerializationError(
            cause=first.text() + more, warnings=tuple(problems), doing=first.doing
        )


def warn_of_unread(key: Key, error: Exception) -> None:
    """Warn that a lazy value could not be decoded when somebody read it."""
    # A listener that hears of it, as a log filter may, reads the value again.
    if not is_observing():
        run_observing(partial(warn_or_raise, strict=False), [describe_problem(key, error, "read")])
