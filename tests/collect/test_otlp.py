"""OTLP requests read from bytes and JSON, and written as lines."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from catena.collect.otlp import Malformed, count_items, from_bytes, from_json, to_line
from tests.collect.messages import SPAN, TRACE, counter, metrics, traces


def test_a_line_is_what_a_collectors_file_exporter_writes() -> None:
    """Ids are hex, 64-bit integers are strings, enums numbers, bytes base64, keys in camel case."""
    assert json.loads(to_line(traces())) == {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]
                },
                "scopeSpans": [
                    {
                        "scope": {"name": "catena.dispatch", "version": "1"},
                        "spans": [
                            {
                                "traceId": "000102030405060708090a0b0c0d0e0f",
                                "spanId": "0001020304050607",
                                "parentSpanId": "0706050403020100",
                                "name": "work",
                                "kind": 3,
                                "startTimeUnixNano": "1152921504606846976",
                                "endTimeUnixNano": "1152921504606846981",
                                "attributes": [
                                    {"key": "n", "value": {"intValue": "9007199254740993"}},
                                    {"key": "raw", "value": {"bytesValue": "/wA="}},
                                    {"key": "traceId", "value": {"stringValue": "a word"}},
                                ],
                                "events": [{"timeUnixNano": "7", "name": "seen"}],
                                "links": [
                                    {
                                        "traceId": "0f0e0d0c0b0a09080706050403020100",
                                        "spanId": "0001020304050607",
                                    }
                                ],
                                "status": {"code": 2},
                            }
                        ],
                    }
                ],
            }
        ]
    }


def test_ids_of_exemplars_are_hex_too() -> None:
    """An exemplar names its span as the span names itself."""
    metric = counter(1)
    metric.sum.data_points[0].exemplars.add(trace_id=TRACE, span_id=SPAN, as_int=1)

    found = json.loads(to_line(metrics(metric)))["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]

    (exemplar,) = found[0]["sum"]["dataPoints"][0]["exemplars"]
    assert exemplar == {"traceId": TRACE.hex(), "spanId": SPAN.hex(), "asInt": "1"}
    assert found[0]["sum"]["aggregationTemporality"] == 2


def test_a_line_is_one_line_for_every_reader() -> None:
    """No character that somebody takes for the end of a line stands in it; nothing is lost."""
    odd = "a\u2028b\x85c\nd\x0be"

    written = to_line(traces(odd))

    assert written.isascii()
    assert written.splitlines() == [written]
    assert json.loads(written)["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["name"] == odd


def test_json_and_bytes_give_the_same_request() -> None:
    """What a line says can be received again, in either encoding."""
    request = traces()

    assert from_json("traces", to_line(request).encode()) == request
    assert from_bytes("traces", request.SerializeToString()) == request


def test_json_may_have_capital_digits_and_fields_of_another_version() -> None:
    """Hex in capitals is hex; a field that nobody knows is passed over."""
    whole = json.loads(to_line(traces()))
    span = whole["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    span["traceId"] = span["traceId"].upper()
    span["colour"] = {"of": ["tomorrow"]}

    assert from_json("traces", json.dumps(whole).encode()) == traces()


def test_an_empty_request_has_no_line() -> None:
    """A request that holds nothing is legal, and nothing is written of it."""
    assert to_line(from_bytes("traces", b"")) == ""


def _span(**fields: Any) -> bytes:
    whole = {"resourceSpans": [{"scopeSpans": [{"spans": [fields]}]}]}
    return json.dumps(whole).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"3",
        b'"text"',
        b"\xff\xfe\x00",
        b'{"resourceSpans": 3}',
        b'{"resourceSpans": [3]}',
        b"[" * 5000,
        b'{"resourceSpans":' * 3000,
        _span(traceId="5b8"),
        _span(traceId="zz" * 16),
        _span(traceId=5),
        _span(traceId=[]),
        _span(traceId="00" * 15),
        _span(spanId="é" * 16),
        _span(kind=1e400),
        _span(startTimeUnixNano="soon"),
        _span(startTimeUnixNano=-1),
        _span(name="\ud800"),
    ],
)
def test_bad_json_is_malformed(data: bytes) -> None:
    """Whatever is no request is refused with one error that says so in a short line."""
    with pytest.raises(Malformed) as refused:
        from_json("traces", data)

    assert 0 < len(str(refused.value)) < 300
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("data", [b"\xff", b"\x0a\x05ab", b"\x0a\x02\x12\xff"])
def test_bad_bytes_are_malformed(data: bytes) -> None:
    """Bytes that protobuf cannot read are refused."""
    with pytest.raises(Malformed):
        from_bytes("traces", data)


def test_an_id_of_a_bad_length_is_malformed() -> None:
    """Protobuf takes any bytes for an id; OTLP takes 16 and 8, or none."""
    request = traces()
    request.resource_spans[0].scope_spans[0].spans[0].trace_id = b"short"

    with pytest.raises(Malformed, match="a traceId has 5 bytes and not 16"):
        to_line(request)


def test_items_are_counted() -> None:
    """Spans, data points and log records are counted, not requests."""
    assert count_items(traces()) == 1
    assert count_items(metrics(counter(1), counter(2, name="other"))) == 2
    assert count_items(from_bytes("metrics", b"")) == 0


def test_defaults_are_left_out() -> None:
    """A root span's parent is not written, as protobuf's mapping has it."""
    request = traces()
    request.resource_spans[0].scope_spans[0].spans[0].parent_span_id = b""

    assert "parentSpanId" not in to_line(request)
    assert MessageToDict(from_json("traces", to_line(request).encode())) == MessageToDict(request)
