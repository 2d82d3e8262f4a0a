"""The snapshot: frozen, one JSON text, opened only when all of it holds."""

from __future__ import annotations

import contextvars
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.background import TaskContextSnapshot, current_task_key
from catena.background.mounting import RunningTask, mount_task
from catena.background.persistence import declare_persistence, persisted
from catena.events import SnapshotRefused
from tests.release.kept import COMPAT

user: catena.ContextVar[str] = catena.ContextVar("user", namespace="snapshot", default="nobody")
token: catena.ContextVar[str] = catena.ContextVar("token", namespace="snapshot", default="none")

SECRET, OTHER = b"s" * 32, b"o" * 32
GOLDEN = Path(__file__).parent / "golden"
SNAPSHOTS = sorted(COMPAT.glob("*/snapshot*.json"))
"""One in clear text and one that is encrypted, of each release since 0.3.0."""


def captured(**kwargs: Any) -> TaskContextSnapshot:
    """A snapshot of a context in which somebody is logged in."""

    def capture() -> TaskContextSnapshot:
        user.set("ada")
        token.set("t0k3n")
        return TaskContextSnapshot.capture("invoice-7", "shop.send", **kwargs)

    return contextvars.Context().run(capture)


def refused(text: str, **kwargs: Any) -> str:
    """Return the fault for which a text is refused."""
    with pytest.raises(catena.SnapshotError) as caught:
        TaskContextSnapshot.from_json(text, **kwargs)
    return caught.value.fault


def changed(text: str, **facts: Any) -> str:
    """Return a text that somebody has changed; None takes a fact away."""
    body = {**json.loads(text), **facts}
    return json.dumps({name: fact for name, fact in body.items() if fact is not None})


def test_a_snapshot_is_frozen() -> None:
    """B1: nobody changes what a task gets after it was captured."""
    with pytest.raises(dataclasses.FrozenInstanceError):
        captured().task_key = "other"  # type: ignore[misc]


def test_a_submission_is_a_fork() -> None:
    """B2: the runs fork from a fresh chain, whose parent is the submitter's."""

    def capture() -> tuple[bytes, TaskContextSnapshot]:
        user.set("ada")
        return catena_chain(), TaskContextSnapshot.capture("k", "f")

    chain, snapshot = contextvars.Context().run(capture)

    assert snapshot.parent_id == chain
    assert len(snapshot.chain_id) == 16
    assert snapshot.chain_id != chain


def catena_chain() -> bytes:
    """The id of the current chain."""
    from catena.context.chain import current

    chain = current.get()
    assert chain is not None
    return chain.id


@pytest.mark.parametrize("sealing", [{}, {"key": SECRET}, {"key": SECRET, "encrypt": True}])
def test_what_is_written_is_what_is_read(sealing: dict[str, Any]) -> None:
    """B1: the facts and the values come back, openly, under a MAC and encrypted."""
    snapshot = captured()
    text = snapshot.to_json(**sealing)

    read = TaskContextSnapshot.from_json(text, key=sealing.get("key"), task_key="invoice-7")

    assert read == snapshot
    assert read.values == {("snapshot", "user"): "ada", ("snapshot", "token"): "t0k3n"}


def test_encrypted_values_cannot_be_read_in_the_store() -> None:
    """B7: neither as they are nor in base64, whereas those of a plain snapshot can."""
    import base64

    snapshot = captured()
    plain = base64.b64decode(json.loads(snapshot.to_json())["manifest"])
    sealed = json.loads(snapshot.to_json(key=SECRET, encrypt=True))

    assert b"t0k3n" in plain
    assert "manifest" not in sealed
    assert b"t0k3n" not in base64.b64decode(sealed["sealed"])


@pytest.mark.parametrize(
    "facts",
    [
        {"task": "other"},
        {"submission": "0" * 32},
        {"captured_at": 1.0},
        {"producer": "9.9.9"},
        {"manifest": "aGVsbG8="},
        {"mac": "0" * 64},
        {"mac": None},
        {"mac": 7},
    ],
    ids=str,
)
def test_a_forged_snapshot_is_refused(facts: dict[str, Any]) -> None:
    """B7: whatever of it was changed, its MAC does not fit, and nothing is unpickled."""
    text = captured().to_json(key=SECRET)

    assert refused(changed(text, **facts), key=SECRET) == "unauthenticated"


def test_one_under_another_secret_is_refused() -> None:
    """B7: and one that has none, where the queue has a secret."""
    snapshot = captured()

    assert refused(snapshot.to_json(key=OTHER), key=SECRET) == "unauthenticated"
    assert refused(snapshot.to_json(), key=SECRET) == "unauthenticated"


def test_secrets_can_be_changed() -> None:
    """B7: the first secret writes, and all of them read."""
    snapshot = captured()
    text = snapshot.to_json(key=(OTHER, SECRET), encrypt=True)

    assert TaskContextSnapshot.from_json(text, key=(SECRET, OTHER)) == snapshot
    assert refused(text, key=SECRET) == "unauthenticated"


def test_an_encrypted_one_needs_its_secret() -> None:
    """B6: without any it cannot be decrypted, and that is said."""
    text = captured().to_json(key=SECRET, encrypt=True)

    assert refused(text) == "undecryptable"


def test_a_sealed_part_of_another_snapshot_does_not_fit() -> None:
    """B7: what is encrypted holds for the facts beside it alone."""
    mine, other = (json.loads(captured().to_json(key=SECRET, encrypt=True)) for _ in range(2))
    mixed = {**mine, "sealed": other["sealed"]}
    del mixed["mac"]
    from catena.background.sealing import Secrets

    body = json.dumps(mixed, sort_keys=True, separators=(",", ":")).encode()
    mixed["mac"] = Secrets(SECRET).sign(body)

    assert refused(json.dumps(mixed), key=SECRET) == "undecryptable"


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "unreadable"),
        ("[]", "unreadable"),
        ("[" * 100_000, "unreadable"),
        ('{"schema": "1"}', "unreadable"),
        ('{"schema": 1}', "unreadable"),
        ('{"schema": 1, "task": "k", "submission": "s"}', "unreadable"),
        ('{"schema": 2, "producer": "0.9.0"}', "newer"),
        ('{"access_token": "x"}', "legacy"),
    ],
    ids=["empty", "list", "deep", "text", "bare", "few", "newer", "without"],
)
def test_what_is_no_snapshot_is_refused(text: str, fault: str) -> None:
    """B6: bad input, each kind by its own word."""
    assert refused(text) == fault


@pytest.mark.parametrize("bad", ["!", "aGVsbG8", 7, None])
def test_values_that_are_no_manifest_are_refused(bad: Any) -> None:
    """B6: bad input in the place of the values."""
    assert refused(changed(captured().to_json(), manifest=bad)) == "unreadable"


def test_one_of_another_task_is_refused() -> None:
    """B3: the snapshot is tagged with its task and its submission."""
    snapshot = captured()
    text = snapshot.to_json()

    assert refused(text, task_key="invoice-8") == "stale"
    assert refused(text, task_key="invoice-7", submission="0" * 32) == "stale"
    TaskContextSnapshot.from_json(text, task_key="invoice-7", submission=snapshot.submission)


@pytest.mark.parametrize(("schema", "fault"), [(0, "legacy"), (2, "newer")])
def test_a_golden_snapshot_of_another_schema_is_refused(schema: int, fault: str) -> None:
    """V3, B6: whatever becomes of the source."""
    assert refused((GOLDEN / f"schema-{schema}.json").read_text(), key=SECRET) == fault


@pytest.mark.parametrize("path", SNAPSHOTS, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_the_golden_snapshots_of_releases_mean_what_they_meant(path: Path) -> None:
    """V3: what a release has stored is read as ever, whatever becomes of the source."""
    snapshot = TaskContextSnapshot.from_json(path.read_text(), key=SECRET, task_key="invoice-7")

    assert snapshot.values == {("snapshot", "user"): "ada"}
    assert snapshot.carrier == {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}
    assert (snapshot.producer, snapshot.captured_at) == (path.parent.name, 1796000000.25)
    assert snapshot.chain_id == bytes(range(16))


def test_there_are_golden_snapshots() -> None:
    """These tests looked at something."""
    assert len(SNAPSHOTS) >= 2


def test_a_value_that_is_never_stored_is_left_out() -> None:
    """B1: a cookie goes nowhere, and no word is said of it; others go along."""
    declare_persistence(token.key, persist="never")
    try:
        values = captured().values
    finally:
        del persisted[token.key]

    assert values == {("snapshot", "user"): "ada"}


def test_a_value_that_is_stored_encrypted_only() -> None:
    """B7: it is left out with a warning where the queue does not encrypt, and failing if strict."""
    declare_persistence(token.key, persist="encrypted")
    try:
        with pytest.warns(catena.SerializationWarning, match="encrypted only"):
            values = captured().values
        sealed = captured(encrypts=True).values
        with pytest.raises(catena.ChainSerializationError, match="encrypted only"):
            captured(strict=True)
    finally:
        del persisted[token.key]

    assert token.key not in values
    assert sealed[token.key] == "t0k3n"


@pytest.mark.parametrize(
    ("bad", "error"),
    [(b"", ValueError), (b"short", ValueError), ((), ValueError), (("s" * 32,), TypeError)],
)
def test_a_bad_secret_is_refused(bad: Any, error: type[Exception]) -> None:
    """B7: where it is given, and not when the first task fails."""
    with pytest.raises(error):
        captured().to_json(key=bad)


def test_encrypting_needs_a_secret() -> None:
    """B7: it does not silently write in clear text."""
    with pytest.raises(ValueError, match="needs a secret"):
        captured().to_json(encrypt=True)


def test_the_mount_is_total() -> None:
    """B3: what was set before is gone in the task, and what the task set is gone after it."""
    snapshot = contextvars.Context().run(
        lambda: (user.set("ada"), TaskContextSnapshot.capture("k", "f"))[1]
    )

    def run() -> list[Any]:
        user.set("grace")
        token.set("hers")
        seen: list[Any] = [current_task_key()]
        task = RunningTask("k", "f", "q", 1, snapshot.submission, snapshot)
        with mount_task(task, strict=False, is_child=False):
            seen += [user.get(), token.get(), current_task_key()]
            token.set("mine")
        seen += [user.get(), token.get(), current_task_key()]
        with mount_task(RunningTask("l", "f", "q"), strict=False, is_child=False):
            seen += [user.get(), token.get(), current_task_key()]
        return seen

    assert contextvars.Context().run(run) == [
        *(None, "ada", "none", "k"),
        *("nobody", "none", None),
        *("nobody", "none", "l"),
    ]


def test_each_run_has_a_chain_of_its_own() -> None:
    """B2: two runs of one task, as after a crash, are two chains with one parent."""
    snapshot = captured()
    task = RunningTask("k", "f", "q", 1, snapshot.submission, snapshot)

    def run() -> tuple[bytes, bytes]:
        from catena.context.chain import current

        with mount_task(task, strict=False, is_child=False):
            chain = current.get()
            assert chain is not None
            return chain.id, chain.parent

    runs = [contextvars.Context().run(run) for _ in range(2)]

    assert {parent for _, parent in runs} == {snapshot.chain_id}
    assert len({id for id, _ in runs}) == 2


def test_an_expired_value_is_not_mounted() -> None:
    """Item 4: it is judged when the task begins, announced, and no other value goes with it."""
    from catena.events import ValueExpired
    from catena.testing import recording

    snapshot = captured()
    declare_persistence(token.key, has_expired=lambda value: value == "t0k3n")
    task = RunningTask("k", "f", "q", 1, snapshot.submission, snapshot)

    def run() -> tuple[str, str]:
        with mount_task(task, strict=False, is_child=False):
            return user.get(), token.get()

    try:
        with recording() as record:
            seen = contextvars.Context().run(run)
    finally:
        del persisted[token.key]

    assert seen == ("ada", "none")
    assert record.of(ValueExpired) == [ValueExpired(token.key, "k", "f")]


def test_a_refused_snapshot_says_what_follows() -> None:
    """B6: the event has the fault in one word, and what becomes of the task."""
    error = catena.SnapshotError(task="k", fault="missing", cause="it has expired")
    tolerated, failing = (SnapshotRefused(error, "f", "q", one) for one in (True, False))

    assert (tolerated.fault, tolerated.follows) == ("missing", "the task runs without context")
    assert failing.follows == "the task fails"
