"""Lines read back as values."""

from __future__ import annotations

import math
from pathlib import Path

from catena.collect.otlp import to_line
from catena.collect.reading import Recording
from tests.collect.messages import SPAN, TRACE, attributes, histogram, metrics, traces


def test_a_span_is_read_with_everything() -> None:
    """Ids, times, words for numbers, attributes, events, links and whose it is."""
    recording = Recording()
    recording.add(to_line(traces()))

    (span,) = recording.named("work")
    assert (span.trace_id, span.span_id) == (TRACE.hex(), SPAN.hex())
    assert span.parent_span_id == SPAN[::-1].hex()
    assert (span.kind, span.status, span.end_time_unix_nano - span.start_time_unix_nano) == (
        "CLIENT",
        "ERROR",
        5,
    )
    assert span.attributes == {"n": 2**53 + 1, "raw": b"\xff\x00", "traceId": "a word"}
    assert (span.events[0].name, span.links[0].trace_id) == ("seen", TRACE[::-1].hex())
    assert (span.origin.scope, span.origin.version) == ("catena.dispatch", "1")
    assert span.origin.resource == {"service.name": "shop"}


def test_a_point_is_read_with_everything() -> None:
    """Buckets, sums, temporality, exemplars."""
    metric = histogram([1, 2], [0.5])
    metric.histogram.data_points[0].exemplars.add(trace_id=TRACE, span_id=SPAN, as_double=0.1)
    recording = Recording()
    recording.add(to_line(metrics(metric)))

    (point,) = recording.metric("rpc.server.call.duration")
    assert (point.kind, point.unit, point.temporality) == ("histogram", "s", "CUMULATIVE")
    assert (point.count, point.sum, point.explicit_bounds, point.bucket_counts) == (
        3,
        1.5,
        [0.5],
        [1, 2],
    )
    assert (point.exemplars[0].trace_id, point.exemplars[0].value) == (TRACE.hex(), 0.1)


def test_values_of_every_kind_are_read() -> None:
    """What went in as a plain value comes out as one."""
    whole = {"a": [1, "b", [True]], "m": {"x": -math.inf}, "none": b""}
    request = traces()
    found = request.resource_spans[0].scope_spans[0].spans[0]
    del found.attributes[:]
    found.attributes.extend(attributes(**whole))
    found.attributes.add(key="empty")
    recording = Recording()
    recording.add(to_line(request))

    assert recording.spans[0].attributes == whole | {"empty": None}


def test_a_key_may_be_empty() -> None:
    """An empty text is left out by the mapping, also where it is a key."""
    recording = Recording()
    recording.add(
        '{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":[{"value":{"boolValue":true}}]}]}]}]}'
    )

    assert recording.spans[0].attributes == {"": True}


def test_what_was_left_behind_is_kept_apart(tmp_path: Path) -> None:
    """Torn lines and foreign ones are handed out as they are; the others are read."""
    path = tmp_path / "out.jsonl"
    bad = ['{"resourceSpans":[{"sco', "[]", '{"resourceSpans":5}', "\x00"]
    path.write_text("\n".join([to_line(traces("a")), *bad, "", to_line(traces("b"))]))

    recording = Recording.read(path)

    assert [span.name for span in recording.spans] == ["a", "b"]
    assert recording.unread == bad


def test_numbers_of_another_version_are_no_error() -> None:
    """An enum's number that has no word yet is read as the number."""
    request = traces()
    request.resource_spans[0].scope_spans[0].spans[0].kind = 77  # type: ignore[assignment]
    recording = Recording()
    recording.add(to_line(request))

    assert recording.spans[0].kind == "77"
