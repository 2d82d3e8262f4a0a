"""The catalog: a row for each event, each told in every signal that it lists, and its page."""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from catena import events
from catena.events.bus import Event
from catena.telemetry.attributes import ATTRIBUTES, LABELS
from catena.telemetry.catalog import BY_EVENT, CATALOG, metrics_of
from catena.telemetry.logs import NAME, name_of
from catena.telemetry.rows import AUDIT, AUDITED, BOUNDARIES
from tests.support import run
from tests.telemetry.page import PAGE, page
from tests.telemetry.sdk import Told, labels, telling
from tests.telemetry.story import story

EVENTS = [
    kind
    for kind in (getattr(events, name) for name in events.__all__)
    if isinstance(kind, type) and issubclass(kind, Event)
]
SPANS = pytest.mark.parametrize(
    "row", [row for row in CATALOG if row.span is not None], ids=lambda row: row.event.__name__
)
ROWS = pytest.mark.parametrize("row", CATALOG, ids=lambda row: row.event.__name__)

RARELY = {
    *("exception.message", "error.type", "catena.carrier"),
    *("catena.chain.parent_id", "catena.pending", "catena.vars.reset"),
}
"""Attributes that only some events of a class have; other tests see to them."""

ELSEWHERE = {"catena.contender.call", "catena.owner.call"}
"""Those of a contention between calls, which has a test of its own."""


@pytest.fixture(scope="module")
def told() -> Iterator[Told]:
    """What the story tells, audit log included."""
    with telling(audit=True) as told:
        with told.tracer_provider.get_tracer("tests").start_as_current_span("story"):
            contextvars.copy_context().run(run, story())
        yield told


def test_every_event_has_one_row() -> None:
    """The catalog: one table, a row for each class of event, and for no other."""
    assert Counter(row.event for row in CATALOG) == Counter(EVENTS)


@ROWS
def test_a_row_uses_known_words(row: Any) -> None:
    """The catalog: attributes and labels are described once, zeros fit their labels."""
    assert set(row.attributes) <= set(ATTRIBUTES)
    assert len(set(row.attributes)) == len(row.attributes)
    for metric in row.metrics:
        assert set(metric.labels) <= set(LABELS | ATTRIBUTES)
        assert all(len(values) == len(metric.labels) for values in metric.zero)
        assert metric.kind != "histogram" or metric.unit in BOUNDARIES
        assert metric.unit
    assert row.span or row.metrics or row.logs


def test_every_word_is_used() -> None:
    """The catalog: no attribute and no label is described that nothing carries."""
    assert {name for row in CATALOG for name in row.attributes} == set(ATTRIBUTES)
    labels = {name for metric in metrics_of() for name in metric.labels}
    assert labels - set(ATTRIBUTES) == set(LABELS)


def test_durations_reach_from_a_tenth_of_a_millisecond_to_a_minute() -> None:
    """The catalog: boundaries of seconds are 100 µs to 60 s."""
    seconds = [one for one in metrics_of() if one.kind == "histogram" and one.unit == "s"]

    assert len(seconds) >= 4
    assert (BOUNDARIES["s"][0], BOUNDARIES["s"][-1]) == (0.0001, 60.0)


@SPANS
def test_a_span_arrives_with_what_its_row_promises(row: Any, told: Told) -> None:
    """Nothing untold: the span of each row is exported, with its attributes and no others."""
    spans = [
        one
        for one in told.spans
        if one.instrumentation_scope.name == row.span.scope
        and one.kind.name.lower() == row.span.kind
        and (one.name == row.span.name or not row.span.name)
    ]
    if row.span.name == "catena.mount":
        leaving = row.event is events.Unmounted
        spans = [
            one for one in spans if (one.attributes["catena.mount.direction"] == "out") is leaving
        ]

    assert spans
    seen = {name for one in spans for name in one.attributes}
    assert seen <= set(row.attributes)
    assert set(row.attributes) - seen - RARELY - ELSEWHERE == set()


@ROWS
def test_a_metric_arrives_with_its_labels(row: Any, told: Told) -> None:
    """Nothing untold: each metric of a row has counted, with the labels that it lists."""
    found = told.metrics()
    for metric in row.metrics:
        points = found[metric.name]
        assert {name for one in points for name, _ in labels(one)} <= set(metric.labels)
        counts = [one.count if metric.kind == "histogram" else one.value for one in points]
        if metric.kind in ("counter", "histogram"):
            assert sum(counts) > 0, metric.name
        else:
            assert counts, metric.name


@ROWS
def test_a_record_arrives_with_what_its_row_promises(row: Any, told: Told) -> None:
    """Nothing untold: each log record of a row is written, at its level, by its logger."""
    for log in row.logs:
        records = [one for one in told.records if name_of(one) == log.name]
        assert records
        assert {one.name for one in records} == {log.logger}
        assert {one.levelno for one in records} == {log.level} | ({log.unexpected} - {0})
        seen = {name for one in records for name in vars(one) if "." in name} - {NAME}
        beside = set(AUDITED) if log.logger == AUDIT else set()
        assert seen - beside <= set(row.attributes)
        assert set(row.attributes) - seen - RARELY - ELSEWHERE == set()


def test_nothing_arrives_that_is_not_in_the_catalog(told: Told) -> None:
    """Nothing untold, and nothing told beside: scopes, names of metrics and of records."""
    spans = {row.span.scope for row in CATALOG if row.span is not None} | {"tests"}
    records = {log.name for row in CATALOG for log in row.logs}

    assert {one.instrumentation_scope.name for one in told.spans} == spans
    assert set(told.metrics()) == {one.name for one in metrics_of()}
    assert {name_of(one) for one in told.records if one.name.startswith("catena.")} <= records
    assert {row.event for row in BY_EVENT.values()} == set(EVENTS)


def test_the_page_is_current() -> None:
    """The page of the catalog is what `python -m tests.telemetry.page` writes."""
    assert PAGE.read_text("utf-8") == page()
