"""What an application hangs on telemetry: it reads its own request's variables, and may fail."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, Decision, Sampler, SamplingResult
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

import catena
from tests.dispatch.tapped import tapped
from tests.support import isolated, run, variable
from tests.telemetry.sdk import Told, telling
from tests.telemetry.story import add, count_up, number

tenant: catena.ContextVar[str] = catena.ContextVar(
    "tenant", namespace="tests.observers", default="-"
)
NAMES = ("acme", "beta", "gamma")


@catena.routine
async def work() -> str:
    """Return what the routine sees, having set it."""
    seen = tenant.get()
    tenant.reset(tenant.set("inside"))
    return seen


@catena.routine
async def steps() -> Any:
    """Yield what each step sees."""
    while True:
        yield tenant.get()


@catena.routine
async def nested() -> str:
    """Call on."""
    return await work()


class Reading(SpanProcessor):
    """Notes what an observer sees of the tenant, beside the request that is under way."""

    def __init__(self) -> None:
        self.request = "none"
        self.seen: list[tuple[str, str, str]] = []

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.note("begin " + span.name)

    def on_end(self, span: Any) -> None:
        self.note("end " + span.name)

    def note(self, what: str) -> None:
        self.seen.append((self.request, what, tenant.get()))


class Asking(Sampler):
    """Samples everything, and notes what it sees."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading

    def should_sample(self, *_: Any, **__: Any) -> SamplingResult:
        self.reading.note("sampled")
        return SamplingResult(Decision.RECORD_AND_SAMPLE)

    def get_description(self) -> str:
        return "tests"


async def stepping() -> str:
    """Drive a stream for two steps, and leave it to its end."""
    stream: Any = steps()
    seen = {await anext(stream), await anext(stream)}
    await stream.aclose()
    (one,) = seen
    return one


async def abandoning() -> str:
    """Drive a stream, and leave it to the collector."""
    stream: Any = steps()
    seen = await anext(stream)
    del stream
    await asyncio.sleep(0)
    return seen


@isolated
@pytest.mark.parametrize("call", [work, nested, stepping, abandoning])
def test_an_observer_sees_no_other_requests_variables(call: Any) -> None:
    """L1, M8: hook, sampler, processor and log filter read their own request's, or the default."""
    reading = Reading()

    def hook(*_: Any) -> None:
        reading.note("hook")

    class Filter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            reading.note(f"record {record.msg}")
            return True

    async def request(name: str) -> None:
        reading.request = name
        tenant.set(name)
        assert await call() == name
        await asyncio.sleep(0.02)

    async def main() -> None:
        async with tapped():
            for name in NAMES * 2:
                await asyncio.create_task(request(name))

    hooks: dict[str, Any] = {"dispatch_hook": hook, "execution_hook": hook}
    with telling(sampler=Asking(reading), audit=True, **hooks) as told:
        told.tracer_provider.add_span_processor(reading)
        handler = logging.getLogger("catena").handlers[-1]
        handler.addFilter(Filter())
        run(main())
        handler.filters.clear()
        assert told.dropped("traces") == told.dropped("logs") == 0
        # Whoever only looks on makes no fork.
        assert told.numbers("catena.chain.forks")[()] == 0

    seen = {(request, value) for request, _, value in reading.seen}
    assert {value for _, value in seen} >= {"-", *NAMES}
    strange = [one for one in reading.seen if one[2] not in (one[0], "-", "inside")]
    assert strange == []


# ---- an observer that reads where the chain is somebody else's


def intrude() -> list[BaseException]:
    """Have a thread set a variable of a chain that runs here; return what it was refused with."""
    refused: list[BaseException] = []
    copied = contextvars.copy_context()

    def touch() -> None:
        try:
            copied.run(number.set, 2)
        except catena.ChainContention as error:
            refused.append(error)

    thread = threading.Thread(target=touch)
    thread.start()
    thread.join(10)
    return refused


async def intruded() -> int:
    """Have three intruders refused; return how many were."""
    refused = 0
    for _ in range(3):
        number.set(1)
        refused += len(intrude())
    return refused


@isolated
@pytest.mark.parametrize("reads", [number.get, lambda: number.set(7)])
def test_a_contention_is_told_once_whatever_its_observers_do(reads: Callable[[], Any]) -> None:
    """C9: who reads is refused nothing; who sets is refused, and that is not told again."""

    class Touching(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            if span.name == "catena.contention":
                reads()

    class Filter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            if record.name == "catena.context":
                seen.append(number.get())
            return True

    seen: list[int] = []
    with telling() as told:
        told.tracer_provider.add_span_processor(Touching())
        handler = logging.getLogger("catena").handlers[-1]
        handler.addFilter(Filter())
        assert run(intruded()) == 3
        handler.filters.clear()
        assert told.numbers("catena.chain.contentions")[(("catena.kind", "thread"),)] == 3
        # A processor that sets spoils its own span, and nothing else.
        lost = told.dropped("traces")

    assert len(told.logged("catena.chain.contention")) == 3
    assert len(told.named("catena.contention")) + lost == 3
    assert lost in (0, 3)
    assert seen == [1, 1, 1]


@isolated
def test_a_reset_that_an_observer_makes_is_not_told_to_it() -> None:
    """The seam: no listener hears without end of what it does itself."""
    own = variable()

    class Filter(logging.Filter):
        def filter(self, record: logging.LogRecord) -> bool:
            own.reset(own.set(1))
            return True

    with telling(audit=True) as told:
        handler = logging.getLogger("catena").handlers[-1]
        handler.addFilter(Filter())
        number.reset(number.set(1))
        handler.filters.clear()

    assert len(told.logged("catena.token.reset")) == 1


# ---- an observer that raises


class Once:
    """Raises at its fourth call and at no other."""

    def __init__(self, kind: type[BaseException]) -> None:
        self.kind = kind
        self.calls = 0

    def __call__(self, *_: Any) -> None:
        self.calls += 1
        if self.calls == 4:
            raise self.kind


def processor(told: Told, trip: Once) -> None:
    """Have a span processor raise once."""

    class Broken(SpanProcessor):
        def on_start(self, span: Any, parent_context: Any = None) -> None:
            trip()

    told.tracer_provider.add_span_processor(Broken())


class Sampling(Sampler):
    """Has ``trip`` called for each decision."""

    def __init__(self, trip: Once) -> None:
        self.trip = trip

    def should_sample(self, *args: Any, **kwargs: Any) -> SamplingResult:
        self.trip()
        return ALWAYS_ON.should_sample(*args, **kwargs)

    def get_description(self) -> str:
        return "tests"


class Injecting(TraceContextTextMapPropagator):
    """Has ``trip`` called whenever a trace is sent along."""

    def __init__(self, trip: Once) -> None:
        self.trip = trip

    def inject(self, carrier: Any, *args: Any, **options: Any) -> None:
        self.trip()
        super().inject(carrier, *args, **options)


@isolated
@pytest.mark.parametrize("what", ["processor", "sampler", "propagator", "hook"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", [ZeroDivisionError, SystemExit, asyncio.CancelledError])
def test_what_raises_once_costs_one_signal_of_one_call(
    what: str, stream: bool, kind: type[BaseException]
) -> None:
    """L5: the next call has its spans again, and no duration is lost."""
    trip = Once(kind)
    options: dict[str, Any] = {
        "processor": {},
        "sampler": {"sampler": Sampling(trip)},
        "propagator": {"propagator": Injecting(trip)},
        "hook": {"dispatch_hook": trip},
    }[what]

    async def main() -> None:
        async with tapped():
            for _ in range(10):
                if stream:
                    assert [one async for one in count_up(1)] == [0]
                else:
                    await add(1)

    with telling(detail="dispatch", **options) as told:
        if what == "processor":
            processor(told, trip)
        run(main())
        spans = [one for one in told.spans if one.kind.name in ("CLIENT", "SERVER")]
        metrics = told.metrics()
        assert told.dropped("traces") == 1
        assert len([one for one in told.records if "raised" in one.getMessage()]) == 1

    assert trip.calls >= 10
    assert len(spans) == (19 if what in ("processor", "sampler") else 20)
    for name in ("rpc.client.call.duration", "rpc.server.call.duration"):
        assert sum(one.count for one in metrics[name]) == 10


@isolated
def test_a_record_that_cannot_be_written_costs_that_record() -> None:
    """L5: a handler that raises ends neither the counting of contentions nor their spans."""

    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise ZeroDivisionError

    logger, broken = logging.getLogger("catena"), Broken()
    with telling() as told:
        logger.addHandler(broken)
        try:
            assert run(intruded()) == 3
        finally:
            logger.removeHandler(broken)
        assert told.dropped("logs") == 3
        assert told.numbers("catena.chain.contentions")[(("catena.kind", "thread"),)] == 3

    assert len(told.named("catena.contention")) == 3


@isolated
def test_what_others_put_on_a_record_is_left_alone() -> None:
    """L5: a record factory that sets trace_id keeps its own, and the record is written."""
    plain = logging.getLogRecordFactory()

    def factory(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = plain(*args, **kwargs)
        record.trace_id = "mine"
        return record

    with telling() as told:
        logging.setLogRecordFactory(factory)
        try:
            assert run(intruded()) == 3
        finally:
            logging.setLogRecordFactory(plain)
        assert told.dropped("logs") == 0

    records = told.logged("catena.chain.contention")
    assert [one["trace_id"] for one in records] == ["mine"] * 3
    assert [len(one["span_id"]) for one in records] == [16] * 3
