"""The carrier: the header that is written without a propagator is the one that it would write."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import baggage, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context, attach
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from catena.events.carrier import CARRIER_LIMIT
from catena.telemetry.carrier import Carriers
from catena.telemetry.tally import losses
from tests.dispatch.ends import connected
from tests.support import isolated, run
from tests.telemetry.sdk import telling
from tests.telemetry.story import add, number

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
STANDARD = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


class Asked(TraceContextTextMapPropagator):
    """Does what the standard's does, and counts how often it is asked."""

    asked = 0

    def inject(self, *args: Any, **options: Any) -> None:
        self.asked += 1
        super().inject(*args, **options)

    def extract(self, *args: Any, **options: Any) -> Context:
        self.asked += 1
        return super().extract(*args, **options)


def span(flags: int, state: dict[str, str] | None = None) -> trace.Span:
    """Return a span with the ids of the header."""
    ids = (0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331)
    known = trace.TraceState(list((state or {}).items()))
    return trace.NonRecordingSpan(trace.SpanContext(*ids, False, trace.TraceFlags(flags), known))


@pytest.mark.parametrize("state", [None, {"a": "1"}])
@pytest.mark.parametrize("flags", [0, 1, 3])
def test_both_ways_of_writing_agree(flags: int, state: dict[str, str] | None) -> None:
    """Carrier: what the propagator would have written is written, with or without asking it."""
    asked: dict[str, str] = {}
    STANDARD.inject(asked, trace.set_span_in_context(span(flags, state), Context()))

    assert Carriers(STANDARD).write(span(flags, state)) == asked


@pytest.mark.parametrize(
    "header",
    [
        HEADER,
        HEADER[:-2] + "00",
        HEADER[:-2] + "ff",
        HEADER + " ",
        HEADER + "-x",
        HEADER.upper(),
        HEADER.replace("0af7", "-af7"),
        HEADER.replace("0af7", "0_f7"),
        "01" + HEADER[2:],
        "ff" + HEADER[2:],
        "00-" + "0" * 32 + "-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-" + "0" * 16 + "-01",
        HEADER + "\n",
        "",
    ],
)
def test_both_ways_of_reading_agree(header: str) -> None:
    """Carrier: the same span, or none, as the propagator would have found."""
    carrier = {"traceparent": header}
    found = trace.get_current_span(STANDARD.extract(carrier, Context())).get_span_context()

    context, state = Carriers(STANDARD).read(carrier)

    read = trace.get_current_span(context).get_span_context()
    assert (read, read.is_remote) == (found, found.is_remote)
    assert state == ("present" if found.is_valid else "malformed")


@pytest.mark.parametrize("inside", [False, True])
def test_a_propagator_of_somebody_is_asked(inside: bool) -> None:
    """Carrier: only what is exactly the standard's is done without asking."""
    own = Asked()
    carriers = Carriers(CompositePropagator([own]) if inside else own)

    assert carriers.write(span(1)) == {"traceparent": HEADER}
    assert carriers.read({"traceparent": HEADER})[1] == "present"
    assert own.asked == 2


def test_an_invalid_span_writes_nothing() -> None:
    """Carrier: a span without a trace has nothing to send."""
    assert Carriers(STANDARD).write(trace.INVALID_SPAN) == {}


class Odd(TraceContextTextMapPropagator):
    """Writes half of a character."""

    def inject(self, carrier: Any, *args: Any, **options: Any) -> None:
        carrier["odd"] = "\ud800"


@isolated
def test_a_text_that_cannot_travel_costs_the_carrier_alone() -> None:
    """Bad input: a propagator's half character never comes to a frame, and calls go on."""
    assert Carriers(Odd()).write(span(1)) is None

    async def work() -> None:
        number.set(1)
        async with connected():
            await add(1)
            await add(1)
        seen.append(number.get())

    seen: list[int] = []
    with telling(propagator=Odd()) as told:
        run(work())
        assert seen == [3]
        assert told.dropped("traces", "oversized") == 4


LONG = {f"k{n}": "x" * 4060 for n in range(2)}
STATE = trace.TraceState([(f"v{n}", "y" * 255) for n in range(32)])
BOTH = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


@pytest.mark.parametrize(
    ("members", "state", "kept"),
    [
        ({"k": "x" * 4000}, None, {"traceparent", "baggage"}),
        (LONG, None, {"traceparent"}),
        (LONG, trace.TraceState([("v", "y")]), {"traceparent", "tracestate"}),
        ({"k": "v"}, STATE, {"traceparent"}),
        ({"k": "\ud800"}, None, {"traceparent"}),
    ],
    ids=["legal", "baggage", "baggage but the state", "state", "half a character"],
)
@isolated
def test_what_exceeds_the_limit_costs_no_parent(
    members: dict[str, str], state: Any, kept: set[str]
) -> None:
    """L11: baggage goes first, then the trace's state; the parent arrives, and it is counted."""
    before = sum(number for _, number in losses.read())
    for name, value in members.items():
        attach(baggage.set_baggage(name, value))
    context = trace.SpanContext(5, 7, False, trace.TraceFlags(1), state)

    carrier = Carriers(BOTH, baggage=True).write(trace.NonRecordingSpan(context))

    assert carrier is not None
    assert set(carrier) == kept
    assert carrier["traceparent"] == f"00-{5:032x}-{7:016x}-01"
    size = sum(len(name) + len(value) for name, value in carrier.items())
    assert size <= CARRIER_LIMIT
    assert sum(number for _, number in losses.read()) - before == (0 if "baggage" in kept else 1)
