"""Async generators: no span stays current across a yield, and no way to end one logs an error."""

from __future__ import annotations

import pytest

from tests.observed.flow import ENDS
from tests.observed.runs import Run, observed, pid

LOOKED_AT = [f"{name} {end}" for name in ("count", "relayed") for end in ENDS]
LOOKED_AROUND = [one for one in LOOKED_AT if "collected" not in one]
ERROR = 17
"""The least severity of an error."""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with streams of every end; its standard error is empty."""
    return observed("flow", tmp_path_factory.mktemp("flow"), CATENA_AUDIT_LOG="1")


@pytest.mark.parametrize("case", LOOKED_AROUND)
def test_no_span_stays_current_across_a_yield(told: Run, case: str) -> None:
    """Async generators: between steps the caller's own span is current, and afterwards."""
    (app,) = told.spans(case.split(maxsplit=1)[0], "INTERNAL")
    seen = told.said["told"][case]

    assert {seen["before"], *seen["between"], seen["after"]} == {app.span_id}
    assert app.origin.scope == "app"


@pytest.mark.parametrize("case", LOOKED_AROUND)
def test_other_calls_of_the_worker_do_not_see_it(told: Run, case: str) -> None:
    """Async generators: while a stream is suspended, a call without a trace begins one."""
    (app,) = told.spans(case.split(maxsplit=1)[0], "INTERNAL")
    span, trace = told.said["told"][case]["outside"]
    here = told.by_id[span]

    assert trace == here.trace_id != app.trace_id
    assert here.name.endswith(".current")
    assert told.by_id[here.parent_span_id].parent_span_id == ""


@pytest.mark.parametrize("case", LOOKED_AT)
def test_the_execution_is_current_at_every_step(told: Run, case: str) -> None:
    """Async generators: within, its own span is current at each step; it ends, and is no error."""
    name, _, end = case.partition(" ")
    (current,) = set(told.said["told"][case]["steps"])
    execution = told.by_id[current]

    assert (execution.name, execution.kind) == ("tests.observed.flow.count", "SERVER")
    assert execution.attributes["end"] == end
    above = told.by_id[execution.parent_span_id]
    app = told.by_id[above.parent_span_id]
    if name == "relayed":
        assert app.name == "tests.observed.flow.relayed"
        app = told.by_id[told.by_id[app.parent_span_id].parent_span_id]
    assert (app.name, app.kind) == (name, "INTERNAL")
    # What is thrown into the outer stream is not thrown into the one that it reads.
    failed = end == "failed" or case == "count thrown into"
    assert {execution.status, above.status} == ({"ERROR"} if failed else {"UNSET"})
    called = {one.parent_span_id for one in told.spans(".leaf", "CLIENT")}
    assert execution.span_id in called


def test_a_stream_that_is_left_open_ends_with_its_pool(told: Run) -> None:
    """Async generators: leaving the pool ends the stream at both ends; neither is an error."""
    (execution,) = told.spans(".count", "SERVER", end="left open")

    above = told.by_id[execution.parent_span_id]
    assert (execution.status, above.status) == ("UNSET", "UNSET")
    assert pid(above) == told.said["caller"]


def test_nothing_is_logged_as_an_error(told: Run) -> None:
    """Async generators: no record of that severity, of nobody; every begun span was told."""
    assert [one for one in told.recording.logs if one.severity >= ERROR] == []
    ids = told.by_id.keys()
    assert {one.parent_span_id for one in told.recording.spans} - ids == {""}
