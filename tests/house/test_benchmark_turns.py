"""The turns of the benchmark's clients: their words, their order, and clients that go wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import IO

import pytest

from tests.benchmarks import clients, conversation, plan
from tests.benchmarks.clients import Block
from tests.benchmarks.conversation import Client, run_turns
from tests.benchmarks.plan import (
    BYTES_BACK,
    BYTES_OUT,
    KINDS,
    NONE,
    P50,
    RATE_100,
    VALUE_METRICS,
    VARIABLES,
    BenchmarkError,
    Settings,
)
from tests.benchmarks.report_variables import METHOD, row
from tests.benchmarks.systems.client import given
from tests.benchmarks.systems.variables_client import LEAST
from tests.benchmarks.turns import (
    ALONE,
    ANSWERS,
    COMPARED,
    END,
    MANY,
    ROUNDS,
    VALUES,
    VALUES_SECONDS,
    Slice,
    Turn,
    parse,
    slices,
)
from tests.support import run

SETTINGS = Settings(repeats=2, seconds=0.4, seed=7, sections=(VARIABLES,))
ROWS = plan.variants(SETTINGS)
BARE = row(NONE)
BOUND = row(KINDS[1])

# A client that speaks as one must, but measures nothing; `{fault}` goes wrong in its turn.
PROGRAM = """
import json, os, signal, sys, time
def tell(event, **fields):
    print("@benchmark " + json.dumps(dict(event=event, **fields)), flush=True)
def sample(*metrics):
    for metric in metrics:
        tell("sample", metric=metric, value=1.0, count=1, seconds=0.1, raw=[])
print("nobody's business")
tell("facts", client_loop="asyncio", worker_loop="asyncio", limits="none")
tell("ready")
for line in sys.stdin:
    word = line.split()[0]
    if word == "rate":
        {fault}
    sample(*{answers}[word])
    if word == "end":
        break
"""
WELL = "pass"


def program(fault: str) -> list[str]:
    """The command line of a client with that fault."""
    return [sys.executable, "-c", PROGRAM.format(fault=fault, answers=ANSWERS)]


@contextmanager
def client(fault: str, timeout: float = 20) -> Iterator[Client]:
    """A client that is ready, and gone afterwards."""
    one = Client(Block(1, BOUND, 0.1, timeout), program(fault))
    try:
        one.await_ready()
        yield one
    finally:
        clients.end(one.process)
        one.close()


def test_a_turn_is_a_line_and_a_line_a_turn() -> None:
    """What one side writes is what the other reads."""
    for turn in (Turn(ALONE, 0.05), Turn(MANY, 0.15), Turn(VALUES, 10), Turn(END)):
        assert parse(f"{turn}\n") == turn


@pytest.mark.parametrize(
    "line",
    [
        *("", "p50", "p50 0", "p50 -1", "p50 nan", "p50 inf", "p50 11", "p50 x", "p50 1 2"),
        *("end 1", "END", "rates 1", "1 p50"),
    ],
)
def test_nonsense_is_no_turn(line: str) -> None:
    """The error says what a turn is, and what was read instead."""
    with pytest.raises(ValueError, match="a turn is p50, rate or values") as caught:
        parse(line)
    assert repr(line) in str(caught.value)


def test_each_round_gives_every_row_a_turn_at_one_metric_then_at_the_next() -> None:
    """What is compared lies together; the values are told by those that have some."""
    found = slices(ROWS, SETTINGS, 1)
    groups = [list(group) for _, group in groupby(found, lambda one: (one.round, one.turn))]
    valued = [one for one in ROWS if one != BARE]

    assert len(groups) == 3 * ROUNDS
    assert {one.round for one in found} == set(range(1, ROUNDS + 1))
    turns = Turn(ALONE, 0.05), Turn(MANY, 0.1), Turn(VALUES, VALUES_SECONDS)
    assert {group[0].turn for group in groups} == set(turns)
    for group in groups:
        rows = valued if group[0].turn.word == VALUES else ROWS
        assert sorted(one.row for one in group) == sorted(rows)


def test_the_order_of_the_turns_is_drawn_for_each_round_and_repeat() -> None:
    """The same seed gives the same orders, another seed and another repeat give others."""
    found = slices(ROWS, SETTINGS, 1)
    groups = [
        tuple(one.row for one in group)
        for _, group in groupby(found, lambda one: (one.round, one.turn))
    ]

    assert found == slices(ROWS, SETTINGS, 1)
    assert found != slices(ROWS, SETTINGS, 2)
    assert found != slices(ROWS, replace(SETTINGS, seed=8), 1)
    assert len(set(groups)) > 2


def test_the_page_says_how_long_and_how_often() -> None:
    """The words of the page are those of the numbers."""
    words = " ".join(line.strip() for line in METHOD)

    assert {1 / 8: "an eighth", 1 / 4: "a quarter"}[COMPARED[ALONE]] + " of it with one" in words
    assert {1 / 8: "an eighth", 1 / 4: "a quarter"}[COMPARED[MANY]] + " of it with 100" in words
    assert {6: "six rounds", 8: "eight rounds"}[ROUNDS] in words
    assert {2: "two calls of each task"}[LEAST] in words
    assert {1 / 50: "a fiftieth of a second in each round"}[VALUES_SECONDS] in words


def test_all_turns_together_answer_every_metric_of_a_row() -> None:
    """What a row is to tell is what its turns tell."""
    for one in ROWS:
        turns = {place.turn for place in slices(ROWS, SETTINGS, 1) if place.row == one}
        told = {metric for turn in (*turns, Turn(END)) for metric in turn.metrics}
        assert told == set(one.metrics)


def test_turns_become_samples_of_their_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clients live at the same time; both are gone at the end."""
    started = watched(monkeypatch, [WELL, WELL])
    order = [
        Slice(BARE, Turn(ALONE, 0.1), 1),
        Slice(BOUND, Turn(MANY, 0.1), 1),
        Slice(BOUND, Turn(VALUES, 0.1), 1),
    ]

    found = run_turns(Path(), [Block(3, one, 0.1, 20) for one in (BARE, BOUND)], order)

    assert [(one.round, one.variant, one.metric) for one in found] == [
        (1, BARE, P50),
        (1, BOUND, RATE_100),
        *((1, BOUND, metric) for metric in VALUE_METRICS),
        *((plan.ONCE, one, metric) for one in (BARE, BOUND) for metric in (BYTES_OUT, BYTES_BACK)),
    ]
    assert {one.repeat for one in found} == {3}
    assert [process.returncode for process in started] == [0, 0]


def test_a_client_that_dies_ends_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that died is named with its reason; nobody is left."""
    started = watched(monkeypatch, [WELL, "sys.exit('the disk is full')"])
    blocks = [Block(1, one, 0.1, 20) for one in (BARE, BOUND)]

    with pytest.raises(BenchmarkError, match=r"str_10.*died, exit code 1: the disk is full"):
        run_turns(Path(), blocks, [Slice(BOUND, Turn(MANY, 0.1), 1)])

    assert len(started) == 2
    assert None not in [process.returncode for process in started]


def watched(monkeypatch: pytest.MonkeyPatch, faults: list[str]) -> list[subprocess.Popen[bytes]]:
    """Let the clients be programs with these faults; the processes that were started."""
    started: list[subprocess.Popen[bytes]] = []
    left = iter(faults)

    def start(arguments: list[str], *, stdin: int, errors: IO[bytes]) -> subprocess.Popen[bytes]:
        started.append(clients.start(arguments, stdin=stdin, errors=errors))
        return started[-1]

    monkeypatch.setattr(conversation, "start", start)
    monkeypatch.setattr(conversation, "command", lambda *_: program(next(left)))
    return started


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("os.kill(os.getpid(), signal.SIGKILL)", "the client died by SIGKILL: no reason"),
        ("tell('error', reason='WrongAnswer: sent 1, got 2'); sys.exit(1)", "sent 1, got 2"),
        ("os.close(1); time.sleep(60)", "the client closed its output"),
        ("word = 'p50'", "the answer to 'rate 0.1' were other samples"),
        ("tell('facts')", "it told 'facts' instead of 'sample'"),
    ],
)
def test_a_client_that_goes_wrong_is_reported(
    fault: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each way to go wrong has its own words, with the row's name before them."""
    monkeypatch.setattr(conversation, "GRACE", 0.2)
    with client(fault) as one, pytest.raises(BenchmarkError, match=f"str_10.*{reason}"):
        one.take(Turn(MANY, 0.1))


def test_a_silent_client_meets_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn has a deadline of its own, before that of the conversation."""
    with client("time.sleep(600)", timeout=600) as one:
        monkeypatch.setattr(conversation, "PATIENCE", 0.2)
        with pytest.raises(BenchmarkError, match=r"str_10.*no answer in time"):
            one.take(Turn(MANY, 0.1))


def test_a_conversation_has_a_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """However patient a turn is, the block's time is all there is; the client is ended, too."""
    started = watched(monkeypatch, ["time.sleep(600)"])

    with pytest.raises(BenchmarkError, match=r"str_10.*no answer in time"):
        run_turns(Path(), [Block(1, BOUND, 0.1, 2)], [Slice(BOUND, Turn(MANY, 0.1), 1)])

    assert [process.returncode for process in started] == [-signal.SIGTERM]


def test_a_client_that_is_gone_is_reported_when_its_turn_comes() -> None:
    """A pipe without a reader is no traceback."""
    with client(WELL) as one:
        one.take(Turn(END))
        one.process.wait(timeout=10)
        with pytest.raises(BenchmarkError, match="the client died, exit code 0"):
            one.take(Turn(MANY, 0.1))


def read(lines: bytes, monkeypatch: pytest.MonkeyPatch) -> list[Turn]:
    """The turns that a client reads from its stdin."""
    reading, writing = os.pipe()
    os.write(writing, lines)
    os.close(writing)

    async def work() -> list[Turn]:
        async with aclosing(given()) as turns:
            return [turn async for turn in turns]

    with os.fdopen(reading) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        return run(work(), loop="uvloop")


def test_a_client_reads_turns_up_to_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is not given to it, and nothing after it is read."""
    assert read(b"p50 0.1\nrate 0.2\nend\nnonsense\n", monkeypatch) == [
        Turn(ALONE, 0.1),
        Turn(MANY, 0.2),
    ]


def test_a_client_refuses_nonsense_and_a_runner_that_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with a reason, and does not wait for ever."""
    with pytest.raises(ValueError, match=r"not 'p5O 0\.1'"):
        read(b"p50 0.1\np5O 0.1\n", monkeypatch)
    with pytest.raises(RuntimeError, match="the runner was gone"):
        read(b"p50 0.1\n", monkeypatch)
