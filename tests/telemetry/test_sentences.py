"""Sentences: every record of the catalog reads as one, with its facts in the text."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
from collections.abc import Iterator
from typing import Any

import pytest

import catena
from catena import events
from catena.events.bus import Event, announce
from catena.telemetry import sentences
from catena.telemetry.catalog import CATALOG
from catena.telemetry.logs import name_of
from catena.telemetry.sentences import PHRASES, Shown
from tests.support import isolated, run
from tests.telemetry.sdk import telling
from tests.telemetry.story import story

LOGS = [(log, row) for row in CATALOG for log in row.logs]
NAMED = re.compile(r"%\(([\w.]+)\)")
UNREADABLE = re.compile(r"None|\{|\}|%\(|unknown|  | [.,:;]|[,:;]$|^\s|\s$")
"""What stands in no sentence: facts that are not there, signs of templates, gaps."""

ODD = "a\nb\x1b[2J"
TEN = ", ".join(f"a:{at}" for at in range(10))
OUTSIDE = "code outside of any task"
WITHIN = {"message"}
"""Phrases that stand in other phrases as well."""


def find_unreadable(text: str) -> list[str]:
    """Return what makes a text no sentence."""
    return UNREADABLE.findall(text)


@pytest.fixture(scope="module", params=[False, True], ids=["classes", "messages"])
def records(request: pytest.FixtureRequest) -> Iterator[list[logging.LogRecord]]:
    """The records of the story, with and without the messages of errors."""
    with telling(audit=True, record_messages=request.param) as told:
        contextvars.copy_context().run(run, story())
        yield told.records


def written(*facts: Event, **options: Any) -> list[logging.LogRecord]:
    """Announce facts; return their records."""
    with telling(audit=True, **options) as told:
        for fact in facts:
            announce(fact)
    return told.records


def said(*facts: Event, **options: Any) -> list[str]:
    """Announce facts; return the messages of their records."""
    return [one.getMessage() for one in written(*facts, **options)]


@pytest.mark.parametrize(("log", "row"), LOGS, ids=[log.name for log, _ in LOGS])
def test_every_record_is_a_sentence(log: Any, row: Any, records: list[logging.LogRecord]) -> None:
    """The catalog: each record of the story reads as a sentence, and says more than its name."""
    found = [one.getMessage() for one in records if name_of(one) == log.name]

    assert found
    assert {text: bad for text in found if (bad := find_unreadable(text))} == {}
    assert all(len(text.split()) > 3 for text in found)
    assert not any(log.name in text for text in found)


@pytest.mark.parametrize(
    "bad", ["worker None", "worker  a", "it failed:", "in {routine}", "worker unknown", " a", "a ;"]
)
def test_the_check_finds_what_is_no_sentence(bad: str) -> None:
    """The check fails on missing facts, on templates and on gaps."""
    assert find_unreadable(bad)


def test_sentences_use_known_words() -> None:
    """The catalog: a sentence names attributes of its row, and phrases; every phrase is used."""
    phrases: set[str] = set()
    for log, row in LOGS:
        names = set(NAMED.findall(log.sentence))
        assert names - set(row.attributes) <= set(PHRASES), log.name
        phrases |= names & set(PHRASES)

    assert phrases | WITHIN == set(PHRASES)


def test_a_sentence_is_made_when_a_handler_asks_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cost: a record holds the template and its facts; nothing is shown that nobody reads."""
    shown: list[str] = []

    def note(text: str) -> str:
        shown.append(text)
        return text

    monkeypatch.setattr(sentences, "printable", note)
    # Where pytest's own handlers would ask.
    monkeypatch.setattr(logging.getLogger("catena"), "propagate", False)
    (record,) = written(events.ForwardDropped(("shop", "user")))

    assert (record.msg, shown) == (_sentence("catena.forward.dropped"), [])
    assert "shop:user" in record.getMessage()
    assert shown == ["shop:user"]


def _sentence(name: str) -> str:
    (found,) = [log.sentence for log, _ in LOGS if log.name == name]
    return found


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (events.LinkClosed("", None), "the link to a peer was closed"),
        (
            events.LinkClosed("w1", ConnectionResetError("gone")),
            "the link to w1 was closed, because of ConnectionResetError",
        ),
        (events.LinkOpened("w1", "1.0", ""), "the link to w1 is up"),
        (
            events.LinkOpened("w1", "1.0", "1", "1.1", ("pings", "plain")),
            "the link to w1 is up, with version 1 and protocol 1.0 there, which lacks pings, plain",
        ),
        (events.WorkerExited("w1", 3, 0), "worker w1 (process 3) is gone"),
        (events.WorkerReplaced("w1", "w2", ""), "worker w2 has taken the place of worker w1"),
        (
            events.TokenReset(("a", "b"), b"t" * 16, "used"),
            f"variable a:b was not reset with token {'74' * 16}, which has been used",
        ),
        (
            events.TokenReset(("a", "b"), b"t" * 16, "orphan"),
            f"variable a:b was not reset with token {'74' * 16}, which was made in another context",
        ),
        (events.Unmounted(b""), "a chain was unmounted"),
        (
            events.KeysUndeclared(b"", tuple(("a", str(at)) for at in range(12))),
            f"a chain ended on a worker that does not declare {TEN} and 2 more",
        ),
        (
            events.SerializationFailed(catena.ChainSerializationError(cause="x")),
            "a chain could not be read: catena.errors.ChainSerializationError",
        ),
        (
            events.ContentionRefused(
                catena.ChainContention(chain_id="c1", kind="thread", owner_thread=1, thread=2)
            ),
            "chain c1 was refused to thread 2, because thread 1 runs it",
        ),
        (
            events.ContentionRefused(catena.ChainContention(chain_id="c1", kind="task")),
            f"chain c1 was refused to {OUTSIDE}, because {OUTSIDE} runs it",
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
def test_facts_that_are_missing_leave_a_sentence(fact: Event, text: str) -> None:
    """The catalog: without a peer, a reason, a chain or a task the text still reads."""
    (message,) = said(fact)

    assert message.startswith(text)
    if not isinstance(fact, events.LinkOpened):
        assert (message, find_unreadable(message)) == (text, [])


@isolated
@pytest.mark.parametrize(
    ("error", "ending"),
    [
        (None, "is done"),
        (asyncio.CancelledError(), "was cancelled"),
        (GeneratorExit(), "was abandoned"),
        (KeyError("a secret"), "failed with KeyError"),
    ],
    ids=["done", "cancelled", "abandoned", "failed"],
)
def test_a_call_says_how_it_ended(error: BaseException | None, ending: str) -> None:
    """The catalog: a call that was sent to nobody, in each way in which it can end."""
    with telling(audit=True) as told:
        dispatch = events.Dispatch("shop.pay", False)
        dispatch.begin()
        dispatch.end(error)

    (record,) = told.records
    assert record.getMessage() == f"a call of routine shop.pay {ending}"


def test_texts_of_errors_are_there_on_request_only() -> None:
    """Values: the text of an error is in the sentence where messages are recorded."""
    lost = events.EntryLost(("a", "b"), True, "a secret")

    (without,), (with_it,) = said(lost), said(lost, record_messages=True)
    assert without == "variable a:b was left out, because it could not be sent"
    assert with_it == f"{without}: a secret"


def test_what_others_say_is_escaped() -> None:
    """Bad input: names of workers, routines, variables, causes and stacks forge no line."""
    facts: list[Event] = [
        events.CallNacked(ODD, ODD, "BUSY"),
        events.EntryLost((ODD, ODD), True, ODD),
        events.KeysUndeclared(b"l" * 16, ((ODD, ODD),)),
        events.WorkerExited("w1", 3, 1, ODD, ODD),
        events.ContentionRefused(
            catena.ChainContention(chain_id="c1", kind="task", owner_task=ODD, task=ODD)
        ),
        events.LinkClosed(ODD, ConnectionError(ODD)),
    ]
    for message in said(*facts, record_messages=True):
        assert message.isprintable(), message
        assert r"a\nb\x1b[2J" in message

    suspected = events.WorkerSuspected("w1", 3, 2.5, "it is blocked", "  in main\n  in \x1b[2J")
    (message,) = said(suspected)
    assert message.splitlines()[1:] == ["  in main", r"  in \x1b[2J"]


def test_an_unknown_fact_costs_no_record() -> None:
    """A fact that is not there is called unknown: a handler gets a text in any case."""
    record = logging.makeLogRecord({"msg": "worker %(catena.worker.id)s", "args": Shown({})})

    assert record.getMessage() == "worker unknown"
