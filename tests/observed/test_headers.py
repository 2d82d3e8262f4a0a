"""Sampling: no trace header, however bad, fails a dispatch; what was wrong with it is told."""

from __future__ import annotations

import pytest

from tests.observed.headers import HEADERS
from tests.observed.runs import Run, observed, pid


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run in which every call brings another header."""
    return observed("headers", tmp_path_factory.mktemp("headers"))


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_fails_a_dispatch(told: Run, name: str) -> None:
    """Sampling: the call is answered, its context comes back, and its span says what came."""
    header, state = HEADERS[name]
    (execution,) = told.spans(".named", "SERVER", header=name)

    assert told.said["told"][name] == [told.said["worker"], len(name)]
    assert execution.attributes.get("catena.carrier", "present") == state
    parent = header["traceparent"].split("-")[2] if state == "present" else ""
    assert execution.parent_span_id == parent


def test_what_was_dropped_is_counted(told: Run) -> None:
    """Sampling: at the worker, by the reason."""
    for state in ("malformed", "oversized"):
        (known,) = {
            point.value
            for point in told.points("catena.telemetry.dropped", catena__reason=state)
            if pid(point) == told.said["worker"]
        }
        assert known == [one for _, one in HEADERS.values()].count(state)
