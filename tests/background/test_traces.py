"""Each of the seven ways to run has a link to the submission, whatever the engine remembers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from tests.background.routines import fail, greet, queue_up, repeat, retry_at_once, retry_later
from tests.background.running import finish, opened, run
from tests.support import isolated
from tests.telemetry.sdk import Told, telling

SOON = timedelta(milliseconds=100)


async def park() -> None:
    """Submit two tasks, of which one waits for the other one's place."""
    for name in ("a", "b"):
        await queue_up.submit(name)


async def replace() -> None:
    """Submit a task in the place of another one."""
    await greet.on(key="k", when=SOON).submit("a")
    await greet.on(key="k", when=SOON, replace=True).submit("b")


PATHS: dict[str, tuple[int, Callable[[], Awaitable[Any]]]] = {
    "immediate": (1, lambda: greet.submit("a")),
    "delayed": (1, lambda: greet.on(when=SOON).submit("a")),
    "retried at once": (3, retry_at_once.submit),
    "retried later": (2, retry_later.submit),
    "perpetual": (3, lambda: repeat.submit(3)),
    "parked": (3, park),
    "replaced": (1, replace),
}
"""At least how often a task begins to run, and what submits it, by the way that it takes."""


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    """What is told, the engine's own spans among it."""
    with telling() as told:
        for module in ("worker", "docket"):
            tracer = told.tracer_provider.get_tracer(f"docket.{module}")
            monkeypatch.setattr(f"docket.{module}.tracer", tracer)
        yield told


def submitted(told: Told) -> list[ReadableSpan]:
    """The spans of submissions."""
    return [one for one in told.spans if one.kind is SpanKind.PRODUCER]


def ran(told: Told, scope: str = "docket.worker") -> list[ReadableSpan]:
    """The spans of runs, by whose they are."""
    return [
        one
        for one in told.spans
        if one.kind is SpanKind.CONSUMER and one.instrumentation_scope.name == scope
    ]


def links(span: ReadableSpan) -> set[int]:
    """The ids of the spans that a span is linked to."""
    return {one.context.span_id for one in span.links}


@pytest.mark.parametrize("path", PATHS)
@isolated
def test_a_run_is_linked_to_its_submission(path: str, url: str, told: Told) -> None:
    """Item 3: every run of every path, and to no other submission of Catena."""
    times, submit = PATHS[path]

    async def work() -> None:
        async with opened(url) as queue:
            await submit()
            await finish(queue)

    run(work())
    sent, runs = submitted(told), ran(told)
    ids = {one.context.span_id for one in sent}

    assert len(runs) >= times
    for one in runs:
        assert one.name.startswith("process tests.background.routines.")
        assert len(links(one) & ids) == 1
    if path == "replaced":
        assert links(runs[0]) & ids == {sent[-1].context.span_id}
    if path == "parked":
        assert set.union(*map(links, runs)) & ids == ids


@isolated
def test_on_request_a_run_continues_the_trace(url: str, told: Told) -> None:
    """Item 3: its span is a child of the submission, and is linked to the engine's."""

    async def work() -> None:
        async with opened(url, trace="parent") as queue:
            await retry_later.submit()
            await finish(queue)

    run(work())
    (sent,), engines, runs = submitted(told), ran(told), ran(told, "catena.background")

    assert [one.parent and one.parent.span_id for one in runs] == [sent.context.span_id] * 2
    assert {one.context.trace_id for one in runs} == {sent.context.trace_id}
    assert [links(one) for one in runs] == [{one.context.span_id} for one in engines]
    assert [one.status.status_code for one in runs] == [StatusCode.ERROR, StatusCode.UNSET]


@isolated
def test_spans_are_named_by_the_conventions(url: str, told: Told) -> None:
    """Item 3: the verb and the routine, and the attributes of messaging."""

    async def work() -> None:
        async with opened(url) as queue:
            await greet.on(key="k").submit("a")
            await finish(queue)

    run(work())
    (sent,), (process,) = submitted(told), ran(told)
    name = "tests.background.routines.greet"

    assert (sent.name, process.name) == (f"send {name}", f"process {name}")
    for span, verb in ((sent, "send"), (process, "process")):
        found = span.attributes or {}
        assert found["messaging.system"] == "docket"
        assert found["messaging.operation.name"] == verb
        assert found["messaging.operation.type"] == verb
        assert found["messaging.destination.name"] == name
        assert found["messaging.message.id"] == "k"


@isolated
def test_numbers_of_tasks(url: str, told: Told) -> None:
    """Item 7: submissions, runs by how they ended, and how old their snapshots were."""

    async def work() -> None:
        async with opened(url) as queue:
            await greet.on(key="k", when=SOON).submit("a")
            await greet.on(key="k").submit("b")
            await fail.submit("a text")
            await park()
            await finish(queue)

    run(work())
    submissions = told.numbers("catena.background.submitted")
    runs = {
        dict(labels)["catena.outcome"]: number
        for labels, number in told.numbers("catena.background.runs").items()
        if number
    }

    assert submissions[("catena.outcome", "added"),] == 4
    assert submissions[("catena.outcome", "present"),] == 1
    assert (runs["done"], runs["failed"], runs["parked"] >= 1) == (3, 1, True)
