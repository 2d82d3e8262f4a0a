"""Pending spans and hooks: what goes with the span of a call that begins."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from catena.events import Dispatch
from catena.telemetry import attempts, pending
from catena.telemetry.pending import Pending
from tests.dispatch.ends import connected
from tests.support import run
from tests.telemetry.sdk import telling
from tests.telemetry.story import add, count_up


class Flushed:
    """A provider's flush: counts, and tells when it was called."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times = 0
        self.called = threading.Event()
        self._error = error

    def force_flush(self) -> None:
        self.times += 1
        self.called.set()
        if self._error is not None:
            raise self._error


def tell(to: Pending, times: int = 1) -> None:
    """Tell of calls that begin."""
    tracer = TracerProvider().get_tracer("tests")
    for _ in range(times):
        event = Dispatch("call", stream=False)
        event.span, event.context = tracer.start_span("call"), Context()
        to.record_begin(tracer, event, None, {})


def test_many_are_flushed_together() -> None:
    """Pending spans leave soon, and nobody waits: a thousand calls are a few flushes."""
    provider = Flushed()
    tell(Pending(provider), 1000)

    assert provider.called.wait(10)
    assert provider.times < 500


def test_the_thread_ends_when_nothing_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing accumulates: the thread is gone after a while, and comes back when it is needed."""
    monkeypatch.setattr(pending, "_IDLE", 0.01)
    provider = Flushed()
    made = Pending(provider)
    for _ in range(3):
        provider.called.clear()
        tell(made)
        assert provider.called.wait(10)
        for one in threading.enumerate():
            if one.name == "catena-pending":
                one.join(10)

    assert provider.times >= 3
    assert [one for one in threading.enumerate() if one.name == "catena-pending"] == []


def test_a_flush_that_raises_is_tried_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bad input: it is logged once a minute, and the next pending spans ask for the next flush."""
    monkeypatch.setattr(attempts, "_said", {})
    monkeypatch.setattr(pending, "_IDLE", 0.01)
    provider = Flushed(LookupError("no exporter"))
    made = Pending(provider)
    for _ in range(2):
        provider.called.clear()
        tell(made)
        assert provider.called.wait(10)

    for one in threading.enumerate():
        if one.name == "catena-pending":
            one.join(10)
    assert provider.times == 2
    assert len(caplog.records) == 1


def test_a_provider_that_cannot_flush_is_let_be() -> None:
    """A provider that is none of the SDK's gets its pending spans all the same."""
    tell(Pending(object()))

    assert [one for one in threading.enumerate() if one.name == "catena-pending"] == []


@pytest.mark.parametrize(
    ("said", "wanted"), [("1", True), ("yes", True), ("0", False), ("", False)]
)
def test_the_variable_switches_them_on(
    said: str, wanted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CATENA_PENDING_SPANS makes them where code says nothing; a stream has one at each end."""
    monkeypatch.setenv("CATENA_PENDING_SPANS", said)

    async def calling() -> None:
        async with connected():
            await add(1)
            async for _ in count_up(3):
                pass

    with telling() as told:
        run(calling())

    made = [one for one in told.spans if (one.attributes or {}).get("catena.pending")]
    assert len(made) == (4 if wanted else 0)


def test_nothing_is_pending_where_nothing_is_sampled() -> None:
    """Sampling: whole traces or none, pending spans included, and no hook is called."""
    seen: list[Any] = []

    async def calling() -> None:
        async with connected():
            await add(1)

    with telling(
        sampled=False, pending=True, dispatch_hook=lambda *both: seen.append(both)
    ) as told:
        run(calling())

    assert told.spans == []
    assert seen == []


def test_a_pending_span_is_sampled_with_its_call() -> None:
    """L9: in its trace, also where the call begins one, so a ratio of traces keeps both or none."""

    async def calling() -> None:
        async with connected():
            for _ in range(60):
                await add(1)

    with telling(sampler=ParentBased(TraceIdRatioBased(0.5)), pending=True) as told:
        run(calling())

    calls = {one.context.span_id for one in told.spans if one.kind.name in ("CLIENT", "SERVER")}
    made = [one for one in told.spans if (one.attributes or {}).get("catena.pending")]
    assert 0 < len(calls) < 120
    assert {one.links[0].context.span_id for one in made} == calls
    assert [one for one in made if one.links[0].context.trace_id != one.context.trace_id] == []


def test_a_pending_span_tells_what_is_known_at_the_start() -> None:
    """A pending span names the routine, the worker and the call; it links to the real span."""

    async def calling() -> None:
        async with connected():
            await add(1)

    with telling(pending=True) as told:
        run(calling())

    made = [one for one in told.spans if (one.attributes or {}).get("catena.pending")]
    real = {
        one.context.span_id: one
        for one in told.spans
        if one.kind.name in ("CLIENT", "SERVER") and one.context is not None
    }
    assert len(made) == len(real) == 2
    for one in made:
        its = real[one.links[0].context.span_id]
        assert one.name == its.name
        # A trace is gone on with through a parent, and the call that begins one has none.
        parent = its.parent or its.context
        assert one.parent is not None
        assert parent is not None
        assert (one.parent.trace_id, one.parent.span_id) == (parent.trace_id, parent.span_id)
    attributes = [dict(one.attributes or {}) for one in made]
    assert sum("catena.worker.id" in one for one in attributes) == 1
    assert {one["rpc.method"] for one in attributes} == {f"{add.__module__}.add"}
