"""Spans: who is whose parent, what they are linked to, how they end, and what unsampled means."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
from typing import Any

import pytest
from opentelemetry import propagate, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

import catena
from catena import telemetry
from catena.dispatch.caller.connection import WorkerConnection
from catena.events.carrier import CARRIER_LIMIT
from catena.telemetry import observers
from catena.telemetry.facts import status_of
from catena.telemetry.spans import enter_execution
from tests.dispatch.tapped import tapped
from tests.support import isolated, run
from tests.telemetry.sdk import Told, telling
from tests.telemetry.story import add, contend, count_up, fail, nest, number

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def one(spans: list[ReadableSpan], kind: SpanKind) -> ReadableSpan:
    """Return the only span of a kind."""
    (found,) = [span for span in spans if span.kind is kind]
    return found


def both(told: Told, name: str) -> tuple[ReadableSpan, ReadableSpan]:
    """Return the spans of a call's dispatch and of its execution."""
    spans = told.named(name)
    return one(spans, SpanKind.CLIENT), one(spans, SpanKind.SERVER)


def parent(span: ReadableSpan) -> int:
    """Return the id of a span's parent, 0 without one."""
    return span.parent.span_id if span.parent else 0


def links(span: ReadableSpan) -> list[int]:
    """Return the ids of the spans that one is linked to."""
    return [link.context.span_id for link in span.links]


def under_a_root(told: Told, coro: Any) -> Any:
    """Run a coroutine in a span of the application."""

    async def main() -> Any:
        async with tapped():
            with told.tracer_provider.get_tracer("app").start_as_current_span("app"):
                return await coro()

    return run(main())


@isolated
def test_a_call_is_a_span_at_either_end() -> None:
    """One trace: the execution is a child of the dispatch, which is a child of what was current."""
    number.set(1)
    with telling() as told:
        under_a_root(told, lambda: add(2))

    (app,) = told.named("app")
    dispatch, execution = (
        one(told.named("add"), kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER)
    )
    assert parent(dispatch) == app.context.span_id
    assert parent(execution) == dispatch.context.span_id
    there = {"catena.token.reset", "catena.proxy.lease"}
    assert {span.name for span in told.spans if parent(span) == execution.context.span_id} == {
        *there,
        "catena.mount",
    }
    assert {span.context.trace_id for span in told.spans} == {app.context.trace_id}
    assert dispatch.attributes["catena.attempts"] == 1
    assert "catena.carrier" not in execution.attributes


@isolated
def test_a_mount_is_linked_to_the_span_that_captured_it() -> None:
    """Links: on the worker to the dispatch, back on the caller to the execution."""
    number.set(1)
    with telling() as told:
        under_a_root(told, lambda: add(2))

    dispatch, execution = (
        one(told.named("add"), kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER)
    )
    mounts = {
        span.attributes["catena.mount.direction"]: span for span in told.named("catena.mount")
    }
    assert links(mounts["to_worker"]) == [dispatch.context.span_id]
    assert links(mounts["to_caller"]) == [execution.context.span_id]
    assert parent(mounts["to_caller"]) == dispatch.context.span_id
    assert parent(mounts["out"]) == execution.context.span_id
    assert mounts["to_worker"].attributes["catena.frame.kind"] == "next"
    assert mounts["to_caller"].attributes["catena.frame.seq"] == 1


@isolated
def test_a_nested_call_in_a_task_is_a_child_of_its_execution() -> None:
    """One trace: a forked task inherits what is current in the routine."""
    number.set(1)
    with telling() as told:
        under_a_root(told, lambda: nest(2))

    outer = one(told.named("nest"), SpanKind.SERVER)
    inner = one(told.named("add"), SpanKind.CLIENT)
    assert parent(inner) == outer.context.span_id
    mounted = next(
        span
        for span in told.named("catena.mount")
        if parent(span) == one(told.named("add"), SpanKind.SERVER).context.span_id
        and span.attributes["catena.mount.direction"] == "to_worker"
    )
    assert "catena.chain.parent_id" in mounted.attributes


@isolated
def test_the_dispatch_is_not_current_on_the_caller() -> None:
    """Rules: what is current before a call and a stream is current during and after it."""
    seen: list[trace.Span] = []

    async def work() -> trace.Span:
        await add(1)
        seen.append(trace.get_current_span())
        seen.extend([trace.get_current_span() async for _ in count_up(2)])
        return trace.get_current_span()

    with telling() as told:
        now = under_a_root(told, work)

    assert len(seen) == 3
    assert set(seen) == {now}


@isolated
def test_a_stream_is_one_span_at_either_end() -> None:
    """Spans: the whole stream; each frame that brings a chain is a mount."""

    async def work() -> None:
        number.set(7)
        assert [value async for value in count_up(3)] == [0, 1, 2]

    with telling() as told:
        under_a_root(told, work)

    dispatch, execution = both(told, "count_up")
    assert parent(execution) == dispatch.context.span_id
    mounts = told.named("catena.mount")
    back = [span for span in mounts if span.attributes["catena.mount.direction"] == "to_caller"]
    assert [span.attributes["catena.frame.seq"] for span in back] == [1, 2, 3]
    assert {parent(span) for span in back} == {dispatch.context.span_id}


@catena.routine
async def who_is_current() -> Any:
    """Yield the span that is current at each step, twice for each chain that drives."""
    while True:
        yield format(trace.get_current_span().get_span_context().span_id, "x")


@isolated
def test_each_chain_that_drives_a_stream_finds_the_execution_current() -> None:
    """Async generators: another chain's Context on the worker has the span of the call as well."""

    async def work() -> set[str]:
        number.set(1)
        stream: Any = who_is_current()
        found = {await anext(stream)}

        async def other() -> None:
            number.set(2)
            found.add(await anext(stream))

        await asyncio.create_task(other())
        found.add(await anext(stream))
        await stream.aclose()
        return found

    with telling() as told:
        found = under_a_root(told, work)

    execution = one(told.named("who_is_current"), SpanKind.SERVER)
    assert found == {format(execution.context.span_id, "x")}


@isolated
@pytest.mark.parametrize("call", [lambda: add(1), lambda: anext(count_up(3))])
def test_an_execution_is_made_current_once(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Async generators: also the first step of a stream, and before a hook is called."""
    entered: list[int] = []
    monkeypatch.setattr(
        observers, "enter_execution", lambda event: entered.append(0) or enter_execution(event)
    )
    seen: list[bool] = []

    def hook(span: trace.Span, _: Any) -> None:
        seen.append(trace.get_current_span() is span)
        raise ZeroDivisionError

    with telling(execution_hook=hook) as told:
        under_a_root(told, call)

    assert (len(entered), seen) == (1, [True])
    execution = one([*told.named("add"), *told.named("count_up")], SpanKind.SERVER)
    mounts = [span for span in told.named("catena.mount") if parent(span)]
    assert execution.context.span_id in {parent(span) for span in mounts}


@pytest.mark.parametrize("how", ["aclose", "another task", "collected"])
@isolated
def test_an_early_close_is_no_error(how: str, caplog: pytest.LogCaptureFixture) -> None:
    """Async generators: early close, close from another task and collection log no error."""

    async def work() -> None:
        number.set(1)
        stream: Any = count_up(5)
        await anext(stream)
        if how == "aclose":
            await stream.aclose()
        elif how == "another task":
            await asyncio.create_task(stream.aclose())
        else:
            del stream
            gc.collect()
        await asyncio.sleep(0.05)

    with telling() as told, caplog.at_level(logging.WARNING):
        under_a_root(told, work)

    spans = told.named("count_up")
    assert {span.kind for span in spans} == {SpanKind.CLIENT, SpanKind.SERVER}
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}
    assert caplog.records == []


@isolated
def test_an_error_is_told_by_its_class() -> None:
    """Values: the span of a call that failed has the class of the error, not its text."""

    async def work() -> None:
        with pytest.raises(LookupError):
            await fail("a secret")

    with telling() as told:
        under_a_root(told, work)

    for span in told.named("fail"):
        assert (span.status.status_code, span.status.description) == (StatusCode.ERROR, None)
        assert span.attributes["error.type"] == "LookupError"
        assert span.attributes["rpc.status_code"] == "UNKNOWN"
        assert "exception.message" not in span.attributes


@isolated
def test_messages_are_recorded_on_request() -> None:
    """Values: with record_messages the text is there."""

    async def work() -> None:
        with pytest.raises(LookupError):
            await fail("the text")

    with telling(record_messages=True) as told:
        under_a_root(told, work)

    assert {span.attributes["exception.message"] for span in told.named("fail")} == {"the text"}


@isolated
def test_a_cancelled_call_is_no_error() -> None:
    """Rules: a cancellation is an outcome, and the status stays unset."""

    async def work() -> None:
        call = asyncio.create_task(sleep())
        await asyncio.sleep(0.05)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    with telling() as told:
        under_a_root(told, work)

    spans = told.named("sleep")
    assert [span.attributes["catena.outcome"] for span in spans] == ["cancelled"] * 2
    assert {span.status.status_code for span in spans} == {StatusCode.UNSET}


@catena.routine
async def sleep() -> None:
    """Wait."""
    await asyncio.sleep(30)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "OK"),
        (KeyError("k"), "UNKNOWN"),
        (TimeoutError(), "DEADLINE_EXCEEDED"),
        (catena.DispatchTimeout(routine="r", worker="w", seconds=1), "DEADLINE_EXCEEDED"),
        (catena.NoPool(routine="r"), "UNAVAILABLE"),
        (catena.Busy(routine="r", worker="w"), "RESOURCE_EXHAUSTED"),
        (catena.ChainContention(chain_id="", kind="task"), "ABORTED"),
    ],
)
def test_how_a_call_ended_is_told_in_the_words_of_grpc(error: Any, status: str) -> None:
    """Attributes: rpc.status_code is a small enumeration."""
    assert status_of(error) == status


@pytest.mark.parametrize("error", [asyncio.CancelledError(), GeneratorExit()], ids=repr)
def test_what_was_given_up_is_cancelled_in_the_words_of_grpc(error: BaseException) -> None:
    """Attributes: a cancellation, and a stream that was left open; neither is an error."""
    assert status_of(error) == "CANCELLED"


# ---- detail and sampling


@isolated
def test_dispatch_is_calls_and_refusals_alone() -> None:
    """Detail: at `dispatch` there are no spans of mounts, resets and leases."""
    number.set(1)

    async def work() -> None:
        await add(2)
        await contend()

    with telling(detail="dispatch") as told:
        under_a_root(told, work)
        assert told.numbers("catena.chain.mounts")[(("catena.direction", "to_worker"),)] == 1

    assert {span.name.rpartition(".")[2] for span in told.spans} == {"app", "add", "contention"}


class Counting:
    """Counts the calls of tracers and instruments."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, told: Told) -> None:
        from opentelemetry.sdk.metrics._internal import instrument
        from opentelemetry.sdk.trace import Tracer

        self.tracer: list[str] = []
        self.instruments: list[str] = []
        start, record, add_to = (
            Tracer.start_span,
            instrument._Histogram.record,
            instrument._Counter.add,
        )

        def starting(tracer: Any, name: str, *args: Any, **options: Any) -> Any:
            self.tracer.append(name.rpartition(".")[2])
            return start(tracer, name, *args, **options)

        def recording(one: Any, *args: Any, **options: Any) -> None:
            self.instruments.append(one.name)
            record(one, *args, **options)

        def adding(one: Any, *args: Any, **options: Any) -> None:
            self.instruments.append(one.name)
            add_to(one, *args, **options)

        monkeypatch.setattr(Tracer, "start_span", starting)
        monkeypatch.setattr(instrument._Histogram, "record", recording)
        monkeypatch.setattr(instrument._Counter, "add", adding)


@isolated
def test_an_unsampled_call_asks_the_tracer_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Budget: no tracer and no instrument for what happens to a chain, one record a side."""
    number.set(1)

    async def work() -> None:
        number.set(2)
        async with tapped():
            counting = Counting(monkeypatch, told)
            await nest(3)
            assert counting.tracer == ["nest"]
            # Ends of calls are kept until there are some, or until metrics are collected.
            assert counting.instruments == []
            told.metrics()
            assert sorted(one for one in counting.instruments if one.startswith("rpc")) == [
                "rpc.client.call.duration",
                "rpc.client.call.duration",
                "rpc.server.call.duration",
                "rpc.server.call.duration",
            ]
        number.reset(number.set(1))
        assert counting.tracer == ["nest"]

    with telling(sampled=False) as told:
        run(work())
        assert told.spans == []
        assert told.numbers("catena.token.resets")[(("catena.outcome", "ok"),)] == 2


@isolated
def test_what_is_not_sampled_is_not_sampled_anywhere() -> None:
    """Sampling: parent-based, the whole trace or none of it, across the call."""

    async def work() -> bool:
        async with tapped() as ends:
            await add(1)
            (told_it,) = ends.told
            return int(told_it.carrier["traceparent"].rpartition("-")[2], 16) & 1 == 0

    with telling(sampled=False) as told:
        assert run(work())

    assert told.spans == []


@isolated
def test_a_contention_is_counted_and_logged_when_it_is_not_sampled() -> None:
    """Sampling: refusals are never lost."""
    with telling(sampled=False) as told:
        with told.tracer_provider.get_tracer("app").start_as_current_span("app"):
            run(contend())
        assert told.numbers("catena.chain.contentions")[(("catena.kind", "task"),)] == 1

    assert len(told.logged("catena.chain.contention")) == 1
    assert told.spans == []


# ---- the carrier


def sending(carrier: Any, monkeypatch: pytest.MonkeyPatch) -> Told:
    """Make a call whose carrier is replaced on its way; return what was told."""
    opening = WorkerConnection.open_call

    def opened(self: Any, declared: Any, payload: bytes, operation: Any, bounds: Any) -> Any:
        operation.carrier = carrier
        return opening(self, declared, payload, operation, bounds)

    monkeypatch.setattr(WorkerConnection, "open_call", opened)
    with telling() as told:
        under_a_root(told, lambda: add(2))
        told.metrics()
    return told


@pytest.mark.parametrize(
    ("carrier", "state"),
    [
        ({}, "absent"),
        ({"unknown": "x"}, "malformed"),
        ({"traceparent": ""}, "malformed"),
        ({"traceparent": "00-zz-b7ad6b7169203331-01"}, "malformed"),
        ({"traceparent": "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, "malformed"),
        ({"traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"}, "malformed"),
        ({"traceparent": "\x00\uffff"}, "malformed"),
        ({"traceparent": "x" * 100_000}, "oversized"),
        ({str(n): "x" * 100 for n in range(1000)}, "oversized"),
        ({"traceparent": TRACEPARENT, "tracestate": "=,=" * 900}, "present"),
        ({"traceparent": TRACEPARENT.replace("00-", "01-", 1) + "-from-the-future"}, "present"),
        ({"traceparent": TRACEPARENT, "catena-sent": "-1"}, "present"),
        ({"traceparent": TRACEPARENT, "catena-sent": "9" * 5000}, "present"),
    ],
    ids=lambda one: str(one)[:40],
)
@isolated
def test_no_carrier_fails_a_call(
    carrier: dict[str, str], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sampling: malformed, oversized and future headers; the span tells what was wrong."""
    told = sending(carrier, monkeypatch)

    execution = one(told.named("add"), SpanKind.SERVER)
    assert execution.attributes.get("catena.carrier", "present") == state
    if state == "present":
        assert format(parent(execution), "016x") == TRACEPARENT.split("-")[2]
    else:
        assert parent(execution) == 0


@isolated
def test_an_unarmed_call_sends_trace_context_and_nothing_else() -> None:
    """C4: its manifest names no chain and has no entries."""

    async def work() -> Any:
        async with tapped() as ends:
            await plain()
            return ends.told, ends.answers

    with telling():
        manifests, answers = run(work())

    (manifest,) = manifests
    assert set(manifest.carrier) == {"traceparent", "catena-sent"}
    assert manifest._replace(carrier={}) == type(manifest)(b"", carrier={})
    assert [answer.manifest for answer in answers] == [None]


@catena.routine
async def plain() -> int:
    """Touch no variable."""
    return 1


@isolated
def test_without_an_sdk_nothing_more_is_sent() -> None:
    """C4: when nobody traces, an unarmed call has no manifest at all."""

    async def work() -> Any:
        async with tapped() as ends:
            await plain()
            return ends.told

    assert run(work()) == []


@isolated
def test_a_named_state_carries_the_trace_as_well() -> None:
    """Carrier: a manifest that only names a state has it, and stays without entries."""

    async def work() -> Any:
        number.set(5)
        async with tapped() as ends:
            for _ in range(3):
                await look()
            return ends.told

    with telling() as told:
        manifests = run(work())

    assert [bool(manifest.entries) for manifest in manifests] == [True, True, False]
    assert all("traceparent" in manifest.carrier for manifest in manifests)
    executions = [span for span in told.named("look") if span.kind is SpanKind.SERVER]
    assert len({parent(span) for span in executions}) == 3
    mounts = [
        span.attributes["catena.vars.set"]
        for span in told.named("catena.mount")
        if span.attributes["catena.mount.direction"] == "to_worker"
    ]
    assert mounts == [("tests.story:number",)] * 3


@catena.routine
async def look() -> int:
    """Return what is there."""
    return number.get()


@isolated
def test_any_propagator_carries_the_trace() -> None:
    """Carrier: whatever propagator is handed over, both ways of a call use it."""

    class Own(propagate.textmap.TextMapPropagator):
        def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
            span = trace.get_current_span(context).get_span_context()
            carrier["own"] = f"{span.trace_id:x} {span.span_id:x}"

        def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
            ids = [int(part, 16) for part in carrier["own"].split()]
            flags = trace.TraceFlags(1)
            span = trace.SpanContext(*ids, is_remote=True, trace_flags=flags)
            return trace.set_span_in_context(trace.NonRecordingSpan(span), context)

        @property
        def fields(self) -> set[str]:
            return {"own"}

    with telling(propagator=Own()) as told:
        under_a_root(told, lambda: add(1))

    dispatch, execution = (
        one(told.named("add"), kind) for kind in (SpanKind.CLIENT, SpanKind.SERVER)
    )
    assert parent(execution) == dispatch.context.span_id


@isolated
def test_a_carrier_that_would_be_too_long_is_not_sent() -> None:
    """Carrier: at most 8 KiB; what is longer stays here and is counted."""

    class Long(propagate.textmap.TextMapPropagator):
        def inject(self, carrier: Any, context: Any = None, setter: Any = None) -> None:
            carrier["long"] = "x" * CARRIER_LIMIT

        def extract(self, carrier: Any, context: Any = None, getter: Any = None) -> Any:
            raise ValueError("nothing comes")

        @property
        def fields(self) -> set[str]:
            return {"long"}

    with telling(propagator=Long()) as told:
        under_a_root(told, lambda: add(1))
        assert told.numbers("catena.telemetry.dropped")[
            (("catena.reason", "oversized"), ("catena.signal", "traces"))
        ]

    assert one(told.named("add"), SpanKind.SERVER).attributes["catena.carrier"] == "absent"


# ---- both sides of a contention


@catena.routine
async def intruded() -> None:
    """Have a callback's task touch the chain of this call."""
    number.set(1)
    inner = asyncio.current_task()
    assert inner is not None
    shared = contextvars.copy_context()
    ready = asyncio.Event()

    async def hold() -> None:
        number.set(2)
        ready.set()
        await asyncio.sleep(30)

    async def intrude() -> None:
        with pytest.raises(catena.ChainContention):
            number.set(3)

    holding = asyncio.Task(hold(), context=shared, name="the owner")
    await ready.wait()
    await asyncio.Task(intrude(), context=shared, name="the intruder")
    holding.cancel()


@catena.routine
async def touched_by_a_thread() -> None:
    """Have a thread touch the chain of this call."""
    number.set(1)
    context = contextvars.copy_context()
    with pytest.raises(catena.ChainContention):
        await asyncio.get_running_loop().run_in_executor(None, context.run, number.set, 2)


@isolated
def test_the_owner_of_a_contention_is_known_by_its_call() -> None:
    """Both sides: a thread that touches the chain of a call; the span is linked to the call's."""
    number.set(0)
    with telling() as told:
        under_a_root(told, touched_by_a_thread)

    (span,) = told.named("catena.contention")
    execution = one(told.named("touched_by_a_thread"), SpanKind.SERVER)
    assert span.attributes["catena.chain.id"] == execution.attributes["catena.chain.id"]
    assert span.attributes["catena.owner.call"] == execution.attributes["catena.call.id"]
    assert span.attributes["catena.owner.thread"] != span.attributes["catena.contender.thread"]
    assert links(span) == [execution.context.span_id]


@isolated
def test_both_sides_of_a_contention_are_named() -> None:
    """Both sides: chain, process, thread, task and call; span, record and counter agree."""
    with telling() as told:
        under_a_root(told, intruded)
        points = told.metrics()["catena.chain.contentions"]

    (span,) = told.named("catena.contention")
    (record,) = told.logged("catena.chain.contention")
    facts = dict(span.attributes)
    assert (facts["catena.owner.task"], facts["catena.contender.task"]) == (
        "the owner",
        "the intruder",
    )
    for side in ("owner", "contender"):
        assert facts[f"catena.{side}.process"] > 0
        assert facts[f"catena.{side}.thread"] > 0
    assert facts["catena.contender.call"] == 1
    assert {name: record[name] for name in facts} == facts
    assert record["span_id"] == format(span.context.span_id, "016x")
    exemplars = [one for point in points for one in point.exemplars if one.value]
    assert [one.span_id for one in exemplars] == [span.context.span_id]
    assert span.status.status_code is StatusCode.ERROR


@isolated
@pytest.mark.parametrize("detail", ["dispatch", "full"])
@pytest.mark.parametrize("inside", ["nothing", "a sampled trace", "a dropped trace"])
def test_a_refused_reset_is_a_span_wherever_it_may(detail: Any, inside: str) -> None:
    """Spans: also where there is no trace, and where mounts have none, as a contention is."""
    token = number.set(1)
    number.reset(token)
    with telling(sampled=inside != "a dropped trace", detail=detail) as told:
        if inside == "nothing":
            with pytest.raises(RuntimeError, match="already been used"):
                number.reset(token)
        else:
            tracer = told.tracer_provider.get_tracer("app")
            with (
                tracer.start_as_current_span("app"),
                pytest.raises(RuntimeError, match="already been used"),
            ):
                number.reset(token)
        assert told.numbers("catena.token.resets")[(("catena.outcome", "used"),)] == 1

    spans = told.named("catena.token.reset")
    assert len(spans) == (0 if inside == "a dropped trace" else 1)
    for span in spans:
        assert span.status.status_code is StatusCode.ERROR
        assert span.attributes["catena.outcome"] == "used"


# ---- the seam


@isolated
def test_what_a_tracer_raises_breaks_no_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bad input: each call loses its spans and nothing else; one line says so, all are counted."""
    with telling() as told:
        spans = telemetry.switch._switch.spans
        assert spans is not None
        monkeypatch.setattr(type(spans._calls), "start_span", lambda *_, **__: 1 / 0)

        async def work() -> int:
            async with tapped():
                return await add(1) + await add(1)

        assert run(work()) == 3
        assert len([one for one in told.records if "raised" in one.getMessage()]) == 1
        assert told.dropped("traces") >= 4
        points = told.metrics()["rpc.client.call.duration"]
        assert [point.count for point in points] == [2]
