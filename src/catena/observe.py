"""The seam: the core announces what happens, and never names a tracer, a meter or a logger.

An event class carries its own listeners, so that silence costs one attribute test::

    if TokenReset.listeners:
        announce(TokenReset(...))

An operation lasts. Its class is a context manager whose clock is read only when somebody listens::

    with Mount(...) if Mount.listeners else SILENCE as mounting:
        ...

A listener that raises is detached and logged once; it never breaks a call, whatever it raises:
SystemExit and CancelledError go no further either, and only Ctrl-C does. A listener may read
variables: while anything is told in a thread, what that thread reads is exempt from the guard, and
an event that a listener causes by listening to its own kind is not told again.

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
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import perf_counter_ns
from types import MappingProxyType, TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, TypeVar

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
    "listening",
    "observing",
    "say",
    "spare_interrupt",
    "subscribe",
    "use",
]

_log = logging.getLogger("catena")
_lock = threading.Lock()

T = TypeVar("T")


class _Here(threading.local):
    """Whether the running thread is in a listener, and which facts it announces meanwhile."""

    observing = False
    kinds: tuple[type[Event], ...] = ()


_here = _Here()

End = Literal["done", "failed", "cancelled", "abandoned"]

Carrier = Mapping[str, str]
"""What a listener wants to reach the other end of a call; the core never reads it."""

CARRIER_LIMIT = 8192
"""The most bytes that a carrier may take; a longer one is left out, and never fails a call."""

NO_CARRIER: Carrier = {}

OVERSIZED: Carrier = MappingProxyType({})
"""Stands for a carrier that came and exceeded the limit; told from ``NO_CARRIER`` by identity."""

_attendants: list[Callable[[], object]] = []
_raised: list[Callable[[], object]] = []
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
        # First of all, so that whoever is told of it can say when it began.
        self.started = perf_counter_ns()
        listening(self._begin)
        return self

    def _begin(self) -> None:
        closers: tuple[tuple[Listener, Listener], ...] = ()
        for listener in self.listeners:
            try:
                closer = listener(self)
            except BaseException:
                fell(type(self), listener)
            else:
                if callable(closer):
                    closers += ((listener, closer),)
        self._closers = closers

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
        listening(self._end, closers, outcome)

    def _end(self, closers: tuple[tuple[Listener, Listener], ...], outcome: Outcome) -> None:
        for listener, closer in closers:
            try:
                closer(outcome)
            except BaseException:
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
    """Hand a fact to the listeners of its class, unless one of them has caused it just now."""
    kind, outer = type(event), _here.kinds
    if kind in outer:
        return
    _here.kinds = (*outer, kind)
    try:
        listening(_tell, kind, event)
    finally:
        _here.kinds = outer


def _tell(kind: type[Event], event: Event) -> None:
    for listener in kind.listeners:
        try:
            listener(event)
        except BaseException:
            fell(kind, listener)


def observing() -> bool:
    """Say whether the running code is a listener's: it looks on, and takes part in nothing."""
    return _here.observing


def listening(work: Callable[..., T], *args: Any) -> T:
    """Call what observes for a counter, or in another one's Context, as listeners are called."""
    here = _here
    outer = here.observing
    here.observing = True
    try:
        return work(*args)
    finally:
        here.observing = outer


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
        return listening(hook)
    except BaseException:
        spare_interrupt()
        say("what a listener left in an event raised")
        return None


def attendant(look: Callable[[], object]) -> None:
    """Have ``look`` called whenever ``attend`` is: it finds out whether to subscribe."""
    _attendants.append(look)


def attend() -> None:
    """Let attendants look around: when a pool opens, a worker serves, and about once a second.

    One that raises is called again the next time; it is logged the first time.
    """
    for look in tuple(_attendants):
        try:
            listening(look)
        except BaseException:
            spare_interrupt()
            if look not in _raised:
                _raised.append(look)
                say("an attendant raised; it is called again, and not logged again")


def ending(error: BaseException) -> End:
    """Return how an operation ended that was left with an error."""
    if isinstance(error, asyncio.CancelledError):
        return "cancelled"
    return "abandoned" if isinstance(error, GeneratorExit) else "failed"


def fell(event: type[Event], listener: Listener) -> None:
    """Detach a listener that has just raised, and log what; for counters, which must not raise."""
    spare_interrupt()
    if _detach(event, listener):
        say("a listener of %s raised and was detached", event.__name__)


def spare_interrupt() -> None:
    """Raise once more what is being handled where that is Ctrl-C: no listener's, but the user's."""
    error = sys.exception()
    if isinstance(error, KeyboardInterrupt):
        raise error


def say(text: str, *args: object) -> None:
    """Log the exception that is being handled, in so far as the application's logging can."""
    try:
        _log.exception(text, *args)
    except BaseException as error:
        spare_interrupt()
        # A handler or a filter of the application raises at this very moment.
        sys.stderr.write(f"catena: this could not be logged ({error!r}): {text % args}\n")


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
