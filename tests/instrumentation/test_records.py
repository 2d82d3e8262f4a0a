"""Log records: handed to OpenTelemetry, and as events of spans for backends without logs."""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import _logs, context, trace
from opentelemetry.exporter.otlp.proto.common._log_encoder import encode_logs
from opentelemetry.instrumentation.catena import CatenaInstrumentor, SpanEventHandler
from opentelemetry.instrumentation.catena.records import RecordHandler, unhandled
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import Tracer

import catena
from tests.instrumentation.processes import collected, running
from tests.support import run
from tests.telemetry.story import contend

LOGGER = logging.getLogger("tests.records")


@pytest.fixture
def exporter() -> InMemoryLogRecordExporter:
    """Where log records arrive."""
    return InMemoryLogRecordExporter()


@pytest.fixture
def loggers(exporter: InMemoryLogRecordExporter) -> Iterator[LoggerProvider]:
    """A provider that exports at once."""
    provider = LoggerProvider()
    provider.add_log_record_processor(SimpleLogRecordProcessor(exporter))
    yield provider
    provider.shutdown()


@pytest.fixture
def spans() -> InMemorySpanExporter:
    """Where spans arrive."""
    return InMemorySpanExporter()


@pytest.fixture
def tracer(spans: InMemorySpanExporter) -> Iterator[Tracer]:
    """A tracer that exports at once."""
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    yield provider.get_tracer("tests")
    provider.shutdown()


@pytest.fixture
def handle() -> Iterator[Any]:
    """Put handlers on the logger of these tests; they are off for the next."""
    added: list[logging.Handler] = []

    def put(handler: logging.Handler) -> None:
        added.append(handler)
        LOGGER.addHandler(handler)

    LOGGER.setLevel(logging.DEBUG)
    yield put
    for one in added:
        LOGGER.removeHandler(one)
    LOGGER.setLevel(logging.NOTSET)


def test_a_record_keeps_what_it_says(
    loggers: LoggerProvider, exporter: InMemoryLogRecordExporter, handle: Any
) -> None:
    """Name, severity, facts and logger arrive; ids are in the record's own fields."""
    handle(RecordHandler(loggers))
    facts = {"catena.var": "a:b", "keys": ("x", 1), "other": object, "n": 2, "nothing": None}
    ids = {"trace_id": "0" * 31 + "1", "span_id": "0" * 15 + "2"}
    LOGGER.warning("a.word", extra={**facts, **ids})

    (told,) = exporter.get_finished_logs()
    record = told.log_record
    assert record.body == "a.word"
    assert (record.severity_text, record.trace_id, record.span_id) == ("WARNING", 1, 2)
    assert dict(record.attributes or {}) == {
        "catena.var": "a:b",
        "keys": ("x", "1"),
        "other": "<class 'object'>",
        "n": 2,
    }
    scope = told.instrumentation_scope
    assert scope is not None
    assert scope.name == LOGGER.name


@pytest.mark.parametrize(
    ("logger", "said", "name"),
    [
        ("catena.context", "catena.chain.contention", "catena.chain.contention"),
        ("catena.context", "catena.link.opened", None),
        ("tests.records", "catena.chain.contention", None),
        ("tests.records", "shop.order.paid", None),
        ("tests.records", {"a": 1}, None),
        ("tests.records", None, None),
    ],
)
def test_events_are_our_own(
    logger: str,
    said: Any,
    name: str | None,
    loggers: LoggerProvider,
    exporter: InMemoryLogRecordExporter,
) -> None:
    """Conventions: an event name names a structure; what an application says is no such name."""
    handler = RecordHandler(loggers)
    record = logging.LogRecord(logger, logging.ERROR, "", 0, "a sentence", None, None)
    record.__dict__["event.name"] = said
    handler.handle(record)

    (told,) = exporter.get_finished_logs()
    assert (told.log_record.event_name, told.log_record.body) == (name, "a sentence")
    # What an application calls so is one of its facts.
    kept = "event.name" in (told.log_record.attributes or {})
    assert kept is (name is None and said is not None)


def raise_with(words: str) -> None:
    """Raise an error whose text is this."""
    raise ValueError(words)


def test_what_cannot_be_encoded_arrives_escaped(
    loggers: LoggerProvider, exporter: InMemoryLogRecordExporter, handle: Any
) -> None:
    """Bad input: a lone surrogate anywhere, a number of 80 bits, ids that are too long."""
    handle(RecordHandler(loggers))
    lone = "caf\udce9"
    try:
        raise_with(lone)
    except ValueError:
        LOGGER.exception("file %s", lone, extra={lone: lone, "digest": 1 << 80, "list": [lone]})
    LOGGER.info("theirs", extra={"trace_id": "f" * 40, "span_id": "-1"})

    first, second = exporter.get_finished_logs()
    assert first.log_record.body == "file caf\\udce9"
    attributes = dict(first.log_record.attributes or {})
    assert attributes["caf\\udce9"] == "caf\\udce9"
    assert attributes["digest"] == str(1 << 80)
    assert attributes["exception.message"] == "caf\\udce9"
    assert second.log_record.trace_id in (None, 0)
    assert encode_logs([first, second]).SerializeToString()


def test_a_sentence_is_no_event(
    loggers: LoggerProvider, exporter: InMemoryLogRecordExporter, handle: Any, tracer: Tracer
) -> None:
    """A record of the application: its text with arguments, its traceback, the current span."""
    handle(RecordHandler(loggers))
    with tracer.start_as_current_span("work") as span:
        try:
            {}["gone"]
        except LookupError:
            LOGGER.exception("could not find %s", "it")

    (told,) = exporter.get_finished_logs()
    record = told.log_record
    assert (record.body, record.event_name) == ("could not find it", None)
    assert record.span_id == span.get_span_context().span_id
    attributes = record.attributes or {}
    assert "gone" in str(attributes["exception.stacktrace"])
    assert (attributes["exception.type"], attributes["exception.message"]) == ("KeyError", "'gone'")


def test_the_class_of_an_exception_has_its_module(
    loggers: LoggerProvider, exporter: InMemoryLogRecordExporter, handle: Any
) -> None:
    """Conventions: exception.type is the full name, as error.type is."""
    handle(RecordHandler(loggers))
    LOGGER.error("it failed", exc_info=catena.NoPool(routine="shop.pay"))

    (told,) = exporter.get_finished_logs()
    assert (told.log_record.attributes or {})["exception.type"] == "catena.errors.NoPool"


def test_what_cannot_be_told_breaks_nothing(
    loggers: LoggerProvider,
    exporter: InMemoryLogRecordExporter,
    handle: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Bad input: wrong arguments and ids are told as logging does, and nothing is raised."""
    monkeypatch.setattr(logging, "raiseExceptions", False)
    handle(RecordHandler(loggers))
    LOGGER.info("one %s and %s", "only")  # noqa: PLE1206 - the mistake
    LOGGER.info("a.name", extra={"trace_id": "no number", "span_id": None})
    logging.getLogger("opentelemetry.tests").addHandler(handler := RecordHandler(loggers))
    logging.getLogger("opentelemetry.tests").warning("an exporter's complaint")
    logging.getLogger("opentelemetry.tests").removeHandler(handler)

    assert [one.log_record.body for one in exporter.get_finished_logs()] == ["a.name"]


def test_records_become_events_of_the_current_span(
    tracer: Tracer, spans: InMemorySpanExporter, handle: Any
) -> None:
    """The bridge: named records of Catena, in the span that was current, with their facts."""
    handle(SpanEventHandler())
    LOGGER.info("catena.nobody.listens")
    with tracer.start_as_current_span("work"):
        named = {"event.name": "catena.token.reset", "catena.outcome": "ok", "span_id": "ff"}
        LOGGER.info("variable a:b was reset", extra=named)
        LOGGER.info("catena is not a name here")
        LOGGER.info("catena.as.a.message")
        LOGGER.info("theirs.event")

    (span,) = spans.get_finished_spans()
    assert [(one.name, dict(one.attributes or {})) for one in span.events] == [
        ("catena.token.reset", {"catena.outcome": "ok"}),
        ("catena.as.a.message", {}),
    ]


def test_a_span_that_is_not_recorded_gets_no_event(handle: Any) -> None:
    """The bridge: an unsampled span, and one that has ended, is left alone."""
    handle(SpanEventHandler())
    provider = TracerProvider(sampler=ALWAYS_OFF)
    with provider.get_tracer("tests").start_as_current_span("work") as span:
        LOGGER.info("catena.token.reset")
    recorded = TracerProvider().get_tracer("tests").start_span("ended")
    recorded.end()

    assert not span.is_recording()
    assert not recorded.is_recording()


def test_a_contention_is_seen_in_jaeger(tracer: Tracer, spans: InMemorySpanExporter) -> None:
    """The bridge, switched on by the instrumentor: both sides are named in the caller's span."""
    CatenaInstrumentor().instrument(span_events=True)
    try:
        with tracer.start_as_current_span("work"):
            isolated_contention()
    finally:
        CatenaInstrumentor().uninstrument()
    with tracer.start_as_current_span("later"):
        isolated_contention()

    events = {one.name: list(one.events) for one in spans.get_finished_spans()}
    (event,) = events["work"]
    assert event.name == "catena.chain.contention"
    assert (event.attributes or {})["catena.owner.task"] == "the owner"
    assert (event.attributes or {})["catena.contender.task"] == "the intruder"
    assert events["later"] == []


def isolated_contention() -> None:
    """Contend, in a Context that has the current span and no chain of a test's."""
    shared = contextvars.Context()
    shared.run(context.attach, trace.set_span_in_context(trace.get_current_span()))
    run(contend(shared))


def test_nobody_is_told_twice(monkeypatch: pytest.MonkeyPatch, loggers: LoggerProvider) -> None:
    """Zero-code: records go to the global provider only where nothing else hands it records."""
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", None)
    before = unhandled()
    monkeypatch.setattr(_logs._internal, "_LOGGER_PROVIDER", loggers)
    configured = unhandled()

    class LoggingHandler(logging.Handler):
        """What the SDK's own is called."""

    theirs = LoggingHandler()
    logging.getLogger().addHandler(theirs)
    handled = unhandled()
    logging.getLogger().removeHandler(theirs)

    assert (before, configured, handled) == (None, loggers, None)


LATE = """
    import logging
    from opentelemetry.instrumentation.catena.worker import bootstrap

    class Late:
        def __del__(self, log=logging.getLogger("app")):
            log.error("said too late")

    finish = bootstrap()
    late = Late()
    late.itself = late
    finish(10)
"""


def test_what_is_logged_while_the_interpreter_ends_is_no_error(tmp_path: Path) -> None:
    """Bad input: an object collected at the very end logs; it is seen on standard error."""
    with collected() as told, running(LATE, tmp_path, told) as program:
        assert program.ended() == 0
        assert program.errors() == "said too late\n"
