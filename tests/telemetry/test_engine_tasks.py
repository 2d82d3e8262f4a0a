"""The trace of whoever submits a task to another engine is current in the task."""

from __future__ import annotations

import asyncio
from typing import Any

from opentelemetry import baggage, propagate, trace
from opentelemetry.context import attach

from catena.engines.dask_tasks import with_context
from catena.engines.mounting import capture_context
from catena.events.carrier import relayed
from catena.wire.manifests import decode_manifest
from tests.support import isolated, run, variable
from tests.telemetry.sdk import telling

ROUTED = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}


def _make_span(name: str) -> str:
    """Make a span, as the code of a task does."""
    with trace.get_tracer("tests").start_as_current_span(name):
        headers: dict[str, str] = {}
        propagate.inject(headers)
        return headers["traceparent"]


async def _make_span_later(name: str) -> str:
    await asyncio.sleep(0)
    return await asyncio.create_task(asyncio.to_thread(_make_span, name))


def _read_baggage() -> object:
    return baggage.get_baggage("tenant")


@isolated
def test_spans_of_a_task_have_the_submitters_span_as_parent() -> None:
    """Spans: in the same trace, below the span that was current at the submission."""
    with telling() as told:
        tracer = told.tracer_provider.get_tracer("tests")
        with tracer.start_as_current_span("submitting"):
            task = with_context(_here(tracer))
        assert task("in the task")

        (submitting,), (made,) = told.named("submitting"), told.named("in the task")
        assert made.parent is not None
        assert made.parent.span_id == submitting.context.span_id
        assert made.context.trace_id == submitting.context.trace_id
        assert not trace.get_current_span().get_span_context().is_valid


_tracers: list[Any] = []


def _here(tracer: Any) -> Any:
    """Return a function that makes spans with a tracer of this process."""
    _tracers[:] = [tracer]
    return _span_of_tracer


def _span_of_tracer(name: str) -> bool:
    with _tracers[0].start_as_current_span(name) as span:
        return bool(span.is_recording())


@isolated
def test_the_mount_is_in_the_submitters_trace() -> None:
    """Spans: whoever reads the trace finds which values the task was given."""
    var = variable()
    with telling() as told:
        tracer = told.tracer_provider.get_tracer("tests")
        var.set(1)
        with tracer.start_as_current_span("submitting"):
            task = with_context(_read_baggage)
        task()

        (submitting,) = told.named("submitting")
        mounts = [one for one in told.named("catena.mount") if "catena.vars.set" in one.attributes]
        assert [one.parent.span_id for one in mounts] == [submitting.context.span_id]


@isolated
def test_a_coroutine_has_it_in_each_step_and_in_its_tasks() -> None:
    """Spans: after an await, in a created task, and in a thread that is given a copy."""
    with telling() as told:
        tracer = told.tracer_provider.get_tracer("tests")

        async def main() -> str:
            with tracer.start_as_current_span("submitting"):
                task = with_context(_make_span_later)
            return await task("later")

        header = run(main())
        assert header.split("-")[1] == f"{told.named('submitting')[0].context.trace_id:032x}"


@isolated
def test_baggage_goes_along_where_calls_carry_it() -> None:
    """The carrier: baggage travels on request."""
    for asked, expected in ((False, None), (True, "acme")):
        with telling(baggage=asked) as told:
            tracer = told.tracer_provider.get_tracer("tests")
            with tracer.start_as_current_span("submitting"):
                attach(baggage.set_baggage("tenant", "acme"))
                task = with_context(_read_baggage)
            attach(baggage.remove_baggage("tenant"))
            assert task() == expected


@isolated
def test_without_a_trace_nothing_is_sent() -> None:
    """The carrier: there is none where there is no span."""
    with telling():
        assert decode_manifest(capture_context("f", strict=False)).carrier == {}


@isolated
def test_what_a_process_without_telemetry_came_with_goes_on() -> None:
    """The carrier: unread, through a process that observes nothing, as with calls."""
    relayed.set(ROUTED)

    assert with_context(_capture_there)() == ROUTED


def _capture_there() -> Any:
    return dict(decode_manifest(capture_context("f", strict=False)).carrier)


@isolated
def test_a_span_that_is_not_sampled_decides_for_the_task() -> None:
    """Spans: the header says so, and nothing is recorded there."""
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased

    with telling(sampler=ParentBased(ALWAYS_OFF)) as told:
        tracer = told.tracer_provider.get_tracer("tests")
        with tracer.start_as_current_span("submitting"):
            task = with_context(_here(tracer))
        assert not task("in the task")
