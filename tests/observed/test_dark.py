"""Sampling: whole traces or none, and refusals are logged and counted all the same."""

from __future__ import annotations

import pytest

from catena.collect.reading import LogRecord
from tests.observed.runs import Run, observed, pid

SAMPLERS = {
    "some": {
        "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
        "OTEL_TRACES_SAMPLER_ARG": "0.5",
        "TESTS_OBSERVED_SAMPLED": "0,1",
    },
    "none": {"OTEL_TRACES_SAMPLER": "parentbased_always_off", "TESTS_OBSERVED_SAMPLED": "0"},
}


@pytest.fixture(scope="module", params=SAMPLERS)
def told(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which some roots are sampled, and one in which none is."""
    folder = tmp_path_factory.mktemp(request.param)
    return observed("dark", folder, **SAMPLERS[request.param])


def of(run: Run, event: str, trace: str) -> list[LogRecord]:
    """Return the records of an event in a trace."""
    return [one for one in run.records(event) if one.trace_id == trace]


def test_a_trace_is_whole_or_not_there(told: Run) -> None:
    """Sampling: the root's decision holds in every process; what is not sampled makes no span."""
    sampled = {trace for trace, taken in told.said["roots"].items() if taken}
    apps = {one.trace_id for one in told.spans("app")}

    assert apps == sampled
    # Nothing but the version's refusal is outside of the roots.
    others = {trace for trace in told.traces if trace not in told.said["roots"]}
    assert {one.name for trace in others for one in told.traces[trace]} <= {"versions"}
    shapes = {tuple(sorted((s.name, s.kind) for s in told.traces[trace])) for trace in sampled}
    assert len(shapes) == min(len(sampled), 1)
    for trace in sampled:
        ids = {one.span_id for one in told.traces[trace]}
        assert {one.parent_span_id for one in told.traces[trace]} - ids == {""}
        assert len({pid(one) for one in told.traces[trace]}) == 3


def test_contentions_are_told_when_they_are_not_sampled(told: Run) -> None:
    """Sampling: at either end one record in each trace, which names it, and one count."""
    roots = told.said["roots"]
    for trace in roots:
        records = of(told, "catena.chain.contention", trace)
        assert len(records) == 2
        assert len({pid(one) for one in records}) == 2
        assert all(one.span_id for one in records)
    assert told.total("catena.chain.contentions", catena__kind="thread") == 2 * len(roots)


def test_serialization_failures_are_told_when_they_are_not_sampled(told: Run) -> None:
    """Sampling: the argument's at the caller, the result's at the worker."""
    roots = told.said["roots"]
    for trace in roots:
        records = of(told, "catena.serialization.failed", trace)
        assert sorted(pid(one) == told.said["caller"] for one in records) == [False, True]
    assert told.total("catena.serialization.failures", catena__direction="sent") == 2 * len(roots)


def test_version_refusals_are_told_when_they_are_not_sampled(told: Run) -> None:
    """Sampling: peers of two versions refuse each other, and each of them tells."""
    records = told.records("catena.version.refused")
    counted = [one for one in told.points("catena.version.refusals") if one.value]

    assert sorted(pid(one) == told.said["caller"] for one in records) == [False, True]
    assert {one.attributes["catena.version.remote"] for one in records} == {"1.1", "98.1"}
    assert {pid(one): one.value for one in counted} == {pid(one): 1 for one in records}


def test_exemplars_are_of_sampled_traces(told: Run) -> None:
    """Sampling: a number points at a trace only where the trace was told."""
    pointed = {
        one.trace_id for point in told.recording.points for one in point.exemplars if one.trace_id
    }
    assert pointed <= told.traces.keys()
    assert bool(pointed) == any(told.said["roots"].values())
