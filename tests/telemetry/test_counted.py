"""Calls whose trace is not sampled: counted as all others are, whoever else observes them."""

from __future__ import annotations

import asyncio
import gc
import sys
from contextlib import ExitStack
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, StaticSampler

import catena
from catena import events, telemetry
from catena.events.bus import observe
from tests.dispatch.tapped import tapped
from tests.support import Looking, isolated, run
from tests.telemetry.sdk import Told, labels, telling
from tests.telemetry.story import add, count_up, fail, nest, number

OPERATIONS = events.Dispatch, events.Execution, events.Mount


@catena.routine
async def current() -> tuple[bool, int, bool]:
    """Return whether a trace is current on the worker, its id, and whether it is sampled."""
    span = trace.get_current_span().get_span_context()
    return span.is_valid, span.trace_id, span.trace_flags.sampled


@catena.routine
async def forever() -> None:
    """Run until it is cancelled."""
    await asyncio.sleep(60)


async def everything() -> None:
    """Make calls of all kinds, 40 of them short, so that samples are taken, too."""
    number.set(1)
    async with tapped():
        for _ in range(40):
            await add(1)
        await nest(2)
        with pytest.raises(LookupError):
            await fail("x")
        assert len([one async for one in count_up(3)]) == 3
        early = count_up(3)
        await anext(early)
        await early.aclose()
        with pytest.raises(catena.SerializationError):
            await add(sys._getframe())
        call = asyncio.create_task(forever())
        await asyncio.sleep(0.05)
        call.cancel()
        await asyncio.wait([call])


def counts(told: Told) -> dict[str, dict[Any, float]]:
    """Return how often each thing happened, by metric and labels."""
    return {
        name: {labels(one): getattr(one, "count", None) or one.value for one in points}
        for name, points in told.metrics().items()
        if name.startswith(("rpc.", "catena."))
    }


def counted(*, sampled: bool, observed: bool) -> dict[str, dict[Any, float]]:
    """Make the calls, sampled or not, with another observer or without; return the metrics."""
    with telling(sampled=sampled, detail="full") as told, ExitStack() as stack:
        if observed:
            stack.enter_context(observe(Looking(), *OPERATIONS))
        run(everything())
        assert bool(told.spans) is sampled
        return counts(told)


@isolated
def test_an_unsampled_call_is_counted_as_a_sampled_one() -> None:
    """Metrics: to the label, whether its trace is sampled or not, and whoever else observes it."""
    found = counted(sampled=False, observed=False)

    assert counted(sampled=False, observed=True) == found
    assert counted(sampled=True, observed=False) == found
    assert {name for name in found if "active" in name} == {
        "catena.worker.calls.active",
        "catena.proxy.lease.active",
    }
    for name in ("catena.worker.calls.active", "catena.proxy.lease.active"):
        assert set(found[name].values()) == {0}
    for name in ("catena.frame.size", "catena.dispatch.queue.duration", "catena.manifest.size"):
        assert sum(found[name].values()) >= 2
    assert sum(found["catena.chain.mounts"].values()) > 30
    assert sum(found["catena.chain.unmounts"].values()) > 30


@isolated
@pytest.mark.parametrize("inside", [True, False])
def test_a_trace_that_is_not_sampled_goes_on_in_the_routine(inside: bool) -> None:
    """Sampling: what it calls belongs to the trace of its caller, and is not sampled either."""

    async def work() -> tuple[tuple[bool, int, bool], int]:
        async with tapped():
            if not inside:
                return await current(), 0
            span = told.tracer_provider.get_tracer("app").start_span("app")
            with trace.use_span(span):
                return await current(), span.get_span_context().trace_id

    with telling(sampled=False) as told:
        (is_valid, trace_id, is_sampled), outer = run(work())

    assert is_valid
    assert not is_sampled
    assert trace_id == outer if inside else trace_id


@isolated
def test_each_trace_has_its_own_context() -> None:
    """Sampling: calls of one trace share what was read of its header, and no other's."""

    async def work() -> list[tuple[int, int]]:
        seen: list[tuple[int, int]] = []
        tracer = told.tracer_provider.get_tracer("app")
        async with tapped():
            spans = [tracer.start_span("app") for _ in range(2)]
            for span in (*spans, *spans, spans[1]):
                with trace.use_span(span):
                    seen.append(((await current())[1], span.get_span_context().trace_id))
        return seen

    with telling(sampled=False) as told:
        seen = run(work())

    assert all(there == here for there, here in seen)
    assert len(set(seen)) == 2


@isolated
def test_a_sampler_that_raises_costs_spans_alone() -> None:
    """Bad input: it is asked for each call anew, and what it costs is counted."""

    class Broken(StaticSampler):
        def should_sample(self, *_: Any, **__: Any) -> Any:
            raise ZeroDivisionError

    async def work() -> int:
        async with tapped():
            return sum(await asyncio.gather(*[add(1) for _ in range(5)]))

    with telling(sampler=Broken(ALWAYS_OFF._decision)) as told:
        assert run(work()) == 5
        assert lost(told) == 10
        assert ended(told) == [5, 5]


@isolated
def test_an_end_that_cannot_be_recorded_costs_spans_alone() -> None:
    """Bad input: a processor that raises when spans end is met at each of both ends."""

    class Broken(SpanProcessor):
        def on_end(self, span: Any) -> None:
            raise ZeroDivisionError

    async def work() -> int:
        async with tapped():
            return sum(await asyncio.gather(*[add(1) for _ in range(5)]))

    with telling(detail="dispatch") as told:
        told.tracer_provider.add_span_processor(Broken())
        assert run(work()) == 5
        assert lost(told) == 10
        assert ended(told) == [5, 5]


def lost(told: Told) -> int:
    """Return how often a signal of one event was lost, as counted; one line has said it."""
    assert len([one for one in told.records if "raised" in one.getMessage()]) == 1
    return told.dropped("traces")


def ended(told: Told) -> list[int]:
    """Return how many calls both ends have measured; none is under way any more."""
    metrics = told.metrics()
    assert [one.value for one in metrics["catena.worker.calls.active"]] == [0]
    names = "rpc.client.call.duration", "rpc.server.call.duration"
    return [sum(one.count for one in metrics[name]) for name in names]


@isolated
@pytest.mark.parametrize("detail", ["dispatch", "full"])
@pytest.mark.parametrize("is_sampled", [True, False])
@pytest.mark.parametrize("observed", [True, False])
def test_what_was_recorded_leaves_nothing_to_the_collector(
    detail: Any, is_sampled: bool, observed: bool
) -> None:
    """Memory: events, spans and contexts of a call that is over refer to each other no more."""

    async def work() -> list[str]:
        number.set(1)
        async with tapped():
            await add(1)
            await asyncio.sleep(0.05)
            gc.collect()
            gc.disable()
            gc.set_debug(gc.DEBUG_SAVEALL)
            try:
                for _ in range(20):
                    await add(1)
                await asyncio.sleep(0.05)
                gc.collect()
                return [type(one).__name__ for one in gc.garbage]
            finally:
                gc.set_debug(0)
                gc.garbage.clear()
                gc.enable()

    with telling(sampled=is_sampled, detail=detail), ExitStack() as stack:
        if observed:
            stack.enter_context(observe(Looking(), *OPERATIONS))
        left = run(work())
    assert set(left) & {"Dispatch", "Execution", "Mount", "_Span", "Context", "partial"} == set()


@isolated
def test_who_installs_metrics_alone_counts_every_call() -> None:
    """Metrics: without a tracer there is nothing to decide."""
    with telling() as told:
        telemetry.uninstall()
        telemetry.install(meter_provider=told.meter_provider)
        run(everything())
        points = told.metrics()["rpc.server.call.duration"]

    assert sum(one.count for one in points) >= 44
    assert told.spans == []


@isolated
def test_a_sampled_call_is_decided_once() -> None:
    """Sampling: a sampler is asked once at either end."""
    asked: list[str] = []

    class Asked(ParentBased):
        def should_sample(self, *args: Any, **kwargs: Any) -> Any:
            asked.append(kwargs.get("name") or args[2])
            return super().should_sample(*args, **kwargs)

    async def work() -> None:
        async with tapped():
            for _ in range(20):
                await current()

    with telling(sampler=Asked(ALWAYS_ON), detail="dispatch") as told:
        run(work())
        assert len(told.named("current")) == 40
    assert len(asked) == 40


@isolated
@pytest.mark.parametrize("is_sampled", [True, False])
def test_an_exemplar_names_a_trace_that_is_kept(is_sampled: bool) -> None:
    """Metrics: also where the SDK's filter takes all, those that nobody keeps are not named."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], exemplar_filter=AlwaysOnExemplarFilter())

    async def work() -> None:
        async with tapped():
            for _ in range(40):
                await add(1)

    with telling(sampled=is_sampled) as told:
        telemetry.uninstall()
        telemetry.install(tracer_provider=told.tracer_provider, meter_provider=provider)
        told.reader = reader
        run(work())
        metrics = told.metrics()
        found = [*metrics["rpc.client.call.duration"], *metrics["rpc.server.call.duration"]]
        traces = {one.trace_id for point in found for one in point.exemplars}
    provider.shutdown()

    assert sum(point.count for point in found) == 80
    assert (traces == {None}) is not is_sampled
    assert traces != set()
