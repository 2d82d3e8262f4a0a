"""What a run tells, held against the catalog: it all fits, and the check finds what does not."""

from __future__ import annotations

import contextvars
import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest

from catena import events
from catena.collect import receiving
from catena.telemetry import facts, metrics, spans
from catena.telemetry.catalog import CATALOG
from catena.telemetry.rows import Row
from tests.observed.check import Check
from tests.observed.command import observe
from tests.observed.search import exposed, orphans
from tests.support import run
from tests.telemetry.exporting import exporting
from tests.telemetry.story import story

PART = (
    "tests/integration/test_context_travels.py",
    "tests/integration/test_telling.py",
    "tests/integration/test_deadlines.py",
)
SECONDS = 180.0
SECRETS = ("of no interest", "a cause that says something")
"""What errors and causes of the story say."""

FACTS: Any = facts.__dict__["_FACTS"]


def held(rows: Iterable[Row] = CATALOG, lines: list[str] | None = None) -> Check:
    """Let the story be told to a receiver, and check what arrives; ``lines`` keeps it."""
    check = Check(rows)

    def take(line: str) -> None:
        check.take(line)
        if lines is not None:
            lines.append(line)

    with (
        receiving(listen=None, out=take) as receiver,
        exporting(receiver.http_endpoint) as to,
    ):

        async def within() -> None:
            with to.get_tracer("tests").start_as_current_span("story"):
                await story()

        contextvars.copy_context().run(run, within())
    return check


def of_token_reset(**more: Any) -> Any:
    """Return a fault: a token's reset is told with more, or without what is None."""
    plain = FACTS[events.TokenReset]

    def told(event: Any) -> dict[str, Any]:
        changed = {**plain(event), **{name.replace("__", "."): one for name, one in more.items()}}
        return {name: one for name, one in changed.items() if one is not None}

    return patch.dict(FACTS, {events.TokenReset: told})


@pytest.mark.timeout(240)
def test_a_part_of_the_suite_tells_what_the_catalog_says() -> None:
    """Nothing untold: real runs, workers and all; the tests pass while they are recorded."""
    check = Check()

    assert observe(PART, check, quietly=True, seconds=SECONDS) == 0

    assert check.findings() == []
    told = {row.event for row in CATALOG if check.told(row.event)}
    assert {events.Dispatch, events.Execution, events.Mount, events.Lease} < told
    assert {events.TokenReset, events.WorkerExited, events.ContentionRefused} < told


def test_all_that_the_catalog_promises_arrives() -> None:
    """Nothing untold: each row's span, records and metrics reach a receiver, and nothing else."""
    check = held()

    assert check.findings() == []
    # All of it is one trace, no link is lost, and a contention between calls has a test of its own.
    assert check.untold() == [
        "Execution: catena.carrier did not arrive",
        "ContentionRefused: catena.contender.call did not arrive",
        "ContentionRefused: catena.owner.call did not arrive",
    ]


def test_what_is_told_fits_the_catalog_and_itself() -> None:
    """Nothing untold: no finding, every parent and link is there, and no text of an error."""
    lines: list[str] = []
    check = held(lines=lines)

    assert check.findings() == []
    assert orphans(lines) == []
    assert exposed(SECRETS, lines) == []


def test_an_event_without_a_row_is_found() -> None:
    """Planted: what is told of an event whose row is missing from the catalog."""
    found = held([row for row in CATALOG if row.event is not events.TokenReset]).findings()

    assert [one.rpartition(" (")[0] for one in found] == [
        "the metric catena.token.resets has no row",
        "the record catena.token.reset of catena.audit has no row",
        "the span catena.token.reset of catena.context has no row",
    ]


def test_an_attribute_that_is_not_promised_is_found() -> None:
    """Planted: one attribute too many, of a span and of its record."""
    with of_token_reset(catena__value="7"):
        found = held().findings()

    assert [one.rpartition(" (")[0] for one in found] == [
        "the record catena.token.reset has catena.value, which its row does not promise",
        "the span TokenReset has catena.value, which its row does not promise",
    ]


def test_an_attribute_that_is_missing_is_found() -> None:
    """Planted: a promised attribute is not there, of a span and of its record."""
    with of_token_reset(catena__var=None):
        check = held()

    assert [one.rpartition(" (")[0] for one in check.findings()] == [
        "the record catena.token.reset lacks catena.var",
        "the span TokenReset lacks catena.var",
    ]
    assert "TokenReset: catena.var did not arrive" in check.untold()


def test_what_is_never_told_is_found() -> None:
    """Planted: mounts make no span."""
    with patch.object(spans.Spans, "begin_mount", lambda *_: None):
        assert "Mount: its span did not arrive" in held().untold()


def test_an_id_in_a_label_is_found() -> None:
    """Planted: a metric is told by the id of each token."""
    plain = metrics.Metrics.count_event

    def count(self: Any, name: str, *labels: str) -> None:
        by_id = (bytes(8).hex(),) if name == "catena.token.resets" else labels
        plain(self, name, *by_id)

    with patch.object(metrics.Metrics, "count_event", count):
        found = held().findings()

    assert [one.rpartition(" (")[0] for one in found] == [
        "the metric catena.token.resets has an id in the label catena.outcome: 0000000000000000"
    ]


def test_many_values_of_a_label_are_found() -> None:
    """Planted: an enumeration that is none, a label that no row lists, one that is left out."""
    check = Check()
    for number in range(40):
        check.take(a_point({"catena.outcome": f"kind {number}", "pid": 7}))

    assert check.findings() == [
        "the metric catena.token.resets has the label pid, which its row does not list (40 times)",
        "the metric catena.token.resets has too many values of the label catena.outcome (1 times)",
    ]
    check.take(a_point({}))
    assert (
        "the metric catena.token.resets lacks the label catena.outcome (1 times)"
        in check.findings()
    )


def test_a_metric_of_another_unit_is_found() -> None:
    """Planted: the catalog says one thing, the instrument another."""
    row = next(row for row in CATALOG if row.event is events.TokenReset)
    other = replace(row, metrics=(replace(row.metrics[0], unit="s"),))
    check = Check([other])

    check.take(a_point({"catena.outcome": "ok"}))

    assert len(check.findings()) == 1


def a_point(labels: dict[str, Any]) -> str:
    """Return a line that tells one point of the counter of resets."""
    row = next(row for row in CATALOG if row.event is events.TokenReset)
    metric = row.metrics[0]
    pairs = [{"key": name, "value": {"stringValue": str(value)}} for name, value in labels.items()]
    point = {"asInt": "1", "attributes": pairs, "timeUnixNano": "1"}
    counter = {"isMonotonic": True, "aggregationTemporality": 2, "dataPoints": [point]}
    facts = {"name": metric.name, "unit": metric.unit, "description": metric.description}
    inner = {"scope": {"name": "catena"}, "metrics": [{**facts, "sum": counter}]}
    return json.dumps({"resourceMetrics": [{"scopeMetrics": [inner]}]})
