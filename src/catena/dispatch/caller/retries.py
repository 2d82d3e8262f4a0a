"""Whether a call is made again whose worker was lost.

Only a routine that asks for it is run twice: without a ``Retry`` a call whose worker is lost fails
at once. An error of the last attempt speaks for all of them, so ``begun`` is what holds for the one
that got furthest.
"""

from __future__ import annotations

from time import monotonic

from catena.dispatch.caller.thread_loop import pause
from catena.dispatch.caller.timeouts import Bounds
from catena.dispatch.declaration import Declaration
from catena.errors import WorkerLost
from catena.events import CallRetried
from catena.events.bus import announce

Losses = list[bool | None]
"""For each attempt of a call that was lost, whether the routine had begun."""


async def wait_to_retry(
    declared: Declaration, bounds: Bounds | None, losses: Losses, lost: WorkerLost
) -> bool:
    """Note a loss; wait and return True where the call is to be made again.

    It is not where too little time is left for the pause before it. The error then says what holds
    for all attempts.
    """
    retry = declared.retry
    if retry is None or lost.closed:
        return False
    losses.append(lost.begun)
    lost.attempts, lost.begun = len(losses), furthest(losses)
    if lost.attempts >= retry.attempts:
        return False
    seconds = retry.pause_after(lost.attempts)
    deadline = None if bounds is None else bounds.deadline
    if deadline is not None and deadline - monotonic() <= seconds:
        return False
    if CallRetried.listeners:
        announce(CallRetried(declared.name, lost.worker, lost.attempts + 1))
    await pause(seconds)
    return True


def furthest(losses: Losses) -> bool | None:
    """Return whether a call had begun in any of its attempts, None where that is not known."""
    if True in losses:
        return True
    return None if None in losses else False
