"""A row of the table of differences: a script, the reason, and what either side notes."""

from __future__ import annotations

from typing import NamedTuple

from tests.parity.run import Script, script

__all__ = ["Difference", "differs"]


class Difference(NamedTuple):
    """A script that comes to something else, with the reason why it may."""

    script: Script
    reason: str
    theirs: tuple[str, ...]
    ours: tuple[str, ...]


def differs(
    title: str, reason: str, text: str, *, theirs: tuple[str, ...], ours: tuple[str, ...]
) -> Difference:
    """Return a row; its script makes as many notes as the stdlib's side has."""
    return Difference(script(title, len(theirs), text), reason, theirs, ours)
