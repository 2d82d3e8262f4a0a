"""Both sides of a contention: what was told names them, and each signal points at the others."""

from __future__ import annotations

from typing import Any

import pytest

from catena.collect.reading import Span
from tests.observed.runs import Run, observed, pid

CASES = (
    "worker thread",
    "worker task",
    "two calls",
    "caller thread",
    "caller task",
    "calling caller",
)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with contentions at either end."""
    return observed("clash", tmp_path_factory.mktemp("clash"))


def contention(run: Run, case: str) -> tuple[dict[str, Any], Span]:
    """Return what the program knows of a contention, and the span that tells of it."""
    known = run.said["told"][case]
    wanted = {"catena.chain.id": known["chain"], "catena.contention.kind": known["kind"]}
    (span,) = [
        one for one in run.spans("catena.contention") if wanted.items() <= one.attributes.items()
    ]
    return known, span


@pytest.mark.parametrize("case", CASES)
def test_both_sides_are_named(told: Run, case: str) -> None:
    """Both sides: chain, and of owner and intruder the process, the thread and the task."""
    known, span = contention(told, case)
    facts = span.attributes

    assert pid(span) == known["process"]
    assert facts["catena.owner.process"] == facts["catena.contender.process"] == known["process"]
    assert facts["catena.owner.thread"] == known["owner_thread"]
    assert facts["catena.owner.task"] == known["owner_task"]
    assert facts["catena.contender.thread"] == known["intruder_thread"]
    intruder = "the intruder" if known["kind"] == "task" else None
    assert facts.get("catena.contender.task") == intruder
    assert (span.status, span.status_message) == ("ERROR", "")
    assert facts["error.type"] == "catena.errors.ChainContention"


@pytest.mark.parametrize(
    ("case", "name"), [("worker thread", "by_thread"), ("worker task", "by_task")]
)
def test_the_calls_of_both_are_named_on_a_worker(told: Run, case: str, name: str) -> None:
    """Both sides: the call of the intruder, and of the owner where the chain is a call's."""
    _, span = contention(told, case)
    (execution,) = told.spans(f".{name}", "SERVER")
    call = execution.attributes["catena.call.id"]

    assert span.parent_span_id == execution.span_id
    assert span.attributes["catena.contender.call"] == call
    if span.attributes["catena.chain.id"] == execution.attributes["catena.chain.id"]:
        assert span.attributes["catena.owner.call"] == call
        assert [link.span_id for link in span.links] == [execution.span_id]


def test_a_call_whose_context_got_about_is_named(told: Run) -> None:
    """Both sides: another call runs code in its Context; a Context is what a call is known by."""
    known, span = contention(told, "two calls")
    (owner,) = told.spans(".left_open", "SERVER")

    assert span.attributes["catena.chain.id"] == owner.attributes["catena.chain.id"]
    assert span.attributes["catena.owner.call"] == owner.attributes["catena.call.id"]
    assert span.attributes["catena.contender.call"] == owner.attributes["catena.call.id"]
    assert span.attributes["catena.contender.thread"] == known["intruder_thread"]
    assert [link.span_id for link in span.links] == [owner.span_id]


def test_the_call_that_the_owner_has_under_way_is_named(told: Run) -> None:
    """Both sides: a caller's chain is contended while a call of it is under way."""
    _, span = contention(told, "calling caller")
    (dispatch,) = told.spans(".ticks", "CLIENT")

    assert span.attributes["catena.chain.id"] == dispatch.attributes["catena.chain.id"]
    assert span.attributes["catena.owner.call"] == dispatch.attributes["catena.call.id"]
    assert [link.span_id for link in span.links] == [dispatch.span_id]


@pytest.mark.parametrize("case", CASES)
def test_span_and_record_are_one(told: Run, case: str) -> None:
    """Both sides: one trace id and one span id in both, and the same facts."""
    _, span = contention(told, case)
    (record,) = [
        one for one in told.records("catena.chain.contention") if one.span_id == span.span_id
    ]

    assert (record.trace_id, pid(record)) == (span.trace_id, pid(span))
    assert record.severity_text == "WARNING"
    assert span.attributes.items() <= record.attributes.items()


def test_an_exemplar_leads_to_its_span(told: Run) -> None:
    """Both sides: wherever the counter counted it has an exemplar, which names span and trace."""
    counted = [one for one in told.points("catena.chain.contentions") if one.value]
    by_id = told.by_id

    assert {(pid(one), one.attributes["catena.kind"]) for one in counted} == {
        (one["process"], one["kind"]) for one in told.said["told"].values()
    }
    for point in counted:
        assert point.exemplars
        for one in point.exemplars:
            span = by_id[one.span_id]
            assert (span.name, span.trace_id) == ("catena.contention", one.trace_id)
            assert (pid(span), span.attributes["catena.contention.kind"]) == (
                pid(point),
                point.attributes["catena.kind"],
            )


def test_the_counters_count_what_the_program_saw(told: Run) -> None:
    """Both sides: as many are counted, logged and told in spans as there were, and by kind."""
    known = [one["kind"] for one in told.said["told"].values()]

    for kind in ("thread", "task"):
        assert told.total("catena.chain.contentions", catena__kind=kind) == known.count(kind)
    assert len(told.spans("catena.contention")) == len(known)
    assert len(told.records("catena.chain.contention")) == len(known)
    zero = {pid(one) for one in told.points("catena.chain.contentions")}
    assert zero == {told.said["caller"], *told.said["workers"]}


def test_a_contention_that_nobody_handles_is_an_error(told: Run) -> None:
    """Levels: the routine that it ended is named at ERROR, at both ends of the call, once each."""
    known = told.said["told"]["given up"]
    (execution,), (dispatch,) = told.spans(".given_up", "SERVER"), told.spans(".given_up", "CLIENT")
    records = told.records("catena.chain.contention_unhandled")

    assert {(one.attributes["catena.call.end"], one.span_id, pid(one)) for one in records} == {
        ("worker", execution.span_id, known["process"]),
        ("caller", dispatch.span_id, told.said["caller"]),
    }
    assert len(records) == 2
    for one in records:
        assert (one.severity_text, one.trace_id) == ("ERROR", execution.trace_id)
        assert one.attributes["rpc.method"] == execution.name
        assert one.attributes["catena.call.id"] == execution.attributes["catena.call.id"]
        assert one.attributes["catena.chain.id"] == known["chain"]
