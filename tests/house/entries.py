"""How many functions of Catena one warm call enters, on both sides together.

``python -m tests.house.entries`` prints each function and how often a call enters it. Counted are
files of Catena alone, over a link in memory, in a Context without a chain; a coroutine that goes on
after waiting is entered again. A state that is bound is not counted here: there, bytes are. Nor are
the looks of a link's pulse, which come with time and not with calls; so that its Pings are not
either, the least of several counts is taken.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import catena
from catena.dispatch.caller import pulse
from tests.dispatch.ends import connected
from tests.support import run

CALLS = 20
"""Calls that are counted, one after the other."""

WARMING = 50
"""Calls before them: by then the link has learnt all that it will."""

COUNTS = 3

SECONDS = 0.02
"""How long what follows the last answer may take."""

_FILES = f"{Path(catena.__file__).parent}/"
_PULSE = pulse.__file__


@catena.routine
async def do_nothing() -> None:
    """Return at once."""


def count_entries() -> Counter[str]:
    """Return how often the calls enter each function, by file and name."""
    return min((run(_count_entries()) for _ in range(COUNTS)), key=Counter.total)


async def _count_entries() -> Counter[str]:
    found: Counter[str] = Counter()

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(_FILES) and code.co_filename != _PULSE:
            found[f"{code.co_filename.removeprefix(_FILES)}: {code.co_qualname}"] += 1

    async with connected():
        for _ in range(WARMING):
            await do_nothing()
        await asyncio.sleep(SECONDS)
        sys.setprofile(note)
        try:
            for _ in range(CALLS):
                await do_nothing()
            await asyncio.sleep(SECONDS)
        finally:
            sys.setprofile(None)
    return found


def report() -> None:
    """Print what one call enters."""
    found = count_entries()
    print(f"{found.total() / CALLS:6.2f} functions entered by one call")
    for name, times in found.most_common():
        print(f"{times / CALLS:6.2f} {name}")


if __name__ == "__main__":
    # By its name: a routine of this file would otherwise be sent by value.
    from tests.house.entries import report as report_entries

    report_entries()
