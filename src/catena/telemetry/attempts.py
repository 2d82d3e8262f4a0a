"""Attempts: calling code of the application that may raise, so that only one signal is lost.

When a sampler, a propagator, a span processor, a hook or a log handler raises, that one signal of
that one call is lost. The loss is counted, logged from time to time, and the code is called again
the next time.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any, Literal, TypeVar

from catena.events.bus import log_exception, raise_interrupt, run_observing
from catena.telemetry.tally import losses

Signal = Literal["traces", "metrics", "logs"]

T = TypeVar("T")

_SECONDS = 60.0
"""So long nothing more is logged of a signal that has failed."""
_TEXT = (
    "what observes the %s of Catena raised: this event is missing there, which"
    " catena.telemetry.dropped counts; the next one is recorded again"
)
_said: dict[Signal, float] = {}


def attempt(signal: Signal, work: Callable[..., T], *args: Any) -> T | None:
    """Return what ``work`` returns; None when it raised, which is counted as a loss of ``signal``.

    It runs as a listener does, so it may read variables wherever it is called.
    """
    try:
        return run_observing(work, *args)
    except BaseException:
        count_loss(signal)
        return None


def count_loss(signal: Signal) -> None:
    """Count a loss, and log the exception that is being handled, at most once a minute.

    Where that is Ctrl-C, it goes on.
    """
    raise_interrupt()
    losses.add((signal, "raised"))
    now = monotonic()
    if now - _said.get(signal, -_SECONDS) < _SECONDS:
        return
    _said[signal] = now
    run_observing(log_exception, _TEXT, signal)
