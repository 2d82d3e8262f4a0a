"""Values, arguments, credentials and error messages appear in no signal."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.observed.runs import MESSAGES, Run, observed
from tests.observed.search import exposed
from tests.observed.secret import IN_MESSAGES, PLACES, secret

VARIABLES = {
    "TESTS_SECRET": secret("environment"),
    "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={quote('Bearer ' + secret('credential'))}",
    "CATENA_AUDIT_LOG": "1",
    "CATENA_PENDING_SPANS": "1",
    "CATENA_SPAN_EVENTS": "1",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which everything is told in full detail, and no message is recorded."""
    return observed("secret", tmp_path_factory.mktemp("secret"), **VARIABLES)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The same run; messages are recorded, and the program shows what it holds in its spans."""
    folder = tmp_path_factory.mktemp("control")
    return observed("secret", folder, **VARIABLES, **{MESSAGES: "1"})


def signals(run: Run) -> dict[str, list[str]]:
    """Return the lines of each signal, and what program and workers wrote."""
    kinds = {"traces": "resourceSpans", "metrics": "resourceMetrics", "logs": "resourceLogs"}
    parts = {
        name: [line for line in run.lines if line.startswith(f'{{"{key}"')]
        for name, key in kinds.items()
    }
    return {**parts, "output": [run.output]}


def test_every_signal_is_there(told: Run) -> None:
    """Values: what is searched is all that was told, and every kind of it was."""
    parts = signals(told)

    assert sum(len(parts[name]) for name in ("traces", "metrics", "logs")) == len(told.lines)
    assert all(parts.values())
    spans = {one.name.rpartition(".")[2] for one in told.recording.spans}
    assert {"work", "undo", "stream", "fail", "mount", "reset", "contention"} <= spans
    records = {one.name for one in told.recording.logs}
    assert {"catena.entry.lost", "catena.serialization.failed"} <= records
    assert {"catena.chain.mounted", "catena.token.reset", "catena.chain.contention"} <= records
    assert told.spans("", catena__pending=True)
    assert [event for one in told.recording.spans for event in one.events]


@pytest.mark.parametrize("place", PLACES)
def test_no_signal_holds_a_secret(told: Run, place: str) -> None:
    """Values: whatever a routine is given, holds, returns or raises is told by nobody."""
    parts = signals(told)

    assert [name for name, texts in parts.items() if exposed([secret(place)], texts)] == []


@pytest.mark.parametrize("place", PLACES)
def test_the_search_finds_what_is_shown(control: Run, place: str) -> None:
    """Values: the same search finds each secret where messages are recorded or values shown."""
    assert exposed([secret(place)], signals(control)["traces"])


@pytest.mark.parametrize("place", IN_MESSAGES)
def test_messages_are_in_logs_too_when_they_are_recorded(control: Run, place: str) -> None:
    """Values: the search works in log records as in spans."""
    assert exposed([secret(place)], signals(control)["logs"])
