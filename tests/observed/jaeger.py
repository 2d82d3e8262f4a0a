"""What Jaeger answers when it is asked for a trace, and whether an answer is one.

Jaeger publishes the form of its answers in jaegertracing/jaeger-idl; the facts below are those of
``swagger/api_v3/query_service.openapi.json`` at commit 74be5630c18f2cd8446073a101b6c9e30bc4b4b6: the
messages below ``opentelemetry.proto.trace.v1.TracesData``, their fields and types, and what is said
of each field in words (which are required, how long ids are, that keys are unique). The envelope is
``GRPCGatewayWrapper`` in ``proto/api_v3/query_service.proto`` at the same commit. In both, ids are
hexadecimal, 64-bit numbers are texts, and enums are numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import jsonschema

__all__ = ["answer", "problems"]

Json = dict[str, Any]


def _hex(size: int, *, empty: bool = False) -> Json:
    digits = f"(?!0{{{2 * size}}})[0-9a-f]{{{2 * size}}}"
    return {"type": "string", "pattern": f"^({digits})?$" if empty else f"^{digits}$"}


def _each(name: str) -> Json:
    return {"type": "array", "items": {"$ref": f"#/$defs/{name}"}}


def _message(*required: str, **fields: Json) -> Json:
    return {
        "type": "object",
        "properties": fields,
        "required": list(required),
        "additionalProperties": False,
    }


_TEXT: Json = {"type": "string"}
_NAME: Json = {"type": "string", "minLength": 1}
_WHOLE: Json = {"type": "string", "pattern": "^-?[0-9]{1,19}$"}
_TIME: Json = {"type": "string", "pattern": "^[1-9][0-9]{0,19}$"}
_COUNT: Json = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
_COMMON: Json = {"attributes": _each("KeyValue"), "droppedAttributesCount": _COUNT}

_VALUES: Json = {
    "stringValue": _TEXT,
    "boolValue": {"type": "boolean"},
    "intValue": _WHOLE,
    "doubleValue": {"type": "number"},
    "arrayValue": _message(values=_each("AnyValue")),
    "kvlistValue": _message(values=_each("KeyValue")),
    "bytesValue": _TEXT,
}

_DEFS: Json = {
    # A oneof in the protocol: at most one of its fields is there.
    "AnyValue": _message(**_VALUES) | {"maxProperties": 1},
    "KeyValue": _message("key", "value", key=_NAME, value={"$ref": "#/$defs/AnyValue"}),
    "Resource": _message(**_COMMON),
    "InstrumentationScope": _message(name=_TEXT, version=_TEXT, **_COMMON),
    "Status": _message(message=_TEXT, code={"enum": [0, 1, 2]}),
    "Event": _message("timeUnixNano", "name", timeUnixNano=_TIME, name=_NAME, **_COMMON),
    "Link": _message(
        *("traceId", "spanId"),
        traceId=_hex(16),
        spanId=_hex(8),
        traceState=_TEXT,
        flags=_COUNT,
        **_COMMON,
    ),
    "Span": _message(
        *("traceId", "spanId", "name", "startTimeUnixNano", "endTimeUnixNano"),
        traceId=_hex(16),
        spanId=_hex(8),
        parentSpanId=_hex(8, empty=True),
        traceState=_TEXT,
        flags=_COUNT,
        name=_NAME,
        kind={"enum": [0, 1, 2, 3, 4, 5]},
        startTimeUnixNano=_TIME,
        endTimeUnixNano=_TIME,
        events=_each("Event"),
        droppedEventsCount=_COUNT,
        links=_each("Link"),
        droppedLinksCount=_COUNT,
        status={"$ref": "#/$defs/Status"},
        **_COMMON,
    ),
    "ScopeSpans": _message(
        scope={"$ref": "#/$defs/InstrumentationScope"}, spans=_each("Span"), schemaUrl=_TEXT
    ),
    "ResourceSpans": _message(
        resource={"$ref": "#/$defs/Resource"}, scopeSpans=_each("ScopeSpans"), schemaUrl=_TEXT
    ),
    "TracesData": _message("resourceSpans", resourceSpans=_each("ResourceSpans")),
}

SCHEMA: Json = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    **_message("result", result={"$ref": "#/$defs/TracesData"}),
    "$defs": _DEFS,
}
"""The schema of an answer to ``GetTrace`` over HTTP."""

_VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)


def answer(lines: Iterable[str], trace_id: str) -> Json:
    """Return what Jaeger would answer for a trace, from the lines that a receiver wrote."""
    found: list[Json] = []
    for line in lines:
        for resource in json.loads(line).get("resourceSpans", ()):
            scopes = [
                {**scope, "spans": spans}
                for scope in resource["scopeSpans"]
                if (spans := [one for one in scope["spans"] if one["traceId"] == trace_id])
            ]
            if scopes:
                found.append({**resource, "scopeSpans": scopes})
    return {"result": {"resourceSpans": found}}


def problems(told: Json, trace_id: str) -> list[str]:
    """Return what is wrong with an answer: with its form, or with what its fields say together."""
    wrong = [f"{one.json_path}: {one.message}" for one in _VALIDATOR.iter_errors(told)]
    return wrong or [*_of_spans(list(_spans(told)), trace_id), *_repeated(told)]


def _spans(told: Json) -> Iterator[Json]:
    for resource in told["result"]["resourceSpans"]:
        for scope in resource.get("scopeSpans", ()):
            yield from scope.get("spans", ())


def _of_spans(spans: list[Json], trace_id: str) -> Iterator[str]:
    ids = {one["spanId"] for one in spans}
    if len(ids) != len(spans):
        yield "two spans have one id"
    if not spans:
        yield "there is no span"
    for one in spans:
        if one["traceId"] != trace_id:
            yield f"{one['spanId']} is of another trace"
        if int(one["endTimeUnixNano"]) < int(one["startTimeUnixNano"]):
            yield f"{one['spanId']} ends before it starts"
        if one.get("parentSpanId", "") not in {"", *ids}:
            yield f"{one['spanId']} has a parent that is not there"


def _repeated(node: Any) -> Iterator[str]:
    """Yield every list of attributes in which a key is there twice."""
    todo = [node]
    while todo:
        node = todo.pop()
        if isinstance(node, list):
            todo += node
        elif isinstance(node, dict):
            todo += node.values()
            keys = [pair["key"] for pair in node.get("attributes", ())]
            if len(set(keys)) != len(keys):
                yield f"a key is there twice: {sorted(keys)}"
