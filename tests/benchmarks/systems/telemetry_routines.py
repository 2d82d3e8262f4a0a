"""What the telemetry section dispatches: a no-op, and what its client asks of the worker."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final

import catena

from .catena_routines import mark
from .common import here as this_process, in_context
from .guards import counted, total

if TYPE_CHECKING:
    from collections import Counter

    from .telemetry_sdk import Sdk

_sdks: Final[list[Sdk]] = []
_counting: Final = ExitStack()
_counts: Final[list[Counter[str]]] = []


def sdk() -> Sdk:
    """The SDK of this process, made when it is first asked for."""
    if not _sdks:
        from .telemetry_sdk import Sdk

        _sdks.append(Sdk())
    return _sdks[0]


def spent() -> tuple[float, int]:
    """Export what waits; CPU seconds of this process, and how many spans it exported."""
    exported = sdk().flush()
    return time.process_time(), exported


@catena.routine
async def echo(value: int) -> int:
    """The value, there and back; by hand the spans that a worker's side of a call has."""
    in_context(mark.get())
    if _sdks and _sdks[0].hand is not None:
        _sdks[0].hand()
    return value


@catena.routine
async def here() -> tuple[int, str]:
    """Which process answers, and on which loop."""
    return this_process()


@catena.routine
async def switch(mode: str) -> None:
    """Let the worker tell as the mode says."""
    sdk().switch(mode)


@catena.routine
async def learn(routine: str) -> tuple[int, int]:
    """Take the last call as the model; its spans on the worker at dispatch and at full."""
    made = sdk()
    made.learn(routine)
    return len(made.of(full=False)), len(made.of(full=True))


@catena.routine
async def spent_there() -> tuple[float, int]:
    """What `spent` says, of the worker."""
    return spent()


@catena.routine
async def count_guards() -> None:
    """Begin to count guard tests on the worker."""
    _counts.append(_counting.enter_context(counted()))


@catena.routine
async def guards() -> int:
    """How many guard tests there were on the worker since then; it does not count any more."""
    number = total(_counts.pop())
    _counting.close()
    return number
