"""Exceptions on the wire: their own class here, and a remote traceback that a person can read.

An exception that ends a routine and one that is passed as a value, in a list or on another
exception, are treated alike here. An exception is taken apart into rows of builtins, and with it
its cause, its context, its notes, the members of a group and every exception that one of these
holds. Each comes back by the first of these steps that works, and a later step says why the earlier
ones did not:

1. whole: as its class pickles it, where that has a way of its own; otherwise its class, its
   ``args``, its attributes and what builtin classes keep besides, without a constructor of Python;
2. rebuilt: its class, with those of these parts that can travel;
3. replaced: ``RemoteError`` with the name and the message of the original.

The exception that arrives is compared with what was recorded, so that one that pickled itself
wrongly goes on to the next step. Methods of the exception's class are not trusted: whatever they
raise, the other exceptions arrive.
"""

from __future__ import annotations

from typing import Any

from catena.pickling import pickler
from catena.remote_exceptions import native
from catena.remote_exceptions.family import Family
from catena.remote_exceptions.hops import Hop, RemoteTraceback
from catena.remote_exceptions.rebuilding import is_users_note, rebuild_exceptions
from catena.remote_exceptions.record import Part, Record, read_row


def pickle_exception(error: BaseException, *, worker: str, routine: str, mark: str = "") -> bytes:
    """Return an exception, with its family, as bytes; this never fails for a strange exception.

    ``worker`` and ``routine`` name the hop that is added to its remote traceback. By the ``mark``,
    ``merge_returned`` knows the exception again.
    """
    return pickler.dumps(Family(error, Hop(worker, routine, (), 0, mark)).to_rows())


def unpickle_exception(data: bytes) -> BaseException:
    """Return the exception that the bytes stand for, with its family and its remote traceback.

    Raises what unpickling raises when the bytes are not a dumped exception; an exception inside
    that cannot be rebuilt becomes a RemoteError instead.
    """
    rows, parts, *_ = pickler.loads(data)
    records = [read_row(Record, row) for row in rows]
    return rebuild_exceptions(records, [read_row(Part, row) for row in parts])[0]


def merge_returned(error: BaseException, thrown: BaseException, mark: str) -> bool:
    """Say whether an exception is the one that was thrown, dumped with the mark.

    Then what it was given meanwhile, attributes and notes, is on the one that was thrown as well.
    """
    hops = next((one.hops for one in native.notes_of(error) if type(one) is RemoteTraceback), ())
    if all(one.mark != mark for one in hops):
        return False
    for name, value in native.attributes_of(error).items():
        native.attributes_of(thrown).setdefault(name, value)
    notes = [one for one in native.notes_of(thrown) if type(one) is not RemoteTraceback]
    known = {one for one in notes if type(one) is str}
    notes += [one for one in native.notes_of(error) if is_users_note(one) and one not in known]
    native.set_notes(
        thrown, [*notes, RemoteTraceback.from_hops(tuple(one for one in hops if one.mark != mark))]
    )
    return True


def _reduce_exception(error: BaseException) -> tuple[Any, ...]:
    """Return how an exception is pickled that is a value, by itself or within another one."""
    return unpickle_exception, (pickler.dumps(Family(error).to_rows()),)


pickler.Thorough.reduce_exception = staticmethod(_reduce_exception)
