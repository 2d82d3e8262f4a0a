"""The bus: listeners of facts, observers of operations, and what silence costs."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from catena import events
from catena.dispatch.payloads import LENIENT
from catena.events import bus
from catena.events.bus import (
    Event,
    Operation,
    announce,
    call_hook,
    end_of,
    is_observing,
    observe,
    subscribe,
)
from catena.testing import Recording
from catena.transfer.manifest import ChainManifest
from catena.transfer.mount import mount
from tests.support import Looking, isolated, run, variable


@dataclass(frozen=True, slots=True)
class Fact(Event):
    """Something that happened."""

    number: int


@dataclass(frozen=True, slots=True)
class OtherFact(Event):
    """Something else that happened."""


@dataclass(slots=True)
class Work(Operation):
    """Something that lasts, with a field that is known late."""

    name: str
    late: int = 0


class OtherWork(Operation):
    """Something else that lasts."""


@dataclass
class Notes:
    """An observer that notes what it sees, each note with the observer's name in front."""

    name: str = "notes"
    seen: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])

    def begin(self, operation: Any) -> None:
        """Note who began."""
        self.seen.append((self.name, "begin", operation.name, operation.late))

    def end(self, operation: Any, error: BaseException | None, at: int) -> None:
        """Note who ended, how, and after how long."""
        self.seen.append((self.name, "end", operation.late, error, at - operation.started))


@dataclass
class Raising:
    """An observer that raises at one end."""

    when: str
    kind: type[BaseException]

    def begin(self, _: Any) -> None:
        """Raise where it is to raise at the begin."""
        self._raise("begin")

    def end(self, *_: Any) -> None:
        """Raise where it is to raise at the end."""
        self._raise("end")

    def _raise(self, when: str) -> None:
        if when == self.when:
            raise self.kind("mine")


@pytest.fixture(autouse=True)
def nobody_stays() -> Iterator[None]:
    """Nobody is left behind by a test."""
    yield
    assert [one for one in (Fact, OtherFact) if one.listeners] == []
    assert [one for one in (Work, OtherWork) if one.observers] == []


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count the readings of the bus's clock, which goes on by a millisecond each."""
    readings: list[int] = []

    def read() -> int:
        readings.append((len(readings) + 1) * 1_000_000)
        return readings[-1]

    monkeypatch.setattr(bus, "perf_counter_ns", read)
    return readings


# ---- facts


def test_every_class_has_listeners_of_its_own() -> None:
    """Facts: a listener hears the classes that it asked for, and no others."""
    heard: list[Event] = []

    with subscribe(heard.append, Fact):
        assert Fact.listeners
        assert not OtherFact.listeners
        assert not Event.listeners
        assert not Work.observers
        announce(Fact(1))
        announce(OtherFact())

    assert heard == [Fact(1)]
    assert Fact.listeners == ()


def test_a_listener_may_hear_several_classes() -> None:
    """Facts: one subscription ends all of it, and may be ended twice."""
    heard: list[Event] = []

    subscription = subscribe(heard.append, Fact, OtherFact)
    announce(Fact(1))
    announce(OtherFact())
    subscription.cancel()
    subscription.cancel()
    announce(Fact(2))

    assert heard == [Fact(1), OtherFact()]


def test_listeners_are_called_in_the_order_of_their_subscription() -> None:
    """Facts: each of them is called, and ending one leaves the others."""
    heard: list[str] = []
    with subscribe(lambda _: heard.append("first"), Fact):
        with subscribe(lambda _: heard.append("second"), Fact):
            announce(Fact(1))
        announce(Fact(2))

    assert heard == ["first", "second", "first"]


def test_ending_one_of_two_subscriptions_leaves_the_other() -> None:
    """Facts: the same listener may be subscribed twice, each time for itself."""
    heard: list[Event] = []

    with subscribe(heard.append, Fact):
        listen = Fact.listeners[0]
        subscribe(listen, Fact).cancel()
        announce(Fact(1))

    assert heard == [Fact(1)]


def test_a_fact_that_its_own_listener_causes_is_not_announced_again() -> None:
    """Facts: no listener calls itself for ever; facts of other kinds are announced meanwhile."""
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        announce(Fact(2))
        announce(OtherFact())

    with subscribe(listen, Fact), subscribe(heard.append, OtherFact):
        announce(Fact(1))

    assert heard == [Fact(1), OtherFact()]


def test_operations_are_observed_and_not_subscribed_to() -> None:
    """Facts: whoever subscribes to an operation learns at once what to use, and hears nothing."""
    with pytest.raises(TypeError, match="Work is an operation: use observe"):
        subscribe(lambda _: None, Fact, Work)

    assert Fact.listeners == ()


class Unlikely(BaseException):
    """No Exception, and none of the standard library's."""


RAISED = [KeyError, SystemExit, asyncio.CancelledError, GeneratorExit, Unlikely]


def raising(kind: type[BaseException]) -> Callable[[object], None]:
    """Return a listener that raises."""

    def listener(_: object) -> None:
        raise kind("mine")

    return listener


@pytest.mark.parametrize("kind", RAISED)
def test_a_listener_that_raises_is_detached_and_logged_once(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Facts: the others are called, the announcement does not fail, one line says so."""
    heard: list[Event] = []
    broken = raising(kind)

    with (
        caplog.at_level(logging.DEBUG, "catena"),
        subscribe(broken, Fact),
        subscribe(heard.append, Fact),
    ):
        for number in range(3):
            announce(Fact(number))
        assert len(Fact.listeners) == 1

    assert heard == [Fact(0), Fact(1), Fact(2)]
    (line,) = caplog.records
    assert (line.name, line.levelno) == ("catena", logging.ERROR)
    assert "Fact" in line.getMessage()
    assert line.exc_info is not None
    assert isinstance(line.exc_info[1], kind)


def test_listeners_come_and_go_while_others_announce() -> None:
    """Facts: threads that subscribe and cancel lose nobody's subscription."""
    heard: list[Event] = []

    def churn() -> None:
        for _ in range(300):
            with subscribe(lambda _: None, Fact):
                announce(Fact(0))

    with subscribe(heard.append, Fact):
        threads = [threading.Thread(target=churn) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(Fact.listeners) == 1

    assert len(heard) == 1200


# ---- operations


def test_an_observer_is_called_at_both_ends(clock: list[int]) -> None:
    """Operations: it finds at the end what was not known before, and when it began and ended."""
    notes = Notes()

    with observe(notes, Work):
        with Work("w") as work:
            assert isinstance(work, Work)
            work.late = 7
        assert work.started == 1_000_000

    assert notes.seen == [("notes", "begin", "w", 0), ("notes", "end", 7, None, 1_000_000)]
    assert len(clock) == 2


def test_every_operation_has_observers_of_its_own() -> None:
    """Operations: an observer sees the classes that it asked for, till its subscription ends."""
    notes = Notes()

    subscription = observe(notes, Work)
    assert (OtherWork.observers, Operation.observers) == ((), ())
    with Work("seen"), OtherWork():
        pass
    subscription.cancel()
    subscription.cancel()
    with Work("unseen"):
        pass

    assert [one[:3] for one in notes.seen] == [("notes", "begin", "seen"), ("notes", "end", 0)]


def test_observers_are_called_in_the_order_of_their_subscription(clock: list[int]) -> None:
    """Operations: at either end; all of them are given the same time, read once."""
    seen: list[tuple[Any, ...]] = []

    with observe(Notes("first", seen), Work), observe(Notes("second", seen), Work), Work("w"):
        pass

    assert seen == [
        ("first", "begin", "w", 0),
        ("second", "begin", "w", 0),
        ("first", "end", 0, None, 1_000_000),
        ("second", "end", 0, None, 1_000_000),
    ]
    assert len(clock) == 2


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, "done"),
        (ValueError("mine"), "failed"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "abandoned"),
        (KeyboardInterrupt(), "failed"),
    ],
)
def test_an_operation_ends_with_the_error_that_left_it(
    error: BaseException | None, end: str
) -> None:
    """Operations: done, failed, cancelled or abandoned; the error passes on unchanged."""
    notes = Notes()

    def work() -> None:
        with Work("w"):
            if error is not None:
                raise error

    with observe(notes, Work):
        if error is None:
            work()
        else:
            with pytest.raises(type(error)) as caught:
                work()
            assert caught.value is error

    assert notes.seen[-1][3] is error
    assert end_of(notes.seen[-1][3]) == end


def test_how_an_operation_ended_is_found_without_asking_the_error() -> None:
    """Operations: an error whose class runs code of its own cannot spoil the answer."""

    class Pretending(ValueError):
        @property
        def __class__(self) -> Any:
            raise SystemExit

    assert end_of(Pretending()) == "failed"


def test_an_operation_ends_once_and_may_say_when(clock: list[int]) -> None:
    """Operations: later ends do nothing; who says when it ended spares the clock."""
    notes, error = Notes(), GeneratorExit()

    with observe(notes, Work):
        work = Work("w")
        work.begin()
        work.end(error, at=9_000_000)
        work.end(ValueError("late"))

    assert notes.seen[1:] == [("notes", "end", 0, error, 8_000_000)]
    assert len(clock) == 1


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("when", ["begin", "end"])
def test_an_observer_that_raises_is_detached_and_the_rest_goes_on(
    when: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Operations: at its begin or its end; the others see both, one line says what happened."""
    before, after = Notes("before"), Notes("after")

    with observe(before, Work), observe(Raising(when, kind), Work), observe(after, Work):
        for _ in range(2):
            with Work("w"):
                pass
        assert Work.observers == (before, after)

    for notes in (before, after):
        assert [one[1] for one in notes.seen] == ["begin", "end"] * 2
        assert [one[3] for one in notes.seen if one[1] == "end"] == [None, None]
    (line,) = caplog.records
    assert "Work" in line.getMessage()
    assert line.exc_info is not None
    assert isinstance(line.exc_info[1], kind)


def test_whoever_raised_at_the_begin_does_not_see_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Operations: an end is for those whose begin has gone well."""
    ended: list[str] = []

    class Broken(Raising):
        def end(self, *_: Any) -> None:
            ended.append("broken")

    with observe(Broken("begin", KeyError), Work), Work("w"):
        pass

    assert ended == []
    assert len(caplog.records) == 1


def test_observers_that_came_later_do_not_see_the_end() -> None:
    """Operations: an end is for those who saw the begin, even if they left since."""
    early, late = Notes("early"), Notes("late")

    first = observe(early, Work)
    with Work("w"), observe(late, Work):
        first.cancel()

    assert late.seen == []
    assert [one[1] for one in early.seen] == ["begin", "end"]


def test_observers_know_that_they_observe() -> None:
    """Operations: code that is called by an observer can ask, at both ends and in a hook."""
    asked: list[bool] = []

    def ask(*_: Any) -> None:
        asked.append(is_observing())

    with observe(Looking(ask, ask), Work), Work("w"):
        asked.append(is_observing())
    asked.append(call_hook(is_observing))
    with subscribe(ask, Fact):
        announce(Fact(1))

    assert asked == [True, False, True, True, True]
    assert not is_observing()


# ---- silence


@isolated
def test_the_clock_is_read_only_when_somebody_observes(clock: list[int]) -> None:
    """The budget: sets, resets, forks and mounts announce nothing and read no clock."""
    var = variable()

    begun: list[Any] = []

    async def main() -> None:
        var.reset(var.set(1))
        await asyncio.create_task(asyncio.sleep(0))
        mount(ChainManifest(bytes(16)), LENIENT, to_worker=True)

    run(main())
    assert clock == []

    with observe(Looking(begun.append), events.Mount):
        run(main())
    assert len(begun) == 1
    assert len(clock) == 2


def test_only_refusals_have_listeners_by_default() -> None:
    """The budget: importing Catena subscribes nobody but what keeps the last refusals."""
    program = (
        "import catena; from catena import events; from catena.events.bus import Event;"
        "kinds = [one for one in vars(events).values() if isinstance(one, type)];"
        "kinds = [one for one in kinds if issubclass(one, Event)];"
        "heard = {one for one in kinds if one.listeners or getattr(one, 'observers', ())};"
        "from catena.events.kept import KINDS;"
        "print(len(kinds) > 10, heard == set(KINDS))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert ran.stdout == "True True\n"


# ---- hooks, polls, Ctrl-C


@pytest.mark.parametrize("kind", RAISED)
def test_a_hook_is_called_and_breaks_nothing(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """Hooks: nothing for nothing, what a hook returns, and one line for what it raises."""
    assert call_hook(None) is None
    assert call_hook(lambda: 7) == 7
    assert caplog.records == []
    assert call_hook(lambda: raising(kind)(None)) is None
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


def test_a_poll_calls_everybody_and_logs_a_failure_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Polls: whoever raises keeps nobody else from looking, and is called again the next time."""
    monkeypatch.setattr(bus, "_polled", [])
    monkeypatch.setattr(bus, "_raised", [])
    asked: list[str] = []

    def broken() -> None:
        asked.append("broken")
        raise SystemExit

    bus.on_poll(broken)
    bus.on_poll(lambda: asked.append(f"fine {is_observing()}"))
    for _ in range(2):
        bus.poll()

    assert asked == ["broken", "fine True"] * 2
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


@pytest.mark.parametrize("when", ["begin", "end"])
def test_ctrl_c_in_an_observer_goes_on(when: str, caplog: pytest.LogCaptureFixture) -> None:
    """Ctrl-C: it is the user's, and the observer that was at work keeps observing."""
    interrupted = Raising(when, KeyboardInterrupt)

    with observe(interrupted, Work):
        with pytest.raises(KeyboardInterrupt), Work("w"):
            pass
        assert Work.observers == (interrupted,)

    assert not is_observing()
    assert caplog.records == []


def test_ctrl_c_in_a_listener_or_a_hook_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """Ctrl-C: it is the user's, and the listener that was at work keeps listening."""
    interrupted = raising(KeyboardInterrupt)

    with subscribe(interrupted, Fact):
        with pytest.raises(KeyboardInterrupt):
            announce(Fact(1))
        assert Fact.listeners == (interrupted,)
    with pytest.raises(KeyboardInterrupt):
        call_hook(lambda: interrupted(None))

    assert not is_observing()
    assert caplog.records == []


def test_who_has_seen_the_begin_sees_the_end_of_what_ctrl_c_breaks_off() -> None:
    """The bus: an observer that Ctrl-C meets at the begin leaves no other one waiting."""
    first = Recording()

    with (
        observe(first, Work),
        observe(Raising("begin", KeyboardInterrupt), Work),
        pytest.raises(KeyboardInterrupt),
    ):
        Work("w").begin()

    assert [outcome.end for _, outcome in first.outcomes] == ["failed"]
