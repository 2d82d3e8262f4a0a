"""The worker's part of a deadline: the routine inherits it, and is cancelled when it has passed.

The caller watches too, and usually cancels first. The second of the two does not cancel again: that
would cut short the clean-up which the first cancellation has started. A call whose deadline passes
before it begins never begins.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from time import monotonic, monotonic_ns
from typing import Any

from catena.context.options import Options, options
from catena.dispatch.declaration import Declaration
from catena.dispatch.worker.session import Session

_SOONER = 0.9
"""Of what calls inherit of a ``kill_after``: the worker that holds up others goes first."""


class TimeLeft:
    """The options that a call came with, from when it was sent, or else from when it was read.

    ``end_watch`` is called when the routine has ended: the worker is not ended for it any more.
    """

    __slots__ = ("_declared", "_kill_after", "_options", "_session", "end_watch")

    def __init__(self, session: Session, declared: Declaration) -> None:
        task = session.task
        left, hand_over, kill = task.timeout_ns, task.dispatch_timeout_ns, task.kill_after_ns
        self._session, self._declared = session, declared
        inherited = None if kill is None else kill / 1e9
        self._kill_after = declared.kill_after if inherited is None else inherited
        self.end_watch: Callable[[], object] = _do_nothing
        self._options = Options(
            dispatch_timeout=None if hand_over is None else hand_over / 1e9,
            deadline=None if left is None else monotonic() + left / 1e9 - _in_socket(session),
            kill_after=None if inherited is None else inherited * _SOONER,
        )

    def bind_options(self) -> None:
        """Have the calls that are made in the current Context inherit the options."""
        # Each chain that drives a stream has a Context of its own; a block that is open stays.
        if options.get() is None:
            options.set(self._options)

    async def run_body(self, body: Awaitable[Any]) -> Any:
        """Await the routine, or a step of it, until it ends or the time is up.

        Raises TimeoutError when it was cancelled because the time was up, whatever it returned
        then; an exception of its own is raised as it is.
        """
        self.bind_options()
        deadline = self._options.deadline
        if deadline is None:
            return await body
        session = self._session
        left = deadline - monotonic()
        if left <= 0:
            _close(body)
            raise self._declared.out_of_time()
        timer = asyncio.get_running_loop().call_later(left, self._cancel_late)
        self._begin_watch(deadline)
        try:
            value = await body
        except (asyncio.CancelledError, StopAsyncIteration) as ended:
            if self._late:
                raise self._declared.out_of_time() from ended
            raise
        else:
            if self._late:
                raise self._declared.out_of_time()
            return value
        finally:
            timer.cancel()
            session.expired = False
            if not self._declared.plain:
                # A thread goes on when nobody waits for it any more.
                self.end_watch()

    def _begin_watch(self, deadline: float) -> None:
        """Have the worker ended when the routine goes on for too long after its time."""
        overtime, kill_after = self._session.sessions.overtime, self._kill_after
        if overtime is not None and kill_after is not None:
            self.end_watch = overtime.begin_call(self._declared.name, deadline, kill_after)

    @property
    def _late(self) -> bool:
        """Whether the time was up, and nobody cancelled the call for another reason."""
        return self._session.expired and not self._session.cancelled

    def _cancel_late(self) -> None:
        session = self._session
        if session.running is not None and not session.cancelled:
            session.expired = True
            session.running.cancel(idle=False)


def _in_socket(session: Session) -> float:
    """Return how many seconds ago a call was sent, 0 where that is not known."""
    sent_at = session.task.sent_at_ns
    if sent_at is None or not session.sessions.link.same_boot:
        return 0.0
    return max(monotonic_ns() - sent_at, 0) / 1e9


def _do_nothing() -> None:
    """End nothing, where nothing was begun."""


def _close(body: Any) -> None:
    """Let go of what will not be awaited, without a warning that nobody did."""
    close = getattr(body, "close", None)
    if close is not None:
        close()
