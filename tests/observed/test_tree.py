"""One trace: what a run of three processes told is one connected tree, and Jaeger can show it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from catena.collect.reading import Span
from tests.observed.jaeger import answer, problems
from tests.observed.runs import BLIND, Run, observed, pid

ROUTINES = ("leaf", "steps", "middle")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which every process has an SDK."""
    return observed("tree", tmp_path_factory.mktemp("tree"), CATENA_AUDIT_LOG="1")


@pytest.fixture(scope="module")
def blind(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which one of two workers has none."""
    folder = tmp_path_factory.mktemp("blind")
    return observed("tree", folder, **{BLIND: str(folder / "blind")})


def calls(run: Run, kind: str) -> list[Span]:
    """Return the spans of calls, at one end."""
    return [one for name in ROUTINES for one in run.spans(f".{name}", kind)]


def test_three_processes_tell_one_trace(told: Run) -> None:
    """One trace: caller and both workers, one root, every parent and every linked span is there."""
    (app,) = told.spans("app")
    by_id = told.by_id
    trace = told.traces[app.trace_id]

    assert {pid(one) for one in trace} == {told.said["caller"], *told.said["workers"]}
    assert len({one.origin.resource["service.instance.id"] for one in trace}) == 3
    assert [one.name for one in trace if not one.parent_span_id] == ["app"]
    assert {one.parent_span_id for one in trace} - {""} <= by_id.keys()
    linked = [link for one in trace for link in one.links]
    assert linked
    assert {by_id[link.span_id].trace_id for link in linked} == {app.trace_id}
    # Nothing but the trace: what is not of a call makes no trace of its own.
    assert told.traces.keys() == {app.trace_id}


def test_an_execution_is_below_its_dispatch_in_another_process(told: Run) -> None:
    """One trace: each dispatch has one execution, both say the same worker, call and chain."""
    by_id = told.by_id
    executions = calls(told, "SERVER")

    assert len(executions) == len(calls(told, "CLIENT")) == 4 * 6 + 3 + 4
    assert len({one.parent_span_id for one in executions}) == len(executions)
    for one in executions:
        above = by_id[one.parent_span_id]
        assert (above.kind, above.name) == ("CLIENT", one.name)
        assert above.start_time_unix_nano <= one.start_time_unix_nano
        for name in ("worker.id", "call.id", "chain.id"):
            assert above.attributes[f"catena.{name}"] == one.attributes[f"catena.{name}"]
        assert one.attributes["catena.worker.id"] == one.origin.resource["catena.worker.id"]
        assert "catena.carrier" not in one.attributes
    assert {pid(one) for one in executions} == set(told.said["workers"])


def test_a_nested_call_is_below_the_execution_that_made_it(told: Run) -> None:
    """One trace: directly, through a stream and from a forked task; caller and worker are two."""
    by_id = told.by_id
    above: dict[str, set[tuple[str, str]]] = {name: set() for name in ROUTINES}
    for one in calls(told, "CLIENT"):
        up = by_id[one.parent_span_id]
        assert pid(up) == pid(one)
        above[one.name.rpartition(".")[2]].add((up.name.rpartition(".")[2], up.kind))

    app = ("app", "INTERNAL")
    assert above == {
        "middle": {app},
        "steps": {app, ("middle", "SERVER")},
        "leaf": {app, ("middle", "SERVER"), ("steps", "SERVER")},
    }
    crossing = [one for one in calls(told, "SERVER") if _maker(one, by_id) != pid(one)]
    assert len({(_maker(one, by_id), pid(one)) for one in crossing}) == 4


def _maker(execution: Span, by_id: dict[str, Span]) -> int:
    """Return the process that made the call."""
    return pid(by_id[execution.parent_span_id])


def test_a_mount_is_linked_to_the_span_that_captured_it(told: Run) -> None:
    """One trace: to the worker that is the dispatch, back at the caller the execution."""
    by_id = told.by_id
    ends = {"to_worker": ("SERVER", "CLIENT"), "to_caller": ("CLIENT", "SERVER")}
    for way, (here, there) in ends.items():
        mounts = told.spans("catena.mount", catena__mount__direction=way)
        assert mounts
        for one in mounts:
            (link,) = one.links
            captured, at = by_id[link.span_id], by_id[one.parent_span_id]
            assert (at.kind, captured.kind, at.name) == (here, there, captured.name)
            execution, dispatch = (at, captured) if here == "SERVER" else (captured, at)
            assert execution.parent_span_id == dispatch.span_id
            assert pid(one) == pid(at)
            assert one.attributes["catena.call.id"] == at.attributes["catena.call.id"]


def test_log_records_name_spans_of_the_trace(told: Run) -> None:
    """One trace: a record of the audit log names a span that was told by the same process."""
    by_id = told.by_id
    audited = [one for one in told.recording.logs if one.origin.scope == "catena.audit"]

    assert {"catena.chain.mounted", "catena.token.reset"} <= {one.name for one in audited}
    named = [one for one in audited if one.span_id]
    # The pool has tasks of its own, which begin outside of any span.
    assert {one.name for one in audited if not one.span_id} <= {"catena.chain.forked"}
    assert {(one.trace_id, pid(one)) for one in named} == {
        (by_id[one.span_id].trace_id, pid(by_id[one.span_id])) for one in named
    }


def test_a_process_without_an_sdk_breaks_no_call_and_no_trace(blind: Run) -> None:
    """One trace, V2: what such a process calls goes on in the trace of its caller."""
    (app,) = blind.spans("app")

    assert len(blind.said["calls"]) == 6
    seen = {pid(one) for one in blind.recording.spans}
    assert len(seen & set(blind.said["workers"])) == 1
    assert [one for one in blind.recording.spans if not one.parent_span_id] == [app]
    assert {one.trace_id for one in blind.recording.spans} == {app.trace_id}
    assert {one.parent_span_id for one in blind.recording.spans} - {""} <= blind.by_id.keys()
    below = calls(blind, "SERVER")
    assert below
    assert [one for one in below if "catena.carrier" in one.attributes] == []


@pytest.mark.parametrize("run", ["told", "blind"])
def test_jaeger_can_show_every_trace(run: str, request: pytest.FixtureRequest) -> None:
    """One trace: as Jaeger's GetTrace answers it, each is what Jaeger's schema says."""
    found: Run = request.getfixturevalue(run)

    wrong = {trace: problems(answer(found.lines, trace), trace) for trace in found.traces}
    assert wrong
    assert {trace: one for trace, one in wrong.items() if one} == {}


Mutation = Callable[[dict[str, Any], dict[str, Any], dict[str, Any]], object]
"""Changes an answer, given with one of its spans and the lists around that."""

MUTATIONS: dict[str, Mutation] = {
    "no envelope": lambda whole, *_: whole.update(whole.pop("result")),
    "an error beside": lambda whole, *_: whole.update(error={"httpCode": 500}),
    "no list": lambda whole, *_: whole["result"].update(resourceSpans={}),
    "nothing": lambda whole, *_: whole["result"].update(resourceSpans=[]),
    "no trace id": lambda _, __, span: span.pop("traceId"),
    "a short trace id": lambda _, __, span: span.update(traceId=span["traceId"][:16]),
    "zeros": lambda _, __, span: span.update(spanId="0" * 16),
    "base64": lambda _, __, span: span.update(spanId="FDmfTUcGpZk="),
    "capitals": lambda _, __, span: span.update(traceId="ABCDEF" + span["traceId"][6:]),
    "of another trace": lambda _, __, span: span.update(traceId="12" * 16),
    "an orphan": lambda _, __, span: span.update(parentSpanId="34" * 8),
    "a short parent": lambda _, __, span: span.update(parentSpanId="34"),
    "twice": lambda _, scope, span: scope["spans"].append(span),
    "no name": lambda _, __, span: span.update(name=""),
    "a kind in words": lambda _, __, span: span.update(kind="SPAN_KIND_CLIENT"),
    "an unknown kind": lambda _, __, span: span.update(kind=6),
    "time as a number": lambda _, __, span: span.update(startTimeUnixNano=1),
    "no end": lambda _, __, span: span.pop("endTimeUnixNano"),
    "ends first": lambda _, __, span: span.update(endTimeUnixNano="1"),
    "snake case": lambda _, __, span: span.update(parent_span_id=span["spanId"]),
    "a status in words": lambda _, __, span: span.update(status={"code": "STATUS_CODE_OK"}),
    "attributes as a dict": lambda _, __, span: span.update(attributes={"a": "b"}),
    "a key twice": lambda _, __, span: span["attributes"].append(span["attributes"][0]),
    "an integer": lambda _, __, span: span["attributes"].append(
        {"key": "new", "value": {"intValue": 1}}
    ),
    "a value of two": lambda _, __, span: span["attributes"][0]["value"].update(
        stringValue="", boolValue=True
    ),
    "a link to nothing": lambda _, __, span: span.update(links=[{"traceId": span["traceId"]}]),
    "an event without time": lambda _, __, span: span.update(events=[{"name": "x"}]),
    "an unknown field": lambda _, scope, __: scope.update(instrumentationLibrary={}),
    "an old scope": lambda _, scope, __: scope.update(scope=scope["scope"]["name"]),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_the_check_refuses_a_mutated_trace(told: Run, name: str) -> None:
    """One trace: what is not as Jaeger's schema says is found by the check that found nothing."""
    (app,) = told.spans("app")
    whole = copy.deepcopy(answer(told.lines, app.trace_id))
    scope, span = next(
        (scope, span)
        for resource in whole["result"]["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
        if span.get("attributes") and "stringValue" in span["attributes"][0]["value"]
    )
    assert problems(whole, app.trace_id) == []

    MUTATIONS[name](whole, scope, span)

    assert problems(whole, app.trace_id) != []
