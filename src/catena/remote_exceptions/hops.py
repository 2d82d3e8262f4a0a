"""Where a remote exception comes from: the hops that it took, as data and as a note for people.

A further hop extends the note, ``RemoteTraceback``, instead of quoting it: every frame is shown
once, the hops in order, the innermost last. The length of the note is limited, and so are the data
from which it is made.
"""

from __future__ import annotations

import os
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from catena.remote_exceptions import native

T = TypeVar("T")

Frame = tuple[str, int, str, str]
"""File, line, function and source text."""

_OWN = str(Path(__file__).parents[1]) + os.sep
# How many frames of a hop, and hops of a note, are kept: the first and the last.
_FRAMES = (10, 20)
_HOPS = (6, 18)


class Hop(NamedTuple):
    """What one process saw: who it was, what it ran, and the frames from there to the error."""

    worker: str
    routine: str
    """Empty where the exception was handed on as a value; ``worker`` names the process then."""
    frames: tuple[Frame, ...]
    """Outermost first."""
    left_out: int = 0
    """How many frames are missing after the first ones: of a recursion, most."""
    mark: str = ""
    """By which whoever threw an exception into a generator knows it again."""


class RemoteTraceback(str):  # noqa: SLOT000 - it has one
    """The note that shows where a remote exception comes from; ``hops`` is the same as data."""

    hops: tuple[Hop, ...]

    @classmethod
    def from_hops(cls, hops: tuple[Hop, ...]) -> RemoteTraceback:
        """Return the note for hops, outermost first."""
        note = cls("\n".join(_note_lines(hops)))
        note.hops = hops
        return note


def frames_of(error: BaseException) -> tuple[tuple[Frame, ...], int]:
    """Return the frames of an exception's traceback, and how many of them were left out.

    Catena's own count only when they are asked for.
    """
    everything = bool(os.environ.get("CATENA_FULL_TRACEBACK"))
    found = [
        (frame, line)
        for frame, line in traceback.walk_tb(native.traceback_of(error))
        if everything or not frame.f_code.co_filename.startswith(_OWN)
    ]
    kept = _keep_ends(found, _FRAMES)
    shown = traceback.StackSummary.extract(iter(kept))
    frames = tuple((one.filename, one.lineno or 0, one.name, one.line or "") for one in shown)
    return frames, len(found) - len(kept)


def prepend_hop(hop: Hop, hops: list[Any]) -> list[Any]:
    """Return the hops of an exception, as rows, with one more before them."""
    return list(_keep_ends([tuple(hop), *hops], _HOPS))


def _keep_ends(many: Sequence[T], bounds: tuple[int, int]) -> Sequence[T]:
    first, last = bounds
    return many if len(many) <= first + last else [*many[:first], *many[-last:]]


def _note_lines(hops: tuple[Hop, ...]) -> Iterable[str]:
    yield "Remote traceback (most recent call last):"
    for hop in hops:
        yield (
            f"  on worker {hop.worker}, in routine {hop.routine}:"
            if hop.routine
            else (f"  in process {hop.worker}:")
        )
        for place, (file, line, function, text) in enumerate(hop.frames):
            if hop.left_out and place == _FRAMES[0]:
                yield f"    ... {hop.left_out} frames left out ..."
            yield f'    File "{file}", line {line}, in {function}'
            if text:
                yield f"      {text}"
