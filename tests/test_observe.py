"""The seam: listeners of a class, outcomes of operations, and what silence costs."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from catena import events, observe
from catena.context.manifest import ChainManifest
from catena.context.mount import mount
from catena.dispatch.payloads import LENIENT
from catena.events.bus import (
    SILENCE,
    Event,
    Operation,
    Outcome,
    announce,
    call_hook,
    detach_failed,
    subscribe,
)
from tests.support import isolated, run, variable


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


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Count the readings of the seam's clock, which goes on by a millisecond each."""
    readings: list[int] = []

    def read() -> int:
        readings.append(len(readings) * 1_000_000)
        return readings[-1]

    monkeypatch.setattr(observe, "perf_counter_ns", read)
    yield readings
    assert [one for one in (Fact, OtherFact, Work) if one.listeners] == []


def outcomes_of(work: Callable[[], Any]) -> list[Outcome]:
    """Run something with a listener of Work; return what it was told of the ends."""
    told: list[Outcome] = []
    with subscribe(lambda _: told.append, Work):
        work()
    return told


# ---- facts


def test_every_class_has_listeners_of_its_own() -> None:
    """The seam: a listener hears the classes that it asked for, and no others."""
    heard: list[Event] = []

    with subscribe(heard.append, Fact):
        assert Fact.listeners
        assert not OtherFact.listeners
        assert not Event.listeners
        assert not Work.listeners
        announce(Fact(1))
        announce(OtherFact())

    assert heard == [Fact(1)]
    assert Fact.listeners == ()


def test_a_listener_may_hear_several_classes() -> None:
    """The seam: one subscription ends all of it, and may be ended twice."""
    heard: list[Event] = []

    subscription = subscribe(heard.append, Fact, OtherFact)
    announce(Fact(1))
    announce(OtherFact())
    subscription.cancel()
    subscription.cancel()
    announce(Fact(2))

    assert heard == [Fact(1), OtherFact()]


def test_listeners_are_called_in_the_order_of_their_subscription() -> None:
    """The seam: all of them are told, and ending one leaves the others."""
    heard: list[str] = []
    with subscribe(lambda _: heard.append("first"), Fact):
        with subscribe(lambda _: heard.append("second"), Fact):
            announce(Fact(1))
        announce(Fact(2))

    assert heard == ["first", "second", "first"]


def test_ending_one_of_two_subscriptions_leaves_the_other() -> None:
    """The seam: the same listener may be subscribed twice, each time for itself."""
    heard: list[Event] = []

    with subscribe(heard.append, Fact):
        listen = Fact.listeners[0]
        subscribe(listen, Fact).cancel()
        announce(Fact(1))

    assert heard == [Fact(1)]


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
    """The seam: the others are told, the announcement does not fail, one line says so."""
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
    """The seam: threads that subscribe and cancel lose nobody's subscription."""
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


def test_an_operation_that_ends_is_done(clock: list[int]) -> None:
    """The seam: the listener is told at the beginning and at the end, with the time between."""
    told: list[Any] = []

    def listen(work: Work) -> Callable[[Outcome], None]:
        told.append((work.name, work.late))
        return lambda outcome: told.append((work.late, outcome))

    with subscribe(listen, Work), Work("w") as work:
        assert isinstance(work, Work)
        work.late = 7

    assert told == [("w", 0), (7, Outcome(1_000_000, "done", None))]
    assert len(clock) == 2


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (ValueError("mine"), "failed"),
        (asyncio.CancelledError(), "cancelled"),
        (GeneratorExit(), "abandoned"),
        (KeyboardInterrupt(), "failed"),
    ],
)
def test_an_operation_says_how_it_was_left(error: BaseException, end: str) -> None:
    """The seam: failed, cancelled or abandoned, with the error, which passes on unchanged."""

    def work() -> None:
        with pytest.raises(type(error)) as caught, Work("w"):
            raise error
        assert caught.value is error

    (outcome,) = outcomes_of(work)

    assert (outcome.end, outcome.error) == (end, error)
    assert outcome.elapsed_ns >= 0


def test_an_operation_may_be_finished_by_hand_and_only_once() -> None:
    """The seam: abandoned when it is said so; later ends are not told."""

    def work() -> None:
        with Work("w") as operation:
            operation.finish(abandoned=True)
            operation.finish(ValueError("late"))

    (outcome,) = outcomes_of(work)

    assert (outcome.end, outcome.error) == ("abandoned", None)


def test_all_listeners_of_an_operation_are_told_the_same_outcome(clock: list[int]) -> None:
    """The seam: the clock is read once at either end, so that all of them agree."""
    told: list[Outcome] = []

    with (
        subscribe(lambda _: told.append, Work),
        subscribe(lambda _: None, Work),
        subscribe(lambda _: told.append, Work),
        Work("w"),
    ):
        pass

    assert len(told) == 2
    assert told[0] is told[1]
    assert len(clock) == 2


@pytest.mark.parametrize("kind", RAISED)
@pytest.mark.parametrize("when", ["beginning", "end"])
def test_a_listener_of_an_operation_that_raises_is_detached(
    when: str, kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The seam: at its beginning or its end; the operation goes on, one line says what happened."""
    told: list[Outcome] = []

    def broken(_: Any) -> Callable[[Outcome], None]:
        if when == "beginning":
            raise kind("mine")
        return raising(kind)

    with subscribe(broken, Work), subscribe(lambda _: told.append, Work):
        for _ in range(2):
            with Work("w"):
                pass
        assert len(Work.listeners) == 1

    assert [outcome.end for outcome in told] == ["done", "done"]
    assert len(caplog.records) == 1


def test_who_subscribes_during_an_operation_is_not_told_its_end() -> None:
    """The seam: an end is told to those who were told the beginning, even if they left since."""
    late: list[Outcome] = []
    early: list[Outcome] = []

    first = subscribe(lambda _: early.append, Work)
    with Work("w"), subscribe(lambda _: late.append, Work):
        first.cancel()

    assert late == []
    assert len(early) == 1


# ---- silence


def test_silence_does_nothing_and_is_false() -> None:
    """The seam: it stands in for an operation, and lets errors pass."""
    with SILENCE as silence:
        assert not silence
    with pytest.raises(KeyError), SILENCE:
        raise KeyError


@isolated
def test_nobody_listening_means_no_clock(clock: list[int]) -> None:
    """The budget: sets, resets, forks and mounts announce nothing and read no clock."""
    var = variable()

    async def main() -> None:
        var.reset(var.set(1))
        await asyncio.create_task(asyncio.sleep(0))
        mount(ChainManifest(bytes(16)), LENIENT, to_worker=True)

    run(main())
    assert clock == []

    with subscribe(lambda _: lambda _: None, events.Mount):
        run(main())
    assert len(clock) == 2


def test_no_class_has_listeners_by_default() -> None:
    """The budget: importing Catena subscribes nobody."""
    program = (
        "import catena; from catena import events; from catena.events.bus import Event;"
        "kinds = [one for one in vars(events).values() if isinstance(one, type)];"
        "kinds = [one for one in kinds if issubclass(one, Event)];"
        "print(len(kinds) > 10, [one for one in kinds if one.listeners])"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True
    )

    assert ran.stdout == "True []\n"


@pytest.mark.parametrize("kind", RAISED)
def test_what_a_listener_left_is_used_and_breaks_nothing(
    kind: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    """The seam: nothing for nothing, what a hook returns, and one line for what it raises."""
    assert call_hook(None) is None
    assert call_hook(lambda: 7) == 7
    assert caplog.records == []
    assert call_hook(lambda: raising(kind)(None)) is None
    assert [one.levelno for one in caplog.records] == [logging.ERROR]


def test_ctrl_c_in_a_listener_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """The seam: it is the user's, and the listener that was at work keeps listening."""
    interrupted = raising(KeyboardInterrupt)

    with subscribe(interrupted, Fact, Work):
        with pytest.raises(KeyboardInterrupt):
            announce(Fact(1))
        with pytest.raises(KeyboardInterrupt), Work("w"):
            pass
        assert Fact.listeners == Work.listeners == (interrupted,)
    with pytest.raises(KeyboardInterrupt):
        call_hook(lambda: interrupted(None))

    assert not observe.observing()
    assert caplog.records == []


# ---- what is only counted


def test_a_counter_stands_for_its_own_listener_alone() -> None:
    """The seam: who else listens is told of everything, and so is the counter's listener then."""
    mine, counter = list[Work](), object()

    with subscribe(mine.append, Work, counter=counter):
        assert Work.counter is counter
        with subscribe(lambda _: None, Work):
            assert Work.counter is None
            with Work("both"):
                pass
        assert Work.counter is counter
    with subscribe(lambda _: None, Work):
        assert Work.counter is None

    assert [one.name for one in mine] == ["both"]
    assert Work.counter is None


def test_a_listener_that_is_detached_takes_its_counter_along() -> None:
    """The seam: nobody is counted for who is not there."""

    def broken(_: Work) -> None:
        raise KeyError("mine")

    with subscribe(broken, Work, Fact, counter=object()):
        with Work("w"):
            pass
        assert (Work.listeners, Work.counter) == ((), None)
        assert Fact.listeners == (broken,)


def test_a_counter_that_fell_takes_its_listener_along(caplog: pytest.LogCaptureFixture) -> None:
    """The seam: it catches what it raises and says so, and both are detached, with one line."""

    class Counts:
        def tell(self, _: Work) -> None: ...

    counts = Counts()
    with subscribe(counts.tell, Work, counter=counts):
        for _ in range(2):
            try:
                {}["mine"]
            except KeyError:
                detach_failed(Work, counts.tell)
        assert (Work.listeners, Work.counter) == ((), None)
    assert [one.exc_info is not None for one in caplog.records] == [True]


def test_a_counter_belongs_to_one_class() -> None:
    """The seam: as its listeners do."""
    with subscribe(lambda _: None, Work, counter=object()):
        assert [one for one in (events.Dispatch, events.Execution) if one.counter] == []
