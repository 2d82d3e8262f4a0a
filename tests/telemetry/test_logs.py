"""Logs: what is written when, under which logger, and how applications have it rendered."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from opentelemetry.sdk.trace import TracerProvider

import catena.logging
from catena import events, telemetry
from catena.events.bus import announce
from catena.telemetry.logs import name_of
from tests.dispatch.ends import connected
from tests.support import isolated, run
from tests.telemetry.sdk import telling
from tests.telemetry.story import add, contend, number
from tests.telemetry.test_texts import Mute, strictly

ROOT = Path(__file__).parents[2]
FORK = events.ChainForked(b"c" * 16, b"p" * 16)
SENTENCE = f"chain {(b'c' * 16).hex()} was forked from chain {(b'p' * 16).hex()}"


@pytest.fixture
def configured() -> Iterator[Any]:
    """Undo what a test configures for the whole process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    telemetry.install()
    yield None
    catena.logging.audit(False)
    telemetry.uninstall()
    root.handlers[:] = handlers
    root.setLevel(level)


async def a_call() -> None:
    """Make a call."""
    number.set(1)
    async with connected():
        await add(1)


@isolated
def test_the_audit_log_is_off_until_it_is_asked_for() -> None:
    """Logs: without the switch nobody listens on its account, whatever the root logger shows."""
    with telling(detail="dispatch") as told:
        run(a_call())
        before = [name_of(one) for one in told.records]
        catena.logging.audit()
        run(a_call())
        catena.logging.audit(False)
        asked = [name_of(one) for one in told.records][len(before) :]
        run(a_call())
        after = [name_of(one) for one in told.records][len(before) + len(asked) :]

    audit = {
        "catena.call.dispatched",
        "catena.call.executed",
        "catena.chain.mounted",
        "catena.chain.unmounted",
        "catena.proxy.leased",
        "catena.proxy.released",
        "catena.token.reset",
    }
    assert audit.isdisjoint(before)
    assert audit <= set(asked)
    assert audit.isdisjoint(after)


@isolated
def test_a_record_names_its_span() -> None:
    """Logs: the trace and span ids are those of the span that tells the same."""
    with telling(audit=True) as told:
        run(a_call())

    (mounted, _) = told.logged("catena.chain.mounted")
    execution = next(one for one in told.named("add") if one.kind.name == "SERVER")
    assert mounted["trace_id"] == format(execution.context.trace_id, "032x")
    assert mounted["span_id"] == format(execution.context.span_id, "016x")
    dispatched = told.logged("catena.call.dispatched")[0]
    dispatch = next(one for one in told.named("add") if one.kind.name == "CLIENT")
    assert dispatched["span_id"] == format(dispatch.context.span_id, "016x")


@isolated
def test_records_of_a_trace_that_is_not_sampled_name_it_all_the_same() -> None:
    """Logs: sampled or not, the ids are there."""
    with telling(sampled=False, audit=True) as told:
        run(a_call())

    assert all(len(one["trace_id"]) == 32 for one in told.logged("catena.chain.unmounted"))
    assert told.spans == []


def test_the_library_configures_nothing_global() -> None:
    """Logs: structlog's defaults and the root logger are left as they are."""
    before = structlog.get_config(), logging.getLogger().handlers[:]
    with telling(audit=True):
        announce(FORK)

    assert (structlog.get_config(), logging.getLogger().handlers[:]) == before
    assert not structlog.is_configured()


def test_json_is_one_object_a_line(configured: Any) -> None:
    """catena.logging: records of Catena and of the application alike; set up again, once."""
    stream = io.StringIO()
    catena.logging.configure_json(audit=True)
    catena.logging.configure_json(audit=True, stream=stream)

    announce(FORK)
    error = KeyError("mine")
    logging.getLogger("mine").error("it %s", "failed", extra={"order": 7}, exc_info=error)

    ours, theirs = map(json.loads, stream.getvalue().splitlines())
    assert (ours["event"], ours["level"], ours["logger"]) == (
        "catena.chain.forked",
        "debug",
        "catena.audit",
    )
    assert ours["catena.chain.id"] == (b"c" * 16).hex()
    assert ours["message"] == SENTENCE
    assert "event.name" not in ours
    assert (theirs["event"], theirs["order"]) == ("it failed", 7)
    assert "message" not in theirs
    assert "KeyError" in theirs["exception"]


def test_the_console_is_for_people(configured: Any) -> None:
    """catena.logging: a sentence and the event's name; an application's facts are shown as well."""
    stream = io.StringIO()
    catena.logging.configure_console(audit=True, stream=stream)
    announce(FORK)
    logging.getLogger("mine").warning("it failed", extra={"order": 7, "event.name": "mine"})

    ours, theirs = stream.getvalue().splitlines()
    _, _, shown = ours.partition("] ")
    assert shown == f"{SENTENCE} [catena.audit] event.name=catena.chain.forked"
    assert "it failed" in theirs
    assert "event.name=mine order=7" in theirs


@isolated
def test_a_contention_is_a_warning(configured: Any) -> None:
    """Logs: contention at WARNING, with both sides named, when nobody configured an SDK."""
    stream = io.StringIO()
    catena.logging.configure_json(stream=stream)
    run(contend())

    (record,) = map(json.loads, stream.getvalue().splitlines())
    assert (record["event"], record["level"]) == ("catena.chain.contention", "warning")
    assert record["catena.owner.task"] == "the owner"
    assert record["catena.contender.task"] == "the intruder"


@isolated
def test_what_cannot_be_written_is_a_warning(configured: Any) -> None:
    """Logs: a refused argument is seen at the level that applications show by default."""
    stream = io.StringIO()
    catena.logging.configure_json(level=logging.WARNING, stream=stream)

    async def main() -> None:
        async with connected():
            with pytest.raises(catena.SerializationError):
                await add(sys._getframe())

    run(main())

    (record,) = map(json.loads, stream.getvalue().splitlines())
    assert (record["event"], record["level"]) == ("catena.serialization.failed", "warning")
    assert record["catena.serialization.direction"] == "sent"


def test_every_record_is_a_line_of_json() -> None:
    """Bad input: what a record holds, and arguments that do not fit it, cost no line."""
    stream = io.StringIO()
    log = logging.Logger("mine")  # noqa: LOG001 - no handler of a test runner's
    log.addHandler(catena.logging.json_handler(stream))
    log.info("keys", extra={"by": {200: 1, None: 2, ("a", 1): 3}, "n": float("nan")})
    log.info("half a pair \udcff")
    log.info("%d of %d", "one")  # noqa: PLE1206 - the mistake
    log.info("%s", Mute())
    log.info(Mute())
    log.info("said", extra={"event": "hidden"})

    read = [strictly(line) for line in stream.getvalue().splitlines()]
    assert [one["event"] for one in read] == [
        *("keys", "half a pair \\udcff", "%d of %d", "%s", "<Mute without a text>", "said")
    ]
    assert ["not_rendered" in one for one in read] == [False, False, True, True, True, False]
    assert {one["logger"] for one in read} == {"mine"}
    assert all(one["timestamp"].endswith("Z") for one in read)


def test_records_of_structlog_keep_traceback_and_trace(configured: Any) -> None:
    """structlog, through ProcessorFormatter into our handler: nothing is lost on the way."""
    stream = io.StringIO()
    catena.logging.configure_json(stream=stream)
    log = structlog.wrap_logger(
        logging.getLogger("shop"),
        processors=[structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    with TracerProvider().get_tracer("tests").start_as_current_span("work") as span:
        try:
            {}["gone"]
        except LookupError:
            log.exception("could not find it", order=7, by={1: 2})

    (read,) = [strictly(line) for line in stream.getvalue().splitlines()]
    assert (read["event"], read["order"], read["by"]) == ("could not find it", 7, {"1": 2})
    assert (read["level"], read["logger"]) == ("error", "shop")
    assert "KeyError: 'gone'" in read["exception"]
    assert read["trace_id"] == format(span.get_span_context().trace_id, "032x")


@pytest.mark.parametrize(("variable", "records"), [("1", True), ("0", False)])
def test_the_environment_turns_the_audit_log_on(variable: str, records: bool) -> None:
    """CATENA_AUDIT_LOG: from outside, JSON on standard error when nobody configured logging."""
    program = """
import asyncio, catena
from tests.telemetry.story import add, number

async def main():
    number.set(1)
    async with catena.WorkerPool(spawn=1):
        await add(1)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
        env={**os.environ, "CATENA_AUDIT_LOG": variable},
    )

    lines = [line[line.find("{") :] for line in done.stderr.splitlines()]
    told = {json.loads(line)["event"] for line in lines}
    if records:
        here, there = {"catena.call.dispatched"}, {"catena.call.executed", "catena.token.reset"}
        assert here | there <= told
        audit = [json.loads(line) for line in lines]
        audit = [one for one in audit if one["logger"] == "catena.audit"]
        writers = {
            one["process.pid"]: one for one in audit if one["event"] != "catena.call.dispatched"
        }
        assert {one["process.pid"] for one in audit} == set(writers)
        workers = {one.get("catena.worker.id", "") for one in writers.values()}
        assert len(workers) == len(writers) == 2
    else:
        assert done.stderr == ""
