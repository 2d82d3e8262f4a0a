"""Metrics: labels that stay few, series that begin at zero, numbers that add up."""

from __future__ import annotations

import asyncio
import logging
from threading import Thread
from typing import Any

import pytest

import catena
from catena import events
from catena.events.bus import announce
from catena.telemetry.catalog import metrics_of
from catena.telemetry.tally import MANY, OTHER, Names, Samples, Tally
from catena.wire import call_states, versions
from catena.wire.frames import Hello, NackCode
from tests.dispatch.ends import connected
from tests.support import isolated, run
from tests.telemetry.sdk import Told, labels, telling
from tests.telemetry.story import add, contend, count_up, fail, number


def test_small_enumerations_begin_at_zero() -> None:
    """Metrics: each series that is known beforehand is there before anything happens."""
    with telling() as told:
        found = told.metrics()

    for metric in metrics_of():
        if metric.kind in ("counter", "updown"):
            assert metric.zero, metric.name
            values = {labels(one): one.value for one in found[metric.name]}
            assert len(values) >= len(metric.zero)
            assert metric.name == "catena.telemetry.dropped" or set(values.values()) == {0}


def test_names_are_capped_and_one_warning_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Bad input: a million spellings make 500 values and `_OTHER`."""
    names = Names(500, "rpc.method")
    with caplog.at_level(logging.WARNING):
        found = {names(f"routine{number % 3000}") for number in range(10_000)}

    assert len(found) == 501
    assert OTHER in found
    assert len(caplog.records) == 1
    assert names("routine1") == "routine1"


@isolated
def test_the_labels_of_calls_stay_few() -> None:
    """Bad input: routines and errors of ever new names do not make ever new series."""

    def announced(number: int) -> None:
        error = type(f"Error{number}", (Exception,), {})()
        with pytest.raises(type(error)), events.Dispatch(f"routine{number}", False):
            raise error

    with telling(detail="dispatch") as told:
        for number in range(700):
            announced(number)
        points = told.metrics()["rpc.client.call.duration"]

    assert len({point.attributes["rpc.method"] for point in points}) == 501
    assert len({point.attributes["error.type"] for point in points}) == 101
    assert sum(point.count for point in points) == 700


@isolated
def test_numbers_add_up() -> None:
    """Metrics: calls by outcome, mounts by direction, leases taken and released, nothing active."""
    number.set(1)

    async def main() -> None:
        async with connected():
            for _ in range(3):
                await add(1)
            with pytest.raises(LookupError):
                await fail("x")
            assert len([one async for one in count_up(4)]) == 4
            assert told.numbers("catena.links") == {
                (
                    ("catena.version.local", versions.PROTOCOL),
                    ("catena.version.remote", versions.PROTOCOL),
                ): 2
            }

    with telling() as told:
        run(main())
        found = told.metrics()

    def counts(name: str, *names: str) -> dict[Any, Any]:
        return {
            tuple(point.attributes.get(label) for label in names): getattr(point, "count", None)
            or point.value
            for point in found[name]
        }

    for side in ("client", "server"):
        ended = counts(f"rpc.{side}.call.duration", "rpc.status_code", "error.type", "rpc.method")
        assert {(code, kind): n for (code, kind, name), n in ended.items() if "add" in name} == {
            ("OK", None): 3
        }
        assert ended["UNKNOWN", "LookupError", "tests.telemetry.story.fail"] == 1
    leases = counts("catena.proxy.leases", "catena.source", "catena.outcome")
    assert {key: number for key, number in leases.items() if number} == {
        ("chain", "built"): 1,
        ("chain", "cached"): 4,
    }
    assert {point.value for point in found["catena.proxy.lease.active"]} == {0}
    assert [point.value for point in found["catena.worker.calls.active"]] == [0]
    assert [point.value for point in found["catena.chain.unmounts"]] == [5]
    assert [point.value for point in found["catena.links"]] == [0]
    assert counts("catena.token.resets", "catena.outcome")[("ok",)] == 3


@isolated
def test_rare_refusals_carry_exemplars() -> None:
    """Metrics: contention, version refusal and serialization failure are told directly."""

    async def main() -> None:
        await contend()
        with pytest.raises(catena.VersionRefused):
            versions.agree_on_capabilities(Hello(0, 9, 1, "9", (), "them", 1))
        async with connected():
            with pytest.raises(catena.SerializationError):
                await add(asyncio.get_running_loop())

    with telling() as told:
        with told.tracer_provider.get_tracer("app").start_as_current_span("app"):
            run(main())
        found = told.metrics()

    # The intruder's Context is a fresh one, so what it did is a trace of its own.
    for name, span in (
        ("catena.chain.contentions", "catena.contention"),
        ("catena.version.refusals", "app"),
        ("catena.serialization.failures", "app"),
    ):
        (exemplar,) = [one for point in found[name] for one in point.exemplars if one.value]
        assert exemplar.trace_id == told.named(span)[0].context.trace_id


def test_zeros_are_those_that_the_protocol_knows() -> None:
    """Metrics: a kind of frame, or a refusal, that is added to the protocol is a series, too."""
    zero = {metric.name: {values[0] for values in metric.zero if values} for metric in metrics_of()}

    crossing = call_states.TO_WORKER | call_states.TO_CALLER
    assert zero["catena.frames.dropped"] == crossing - {"task", "stream"}
    refusals = {code.name for code in NackCode} - {"UNSPECIFIED"}
    assert zero["catena.calls.nacked"] == refusals


@isolated
def test_the_first_refused_version_is_an_increase_of_the_sum() -> None:
    """Zero: a series of this version is there before a peer of an unknown one comes."""
    zero = (("catena.version.local", versions.PROTOCOL), ("catena.version.remote", ""))
    with telling() as told:
        assert told.numbers("catena.version.refusals") == {zero: 0}
        with pytest.raises(catena.VersionRefused):
            versions.agree_on_capabilities(Hello(0, 9, 1, "9", (), "them", 1))
        found = told.numbers("catena.version.refusals")

    assert found == {
        zero: 0,
        (("catena.version.local", versions.PROTOCOL), ("catena.version.remote", "9.1")): 1,
    }


def test_a_tally_counts_from_any_thread() -> None:
    """Metrics: no increment is lost between threads."""
    tally = Tally([("a",)])
    threads = [Thread(target=lambda: [tally.add(("a",)) for _ in range(2000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert tally.read() == [(("a",), 8000)]


def test_samples_are_every_sixteenth_and_bounded() -> None:
    """Metrics: the first value is kept, then one of sixteen, and at most so many wait."""
    samples = Samples()

    def came(count: int) -> None:
        for value in range(count):
            if samples.next_is_kept():
                samples.keep_value(("x",), value)

    came(33)
    assert [value for _, value in samples.take_all()] == [0, 16, 32]
    came(16 * (MANY + 10))
    assert len(samples.take_all()) == MANY
    assert samples.take_all() == []


@isolated
def test_what_listeners_of_metrics_say_goes_to_nobody_after_uninstall() -> None:
    """Several handles: instruments stay with their provider and fall silent."""
    with telling() as told:
        announce(events.ChainForked(bytes(16), bytes(16)))
        assert _forks(told) == [1]
        catena.telemetry.uninstall()
        announce(events.ChainForked(bytes(16), bytes(16)))
        assert _forks(told) == []


def _forks(told: Told) -> list[int]:
    return [one.value for one in told.metrics().get("catena.chain.forks", [])]


@isolated
def test_every_call_is_in_the_duration_before_metrics_are_collected() -> None:
    """Metrics: ends of calls wait for each other, and none is missing when somebody reads."""

    async def main() -> None:
        async with connected():
            for count in (1, 16, 40):
                for _ in range(count):
                    await add(1)
                counts.append(sum(one.count for one in told.metrics()["rpc.client.call.duration"]))

    counts: list[int] = []
    with telling(sampled=False) as told:
        run(main())
    assert counts == [1, 17, 57]


@isolated
def test_a_duration_carries_the_span_of_its_call() -> None:
    """Metrics: also when it is recorded after the call, its exemplar is of the call's trace."""

    async def main() -> None:
        async with connected():
            await add(1)

    with telling() as told:
        run(main())
        points = told.metrics()["rpc.client.call.duration"]
    spans = {span.context.span_id for span in told.named("add")}
    assert {one.span_id for point in points for one in point.exemplars} <= spans
    assert [len(point.exemplars) for point in points] == [1]
