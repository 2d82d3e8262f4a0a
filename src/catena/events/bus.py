"""The bus: the core announces what happens, and never names a tracer, a meter or a logger.

A fact has happened. Its class holds its listeners, so that silence costs one attribute test::

    if TokenReset.listeners:
        announce(TokenReset(...))

An operation lasts. Its class holds its observers, which are called when it begins and when it ends,
and the clock is read only when there are any::

    operation = Lease(...) if Lease.observers else None
    if operation is not None:
        operation.begin()

Whoever raises is detached and logged once; a call never breaks for it, whatever was raised:
SystemExit and CancelledError go no further either, and only Ctrl-C does. Listeners and observers
may read variables: while one runs, the guard lets its thread read, and a fact that a listener
causes by listening to its own kind is not announced again.

``poll`` gives those who may want to listen the occasion to look whether they should.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter_ns
from types import TracebackType
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, Self, TypeVar

_log = logging.getLogger("catena")
_lock = threading.Lock()

T = TypeVar("T")

Listener = Callable[[Any], object]
"""Called with each fact that it listens to."""

End = Literal["done", "failed", "cancelled", "abandoned"]


class _Thread(threading.local):
    """Whether the running thread is in an observer, and which facts it announces meanwhile."""

    observing = False
    kinds: tuple[type[Event], ...] = ()


_thread = _Thread()
_polled: list[Callable[[], object]] = []
_raised: list[Callable[[], object]] = []


class Event:
    """A fact; each class holds the listeners of its own kind and of no other."""

    __slots__ = ()
    listeners: ClassVar[tuple[Any, ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.listeners = ()


class Observer(Protocol):
    """Is called at both ends of the operations that it observes."""

    def begin(self, operation: Any, /) -> None:
        """Note that an operation begins; ``operation.started`` says when."""
        ...

    def end(self, operation: Any, error: BaseException | None, at: int, /) -> None:
        """Note that it has ended at a time of ``perf_counter_ns``, and with which error.

        A GeneratorExit says that it was abandoned.
        """
        ...


class Operation(Event):
    """An event that lasts, from ``begin`` to ``end``; or use it in a ``with`` statement.

    Fields that are known only later are declared with a default and assigned before the end.
    ``started`` is when it began, by ``perf_counter_ns``. ``observers`` are those of its class.
    """

    observers: ClassVar[tuple[Observer, ...]] = ()
    started: int = 0
    _observed_by: tuple[Observer, ...] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.observers = ()

    def begin(self) -> None:
        """Call every observer; those that raise are called no more."""
        # First of all, so that whoever observes it can say when it began.
        self.started = perf_counter_ns()
        self._observed_by = observers = self.observers
        thread = _thread
        outer, thread.observing = thread.observing, True
        try:
            for observer in observers:
                try:
                    observer.begin(self)
                except BaseException:
                    self._observed_by = tuple([o for o in self._observed_by if o is not observer])
                    detach_failed(type(self), observer)
        except KeyboardInterrupt as interrupt:
            # Ctrl-C goes on, and those that have seen it begin see its end.
            self.end(interrupt)
            raise
        finally:
            thread.observing = outer

    def end(self, error: BaseException | None = None, at: int = 0) -> None:
        """Call every observer that has seen it begin; later calls do nothing.

        ``at`` is when it ended, by ``perf_counter_ns``, where that is not now.
        """
        observers, self._observed_by = self._observed_by, ()
        if not observers:
            return
        at = at or perf_counter_ns()
        thread = _thread
        outer, thread.observing = thread.observing, True
        try:
            for observer in observers:
                try:
                    observer.end(self, error, at)
                except BaseException:
                    detach_failed(type(self), observer)
        finally:
            thread.observing = outer

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end(error)


class Outcome(NamedTuple):
    """How an operation ended: after how many nanoseconds, in which way, and with which error."""

    elapsed_ns: int
    end: End
    error: BaseException | None = None


def announce(event: Event) -> None:
    """Hand a fact to the listeners of its class, unless one of them has caused it just now."""
    thread, kind = _thread, type(event)
    if kind in thread.kinds:
        return
    outer = thread.observing, thread.kinds
    thread.observing, thread.kinds = True, (*thread.kinds, kind)
    try:
        for listener in kind.listeners:
            try:
                listener(event)
            except BaseException:
                detach_failed(kind, listener)
    finally:
        thread.observing, thread.kinds = outer


def is_observing() -> bool:
    """Say whether the running code is an observer's: it looks on, and takes part in nothing."""
    return _thread.observing


def run_observing(work: Callable[..., T], *args: Any) -> T:
    """Call what an observer does elsewhere, or later, as observers are called."""
    thread = _thread
    outer, thread.observing = thread.observing, True
    try:
        return work(*args)
    finally:
        thread.observing = outer


@dataclass(frozen=True, slots=True)
class Subscription:
    """A listener or an observer and its events; ``cancel`` ends it and may be called twice."""

    subscriber: Any
    events: tuple[type[Event], ...]

    def cancel(self) -> None:
        """Stop listening."""
        for event in self.events:
            _detach(event, self.subscriber)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()


def subscribe(listener: Listener, *events: type[Event]) -> Subscription:
    """Call ``listener`` for every fact of the given classes until the subscription is cancelled.

    Listeners are called in the thread and context of what happens, so they must be quick.
    Raises TypeError for an operation, which ``observe`` is for.
    """
    for event in events:
        if issubclass(event, Operation):
            raise TypeError(f"{event.__name__} is an operation: use observe, not subscribe")
    with _lock:
        for event in events:
            event.listeners = (*event.listeners, listener)
    return Subscription(listener, events)


def observe(observer: Observer, *operations: type[Operation]) -> Subscription:
    """Call ``observer`` at both ends of these operations until the subscription is cancelled.

    It is called in the thread and context of what happens, so it must be quick.
    """
    with _lock:
        for operation in operations:
            operation.observers = (*operation.observers, observer)
    return Subscription(observer, operations)


def call_hook(hook: Callable[[], Any] | None) -> Any:
    """Call what an observer left in an operation, if it did; return what that returns.

    What it raises is logged and breaks no call; None is returned then.
    """
    if hook is None:
        return None
    try:
        return run_observing(hook)
    except BaseException:
        raise_interrupt()
        log_exception("what an observer left in an operation raised")
        return None


def on_poll(look: Callable[[], object]) -> None:
    """Have ``look`` called whenever ``poll`` is: it finds out whether to subscribe."""
    _polled.append(look)


def poll() -> None:
    """Call what was given to ``on_poll``: a pool that opens, and each worker, once a second.

    What raises is called again the next time; it is logged the first time.
    """
    for look in tuple(_polled):
        try:
            run_observing(look)
        except BaseException:
            raise_interrupt()
            if look not in _raised:
                _raised.append(look)
                log_exception(
                    "what looks for telemetry raised; it goes on, and is not logged again"
                )


def end_of(error: BaseException | None) -> End:
    """Return how an operation ended that was left with an error, or without one."""
    if error is None:
        return "done"
    # Not by isinstance, which asks the error for its class.
    if issubclass(type(error), asyncio.CancelledError):
        return "cancelled"
    return "abandoned" if issubclass(type(error), GeneratorExit) else "failed"


def detach_failed(event: type[Event], subscriber: Any) -> None:
    """Detach a listener or an observer that has just raised, and log what."""
    raise_interrupt()
    if _detach(event, subscriber):
        log_exception("an observer of %s raised and was detached", event.__name__)


def raise_interrupt() -> None:
    """Raise once more what is being handled where that is Ctrl-C: no observer's, but the user's."""
    error = sys.exception()
    if isinstance(error, KeyboardInterrupt):
        raise error


def log_exception(text: str, *args: object) -> None:
    """Log the exception that is being handled, in so far as the application's logging can."""
    try:
        _log.exception(text, *args)
    except BaseException as error:
        raise_interrupt()
        # A handler or a filter of the application raises at this very moment.
        sys.stderr.write(f"catena: this could not be logged ({error!r}): {text % args}\n")


def _detach(event: type[Event], subscriber: Any) -> bool:
    """Take a listener or an observer out once; say whether it was there."""
    name = "observers" if issubclass(event, Operation) else "listeners"
    with _lock:
        kept = list(getattr(event, name))
        was_there = subscriber in kept
        if was_there:
            kept.remove(subscriber)
            setattr(event, name, tuple(kept))
    return was_there
