"""The refusals that a process keeps."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from catena.errors import CredentialsError, PeerRefused, ProtocolError, VersionRefused
from catena.events import (
    CallNacked,
    CallRefused,
    CredentialsFailed,
    HandshakeFailed,
    PeerAccessRefused,
    PeerVersionRefused,
    ProtocolBroken,
    RecordRefused,
    announced,
    kept,
)
from catena.events.bus import Event, announce

STRANGER = "it does not know this pool's secret, so it was not started by this pool"
SAID: list[tuple[Event, tuple[str, str, str]]] = [
    (
        PeerVersionRefused(VersionRefused(local="1.0", remote="2.0"), "w9"),
        ("", "w9", "protocol 1.0 here and 2.0 there do not work together; upgrade the local side"),
    ),
    (PeerAccessRefused(PeerRefused(peer="mallory", reason="no")), ("", "mallory", "no")),
    (PeerAccessRefused(PeerRefused(peer="me"), "w1"), ("w1", "me", STRANGER)),
    (ProtocolBroken(ProtocolError(reason="it lies"), "w2", 7), ("", "w2", "it lies")),
    (CredentialsFailed(CredentialsError(where="/c", cause="gone")), ("", "/c", "gone")),
    (CallNacked("shop.buy", "w1", "BUSY"), ("w1", "", "a call of shop.buy: busy")),
    (
        CallRefused("shop.buy", "caller", "FORBIDDEN"),
        ("", "caller", "a call of shop.buy: forbidden"),
    ),
    (
        HandshakeFailed("h:1"),
        ("", "a peer at h:1", "its handshake failed, or it said nothing after it"),
    ),
    (RecordRefused("w3", "h:2", "w4"), ("", "w3", "the record for h:2 names w4")),
]


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    """Begin and end without any."""
    kept._kept.clear()
    yield
    kept._kept.clear()


@pytest.mark.parametrize(("event", "ends"), SAID, ids=lambda one: type(one).__name__)
def test_a_refusal_says_by_whom_whom_and_why(
    event: Event, ends: tuple[str, str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Empty is the process itself; the kind is the event's name."""
    monkeypatch.setattr(kept.time, "time", lambda: 12.5)

    announce(event)

    assert kept.list_refusals() == (kept.Refusal(type(event).__name__, *ends, 1, 12.5),)


def test_every_kind_is_read() -> None:
    """No event counts as a refusal that the table above does not show."""
    assert {type(event) for event, _ in SAID} == set(kept.KINDS)


def test_what_happens_again_is_counted() -> None:
    """A peer that comes back all the time leaves the others in sight; the latest stands last."""
    announce(CallNacked("a", "w1", "DRAINING"))
    for _ in range(1000):
        announced(PeerRefused(peer="mallory", reason="no"))
    announce(CallNacked("a", "w1", "DRAINING"))

    found = [(one.whom, one.times) for one in kept.list_refusals()]
    assert found == [("mallory", 1000), ("", 2)]


def test_the_last_ones_are_kept() -> None:
    """Of more than there is room for, the oldest is forgotten."""
    for number in range(kept.KEPT + 10):
        announced(PeerRefused(peer=f"p{number}", reason="no"))

    found = kept.list_refusals()
    assert (len(found), found[0].whom, found[-1].whom) == (kept.KEPT, "p10", f"p{kept.KEPT + 9}")


def test_a_call_that_is_sent_whole_is_none() -> None:
    """Nobody was refused by a worker that has forgotten a function."""
    announce(CallNacked("a", "w1", "UNKNOWN"))
    announce(CallRefused("a", "caller", "UNKNOWN"))

    assert kept.list_refusals() == ()


def test_texts_of_peers_command_no_terminal() -> None:
    """Bad input: what a peer calls itself is escaped, and cut."""
    announced(PeerRefused(peer="\x1b[2J\n", reason="x" * 10_000))

    (found,) = kept.list_refusals()
    assert found.whom == "\\x1b[2J\\n"
    assert len(found.reason) < 600


@pytest.mark.parametrize(
    ("kind", "reason", "passing"),
    [
        ("CallNacked", "a call of x: busy", True),
        ("CallRefused", "a call of x: draining", True),
        ("CallRefused", "a call of x: forbidden", False),
        ("PeerAccessRefused", "it is: busy", False),
    ],
)
def test_a_call_for_another_worker_is_nothing_wrong(kind: str, reason: str, passing: bool) -> None:
    """A worker that is busy, or stops, leaves calls to others."""
    assert kept.Refusal(kind, "", "x", reason, 1, 0.0).is_passing is passing


def test_a_forked_child_keeps_its_own() -> None:
    """It has refused nobody yet, and its lock is free even where it was held."""
    announced(PeerRefused(peer="mallory", reason="no"))
    with kept._lock:
        child = os.fork()
        if not child:
            os._exit(len(kept.list_refusals()))
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert len(kept.list_refusals()) == 1
