"""Silence costs attribute tests: nobody listens, so no event is built and no clock is read."""

from __future__ import annotations

import ast
import contextvars
from collections.abc import Iterator
from typing import Any

import pytest

from catena import events, telemetry
from catena.events import bus
from catena.events.bus import Event, Operation, observe, subscribe
from tests.house.imports import modules
from tests.support import Looking, run
from tests.telemetry.always import ALWAYS
from tests.telemetry.story import story

KINDS = [
    kind
    for kind in (getattr(events, name) for name in events.__all__)
    if isinstance(kind, type) and issubclass(kind, Event)
]
FACTS = [kind for kind in KINDS if not issubclass(kind, Operation)]
OPERATIONS = [kind for kind in KINDS if issubclass(kind, Operation)]
NAMES = {kind.__name__ for kind in KINDS}

# Announced by the story itself, where no code of ours asks whether somebody listens.
ANNOUNCED = {
    "CallRetried",
    "ForwardDropped",
    "KeysUndeclared",
    "EntryLost",
    "WorkerStarted",
    "WorkerExited",
    "WorkerReplaced",
    "LogRecordsDropped",
    "WorkerSuspected",
    "WorkerRecovered",
    "WorkerGivenUp",
    "RoutineOverran",
    "WorkerJoined",
    "WorkerLeft",
    "RecordRefused",
    "HandshakeFailed",
    "TaskSubmission",
    "TaskRun",
    "ValueExpired",
}


def built(files: dict[str, str]) -> list[str]:
    """Return where an event is built in a function that does not ask who wants to know."""
    found: list[str] = []
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            calls = {
                one.func.id
                for one in ast.walk(node)
                if isinstance(one, ast.Call) and isinstance(one.func, ast.Name)
            }
            asks = {
                one.value.id
                for one in ast.walk(node)
                if isinstance(one, ast.Attribute)
                and one.attr in ("listeners", "observers")
                and isinstance(one.value, ast.Name)
            }
            found += [f"{name}.{node.name} builds {one}" for one in (calls & NAMES) - asks]
    return sorted(found)


def test_an_event_is_built_where_somebody_listens() -> None:
    """The seam: whoever builds an event has asked first, in the same function or in its caller."""
    asked_by_the_caller = {
        "catena.transfer.mount._announce_mount builds Mount",
        "catena.transfer.mount._announce_undeclared builds KeysUndeclared",
        "catena.dispatch.caller.exchange.begin_dispatch builds Dispatch",
        "catena.dispatch.worker.observation.__init__ builds Execution",
        # Built when an observer asks an execution for it.
        "catena.events.operations.lease builds Lease",
    }
    assert set(built(modules())) == asked_by_the_caller


def test_the_check_finds_what_is_built_unasked() -> None:
    """The check fails on a function that announces without asking."""
    bad = "def f():\n    announce(TokenReset(1, 2, 3))\n"
    fine = "def f():\n    if TokenReset.listeners:\n        announce(TokenReset(1, 2, 3))\n"
    assert built({"catena.bad": bad, "catena.fine": fine}) == ["catena.bad.f builds TokenReset"]


@pytest.fixture(autouse=True)
def nobody_listens() -> Iterator[None]:
    """Neither spans nor metrics nor logs of calls, whatever loggers there are."""
    telemetry.install(detail="off")
    yield
    telemetry.uninstall()


def test_no_event_is_built_when_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """The budget: calls, streams, forks, resets, refusals and beats build no event."""
    assert {kind for kind in FACTS if kind.listeners} == ALWAYS
    assert [kind for kind in OPERATIONS if kind.observers] == []
    made: list[str] = []
    for kind in KINDS:
        if kind.__name__ not in ANNOUNCED:
            monkeypatch.setattr(kind, "__init__", _noting(kind, made))
    clock: list[int] = []
    monkeypatch.setattr(bus, "perf_counter_ns", lambda: clock.append(1) or len(clock))

    contextvars.Context().run(run, story())
    assert set(made) <= {kind.__name__ for kind in ALWAYS}
    assert clock == []

    with subscribe(lambda _: None, *FACTS), observe(Looking(), *OPERATIONS):
        contextvars.Context().run(run, story())
    assert set(made) == NAMES - ANNOUNCED
    assert clock


def _noting(kind: type, made: list[str]) -> Any:
    original = kind.__init__

    def noted(self: Any, *args: Any, **options: Any) -> None:
        made.append(kind.__name__)
        original(self, *args, **options)

    return noted
