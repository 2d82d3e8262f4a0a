"""How long things took: spans and metrics say the same, and what is inside ends inside."""

from __future__ import annotations

import asyncio
from time import perf_counter_ns, time_ns
from typing import Any

import pytest

from catena.telemetry import clock
from catena.telemetry.clock import since_1970
from tests.dispatch.tapped import tapped
from tests.support import isolated, run
from tests.telemetry.sdk import Told, telling
from tests.telemetry.story import add, count_up, nest, number


async def calls() -> None:
    """Make calls and streams, many at a time, so that ends are told long after they came."""
    number.set(1)
    async with tapped():
        await asyncio.gather(*[add(1) for _ in range(30)], nest(1))
        assert [one async for one in count_up(3)] == [0, 1, 2]


def lasted(told: Told, kind: str) -> int:
    """Return the nanoseconds of all spans of a kind."""
    return sum(one.end_time - one.start_time for one in told.spans if one.kind.name == kind)


@isolated
@pytest.mark.parametrize("told_of", [True, False])
def test_a_span_lasts_as_long_as_its_metric_says(told_of: bool) -> None:
    """L2: to the nanosecond, at both ends, and for leases, however late the end was told."""
    with telling(pending=told_of) as told:
        run(calls())
        metrics = told.metrics()

    for kind, name in (("CLIENT", "client"), ("SERVER", "server")):
        measured = sum(one.sum for one in metrics[f"rpc.{name}.call.duration"])
        assert lasted(told, kind) == pytest.approx(measured * 1e9, abs=100)
    servers = {one.context.span_id: one for one in told.spans if one.kind.name == "SERVER"}
    for lease in told.named("catena.proxy.lease"):
        its = servers[lease.parent.span_id]
        assert (lease.start_time, lease.end_time) == (its.start_time, its.end_time)


@isolated
def test_what_is_inside_ends_inside() -> None:
    """L2: an execution within its dispatch, and mounts, leases and unmounts within their call."""
    with telling() as told:
        run(calls())

    by_id = {one.context.span_id: one for one in told.spans}
    nested = [(one, by_id[one.parent.span_id]) for one in told.spans if one.parent is not None]
    assert len(nested) > 100
    outside: list[Any] = [
        (one.name, outer.name)
        for one, outer in nested
        if not outer.start_time <= one.start_time <= one.end_time <= outer.end_time
    ]
    assert outside == []


def test_a_reading_is_told_as_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock: between two readings of the system's, by a difference that is taken anew."""
    before, at, after = time_ns(), perf_counter_ns(), time_ns()
    assert before - 1_000_000 <= since_1970(at) <= after + 1_000_000
    assert since_1970(at + 5) - since_1970(at) == 5

    monkeypatch.setattr(clock._difference, "nanoseconds", 0)
    assert since_1970(at) == at
    assert since_1970(at + 2_000_000_000) > before
