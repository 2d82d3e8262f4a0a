"""The seam: the core announces what happens, and never names a tracer, a meter or a logger.

An event class carries its own listeners, so that silence costs one attribute test::

    if TokenReset.listeners:
        announce(TokenReset(...))

An operation lasts. Its class is a context manager whose clock is read only when somebody listens::

    with Mount(...) if Mount.listeners else SILENCE as mounting:
        ...

A listener that raises is detached and logged once; it never breaks a call.

Most of what happens is only counted. A listener may bring a counter along, which is asked first
where things happen by the thousand, as long as nobody else listens: what it takes it counts, and no
event is made of it::

    counter = Unmounted.counter
    if counter is None or not counter():
        announce(Unmounted(...))

Two ports stand here as well, for whoever traces: a ``Carrier`` is what a listener wants to reach
the other end of a call, an opaque map that the core ships and never reads; ``attend`` gives those
who may want to listen the occasion to look whether they should.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self

__all__ = [
    "CARRIER_LIMIT",
    "NO_CARRIER",
    "OVERSIZED",
    "SILENCE",
    "Carrier",
    "Counter",
    "End",
    "Event",
    "Listener",
    "Operation",
    "Outcome",
    "Silence",
    "Subscription",
    "announce",
    "attend",
    "attendant",
    "ending",
    "fell",
    "subscribe",
    "use",
]

_log = logging.getLogger("catena")
_lock = threading.Lock()

End = Literal["done", "failed", "cancelled", "abandoned"]

Carrier = Mapping[str, str]
"""What a listener wants to reach the other end of a call; the core never reads it."""

CARRIER_LIMIT = 8192
"""The most bytes that a carrier may take; a longer one is left out, and never fails a call."""

NO_CARRIER: Carrier = {}

OVERSIZED: Carrier = MappingProxyType({})
"""Stands for a carrier that came and exceeded the limit; told from ``NO_CARRIER`` by identity."""

_attendants: list[Callable[[], object]] = []
_counters: list[tuple[type[Event], Listener, Any]] = []


class Outcome(NamedTuple):
    """How an operation ended: after how many nanoseconds, in which way, and with which error."""

    elapsed_ns: int
    end: End
    error: BaseException | None = None


_new: Any = getattr(tuple, "__new__")  # noqa: B009 - its type is of no use here

Listener = Callable[[Any], object]
"""Called with the event. For an operation it may return a callable that is told the outcome."""


class Event:
    """Something that happens; each class holds the listeners of its own kind and of no other."""

    __slots__ = ()
    listeners: ClassVar[tuple[Listener, ...]] = ()
    counter: ClassVar[Any] = None
    """What counts in place of the one listener that brought it; each class says how to ask it."""

    def __init_subclass__(cls) -> None:
        cls.listeners, cls.counter = (), None


class Counter(Protocol):
    """Counts calls at one end, in place of the listener that brought it; must not raise.

    Streams and calls with bounds are told to the listener all the same.
    """

    def begin(self, event: Any, /) -> bool:
        """Begin, and say whether nothing is wanted but the end; else a dispatch is filled in.

        Sets when the call ``started``.
        """
        ...

    def end(self, event: Any, error: BaseException | None, at: int = 0, /) -> None:
        """Count the end of a call that has begun; ``at`` is as in ``Operation.finish``."""
        ...


class Operation(Event):
    """An event that lasts: enter it when it begins, leave it when it ends.

    Fields that are known only later are declared with a default and assigned before the end.
    ``started`` is when it began, by ``perf_counter_ns``. What a counter has taken is not entered,
    and nothing is assigned to it.
    """

    started: int = 0
    _closers: tuple[tuple[Listener, Listener], ...] = ()

    def __enter__(self) -> Self:
        closers: tuple[tuple[Listener, Listener], ...] = ()
        for listener in self.listeners:
            try:
                closer = listener(self)
            except Exception:
                fell(type(self), listener)
            else:
                if callable(closer):
                    closers += ((listener, closer),)
        self._closers = closers
        self.started = perf_counter_ns()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.finish(error)

    def finish(
        self, error: BaseException | None = None, *, abandoned: bool = False, at: int = 0
    ) -> None:
        """Tell the outcome to every listener that asked for it; later calls do nothing.

        ``at`` is when it ended, by ``perf_counter_ns``, for those who tell it later.
        """
        closers = self._closers
        if not closers:
            return
        self._closers = ()
        elapsed = (at or perf_counter_ns()) - self.started
        end = "abandoned" if abandoned else "done" if error is None else ending(error)
        # Past the constructor, which is Python code.
        outcome = _new(Outcome, (elapsed, end, error))
        for listener, closer in closers:
            try:
                closer(outcome)
            except Exception:
                fell(type(self), listener)


class Silence:
    """What stands in for an operation that nobody listens to; false, and does nothing."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    def __bool__(self) -> Literal[False]:
        return False


SILENCE = Silence()


def announce(event: Event) -> None:
    """Hand a fact to the listeners of its class."""
    for listener in type(event).listeners:
        try:
            listener(event)
        except Exception:
            fell(type(event), listener)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A listener and what it listens to; ``cancel`` ends it and may be called twice."""

    listener: Listener
    events: tuple[type[Event], ...]

    def cancel(self) -> None:
        """Stop listening."""
        for event in self.events:
            _detach(event, self.listener)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


def subscribe(listener: Listener, *events: type[Event], counter: Any = None) -> Subscription:
    """Call ``listener`` for every event of the given classes until the subscription is cancelled.

    Listeners are called in the thread and context of what happens, so they must be quick. What a
    ``counter`` takes, the listener is not told of; it is asked only while nobody else listens.
    """
    with _lock:
        for event in events:
            if counter is not None:
                _counters.append((event, listener, counter))
            _listen(event, (*event.listeners, listener))
    return Subscription(listener, events)


def use(hook: Callable[[], Any] | None) -> Any:
    """Call what a listener left in an event, if it did; return what that returns.

    What it raises is logged and breaks no call; None is returned then.
    """
    if hook is None:
        return None
    try:
        return hook()
    except Exception:
        _log.exception("what a listener left in an event raised")
        return None


def attendant(look: Callable[[], object]) -> None:
    """Have ``look`` called whenever ``attend`` is: it finds out whether to subscribe."""
    _attendants.append(look)


def attend() -> None:
    """Let attendants look around: when a pool opens, a worker serves, and about once a second.

    One that raises is logged once and not called again.
    """
    for look in tuple(_attendants):
        try:
            look()
        except Exception:
            _attendants.remove(look)
            _log.exception("an attendant raised and is not called again")


def ending(error: BaseException) -> End:
    """Return how an operation ended that was left with an error."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return "abandoned" if isinstance(error, GeneratorExit) else "failed"


def fell(event: type[Event], listener: Listener) -> None:
    """Detach a listener that has just raised, and log what; for counters, which must not raise."""
    if _detach(event, listener):
        _log.exception("a listener of %s raised and was detached", event.__name__)


def _detach(event: type[Event], listener: Listener) -> bool:
    """Take a listener out once; say whether it was there."""
    with _lock:
        kept = list(event.listeners)
        was_there = listener in kept
        if was_there:
            kept.remove(listener)
        _listen(event, tuple(kept))
    return was_there


def _listen(event: type[Event], listeners: tuple[Listener, ...]) -> None:
    """Set who listens; their counter stands for them only where there is no other listener."""
    _counters[:] = [one for one in _counters if one[0] is not event or one[1] in listeners]
    event.listeners = listeners
    alone = [one for one in _counters if one[0] is event] if len(listeners) == 1 else []
    event.counter = alone[0][2] if alone else None
