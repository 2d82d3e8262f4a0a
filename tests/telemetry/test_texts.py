"""Texts and values on their way out: exporters and strict parsers take whatever comes."""

from __future__ import annotations

import enum
import json
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor

from catena.telemetry.tally import Names
from catena.telemetry.texts import json_line, text, to_attribute, to_plain

LONE = "caf\udce9"


class Mute:
    """Raises from its texts."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


class Leaving(Mute):
    """Wants to end the process from its text."""

    def __str__(self) -> str:
        raise SystemExit(3)


class Lying(str):
    """A text that says something else of itself."""

    __slots__ = ()

    def __str__(self) -> str:
        raise ValueError("no text")


class Colour(enum.IntEnum):
    RED = 1


class Word(enum.StrEnum):
    LONE = LONE


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("plain", "plain"),
        ("größe", "größe"),
        (LONE, "caf\\udce9"),
        (ValueError(LONE), "caf\\udce9"),
        (Lying("as it is"), "as it is"),
        (Word.LONE, "caf\\udce9"),
        (7, "7"),
        (Mute(), "<Mute without a text>"),
        (Leaving(), "<Leaving without a text>"),
        (10**5000, "<int without a text>"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_text_can_be_encoded(value: object, becomes: str) -> None:
    """Bad input: lone surrogates are escaped, what has no text is named by its class."""
    assert text(value) == becomes
    assert type(text(value)) is str
    text(value).encode()


@pytest.mark.parametrize(
    "value",
    [
        *(LONE, [LONE, 1], (None, Mute()), 1 << 80, -(1 << 63) - 1, Colour.RED, True, 0.5),
        *(b"\xff", {"a": 1}, Mute(), Leaving(), float("nan"), Lying("x"), Word.LONE, [[1], [2]]),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_attribute_loses_no_batch(value: object) -> None:
    """Bad input: what OTLP's own encoder refuses is not handed to it."""
    exporter = InMemoryLogRecordExporter()
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    provider.get_logger("tests").emit(body="x", attributes={"value": to_attribute(value)})

    request = encode_logs(exporter.get_finished_logs()).SerializeToString()

    assert b"value" in request
    provider.shutdown()


def test_small_numbers_stay_numbers() -> None:
    """An attribute that OTLP has a kind for keeps it."""
    assert [to_attribute(one) for one in (3, True, 0.5, Colour.RED, -(1 << 63))] == [
        *(3, True, 0.5, 1, -(1 << 63))
    ]


def strictly(line: str) -> Any:
    """Read JSON as parsers do that allow neither NaN nor a name twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    def refuse(word: str) -> None:
        raise ValueError(word)

    read = json.loads(line, object_pairs_hook=once, parse_constant=refuse)
    # A parser that returns UTF-8 has no place for half a surrogate pair.
    json.dumps(read, ensure_ascii=False).encode()
    assert "\n" not in line
    return read


def circle() -> dict[str, Any]:
    """Return a structure that holds itself."""
    found: dict[str, Any] = {"more": []}
    found["more"].append(found)
    return found


def deep() -> list[Any]:
    """Return a structure that is deeper than Python's stack."""
    found: list[Any] = []
    for _ in range(5000):
        found = [found]
    return found


class Hostile(dict[str, int]):
    """A mapping that cannot be read."""

    def items(self) -> Any:
        raise RuntimeError("not for you")


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ({200: 5, None: 1, True: 2, "x": 3}, {"200": 5, "null": 1, "true": 2, "x": 3}),
        ({1: "a", "1": "b"}, {"1": "a", "1'": "b"}),
        ({("a", 1): 5}, {"('a', 1)": 5}),
        ({LONE: LONE}, {"caf\\udce9": "caf\\udce9"}),
        ([float("nan"), float("inf"), -float("inf"), 0.5], ["NaN", "Infinity", "-Infinity", 0.5]),
        ({2, 1}, [1, 2]),
        (frozenset({"b", "a"}), ["a", "b"]),
        (b"\xff", "b'\\xff'"),
        (1 << 80, str(1 << 80)),
        (Colour.RED, 1),
        (circle(), {"more": ["<holds itself>"]}),
        (Mute(), "<Mute without a text>"),
        ({"a": Leaving()}, {"a": "<Leaving without a text>"}),
        (Hostile(a=1), "<Hostile that cannot be read>"),
        ("two\nlines\u2028and more", "two\nlines\u2028and more"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_line_is_valid_json(value: object, becomes: object) -> None:
    """Bad input: whatever a record holds, a strict parser reads its line."""
    assert strictly(json_line({"value": value})) == {"value": becomes}


def test_what_is_too_deep_is_cut() -> None:
    """Bad input: deeper than Python's stack."""
    assert "<held too deep>" in json_line({"value": deep()})
    assert to_plain(deep()) == to_plain(deep())


def test_a_label_is_a_text_that_exporters_take() -> None:
    """Bad input: the name of a routine that cannot be encoded makes one label, each time."""
    names = Names(500, "rpc.method")

    assert [names(LONE), names(LONE), names("")] == ["caf\\udce9", "caf\\udce9", ""]
