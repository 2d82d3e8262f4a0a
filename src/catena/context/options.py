"""``RuntimeContext``: options for the calls of a block, which the routines called inherit.

They are kept in a single stdlib context variable, so created tasks and threads inherit them. Within
the process a deadline is a monotonic time; it is sent as the time that is left, so clocks of
different processes are never compared.
"""

from __future__ import annotations

import contextvars
from typing import NamedTuple, Self


class Options(NamedTuple):
    """What holds for calls made here; None is what nobody has set.

    ``timeout`` and ``dispatch_timeout`` are seconds for each call; ``deadline`` is when the
    execution that runs here must be over, in seconds of ``time.monotonic``, and ``kill_after`` how
    many seconds after that the worker of an execution that is not over is killed.
    """

    timeout: float | None = None
    dispatch_timeout: float | None = None
    deadline: float | None = None
    kill_after: float | None = None


NO_OPTIONS = Options()

options: contextvars.ContextVar[Options | None] = contextvars.ContextVar(
    "catena.options", default=None
)
"""The options of the current scope; None outside of every block and every bounded call."""


class RuntimeContext:
    """Options for every call that a ``with`` block makes, whatever it awaits in between.

    ``timeout`` is how many seconds each call may take, from the ``await`` (for a stream from its
    first step) to its end; calls that the routine makes in turn inherit the time that is left. On
    expiry the routine is cancelled, its end is awaited for at most its ``cancel_grace``, and
    TimeoutError is raised. ``dispatch_timeout`` is how many seconds a worker may take to accept a
    call; on expiry the call is cancelled and fails with DispatchTimeout. Calls that the routine
    makes inherit it. ``kill_after``, beside a ``timeout``, is how many seconds after the timeout a
    worker is killed whose routine goes on all the same; calls that the routine makes inherit it.

    An option that is left out is inherited from the block around this one, or else is the routine's
    own. ``math.inf`` removes the routine's own limit. An inherited deadline is never extended.

    Constructing raises ValueError for a negative number or NaN, and for a ``kill_after`` of 0
    or without ``timeout``; entering twice raises RuntimeError.
    """

    __slots__ = ("_inner", "_outer", "dispatch_timeout", "kill_after", "timeout")

    def __init__(
        self,
        *,
        timeout: float | None = None,
        dispatch_timeout: float | None = None,
        kill_after: float | None = None,
    ) -> None:
        self.timeout = checked_seconds("timeout", timeout)
        self.dispatch_timeout = checked_seconds("dispatch_timeout", dispatch_timeout)
        self.kill_after = checked_kill_after(kill_after, timeout)
        self._inner: Options | None = None
        self._outer: Options | None = None

    def __enter__(self) -> Self:
        if self._inner is not None:
            raise RuntimeError("a RuntimeContext is entered once; make another one")
        self._outer = options.get()
        around = self._outer or NO_OPTIONS
        self._inner = Options(
            around.timeout if self.timeout is None else self.timeout,
            around.dispatch_timeout if self.dispatch_timeout is None else self.dispatch_timeout,
            around.deadline,
            around.kill_after if self.kill_after is None else self.kill_after,
        )
        options.set(self._inner)
        return self

    def __exit__(self, *_: object) -> None:
        # A generator may be closed in another Context than it began in: nothing was set there.
        if options.get() is self._inner:
            options.set(self._outer)

    def __repr__(self) -> str:
        given = (
            (name, getattr(self, name)) for name in ("timeout", "dispatch_timeout", "kill_after")
        )
        shown = ", ".join(f"{name}={one!r}" for name, one in given if one is not None)
        return f"RuntimeContext({shown})"


def checked_seconds(name: str, value: float | None) -> float | None:
    """Return a number of seconds, or None. Raises ValueError for a negative one or NaN."""
    if value is not None and not value >= 0:
        raise ValueError(f"{name} must not be negative, it is {value!r}")
    return value


def checked_kill_after(value: float | None, timeout: float | None) -> float | None:
    """Return a number of seconds, or None. Raises ValueError for one without a timeout."""
    if value is not None and timeout is None:
        raise ValueError(
            "kill_after counts from the timeout, and there is none: give a timeout beside it"
        )
    if value is not None and not value > 0:
        raise ValueError(f"kill_after must be more than 0, it is {value!r}")
    return value
