"""What is made of a survey: who refused whom, what is lost, and the order of the upgrade."""

from __future__ import annotations

import json
from typing import Any

import pytest

from catena.cli.diagnosis import (
    FIELDS,
    DeprecatedUse,
    Loss,
    Process,
    diagnose,
    plan_upgrade,
    read_version,
)
from catena.cli.doctor import render_parts, to_facts
from catena.cli.survey import Survey, SurveyedWorker
from catena.cli.tables import make_console
from catena.events.kept import Refusal
from catena.pool.recorded import RecordedPool, RecordedWorker
from catena.wire.lost import LOST
from catena.wire.status import LinkedPeer, WorkerStatus
from catena.wire.versions import CAPABILITIES, SOFTWARE

OLD = ("delta", "names")
PID = 4711


def make_status(worker: str, **facts: Any) -> WorkerStatus:
    """Return the status of a worker of this release."""
    made = WorkerStatus(worker, f"/{worker}", "ready", 1, 1.0, (1, 0), SOFTWARE, CAPABILITIES)
    return made._replace(**facts)


def make_worker(name: str, **facts: Any) -> SurveyedWorker:
    """Return a worker that has answered."""
    return SurveyedWorker(f"unix:/{name}", "ready", status=make_status(name, **facts))


def make_pool(*workers: RecordedWorker, refusals: tuple[Refusal, ...] = ()) -> RecordedPool:
    """Return a pool of this release."""
    return RecordedPool(
        "ab", PID, "shop", None, SOFTWARE, "1.0", CAPABILITIES, workers=workers, refusals=refusals
    )


def parent() -> LinkedPeer:
    """Return what a worker of the pool sees of it."""
    return LinkedPeer(f"parent-{PID}", PID, (1, 0), SOFTWARE, CAPABILITIES)


def test_nothing_is_wrong_among_processes_of_one_release() -> None:
    """A pool and its worker have nothing to be told."""
    worker = make_worker("w1", peers=(parent(),))
    found = diagnose(Survey((worker,), (make_pool(),)))

    assert not found.finds_something
    assert found == ((), (), (), (), (), ())


def test_refusals_name_both_ends() -> None:
    """Who keeps a refusal is named in place of itself; the latest stands last."""
    at_worker = Refusal("PeerAccessRefused", "", "mallory", "no", 2, 20.0)
    at_pool = Refusal("CallNacked", "w1", "", "a call of x: forbidden", 1, 10.0)
    found = diagnose(
        Survey((make_worker("w1", refusals=(at_worker,)),), (make_pool(refusals=(at_pool,)),))
    )

    assert [(one.by, one.whom, one.times) for one in found.refusals] == [
        ("w1", f"pool shop (process {PID})", 1),
        ("w1", "mallory", 2),
    ]
    assert found.finds_something


def test_refusals_of_a_process_are_shown_once() -> None:
    """Each pool of a process has those of all of it in its record."""
    refusal = Refusal("CredentialsFailed", "", "/certs", "gone", 1, 10.0)
    pools = (make_pool(refusals=(refusal,)), make_pool(refusals=(refusal,))._replace(id="cd"))

    assert len(diagnose(Survey((), pools)).refusals) == 1


def test_a_worker_that_is_busy_is_nothing_wrong() -> None:
    """It is shown all the same."""
    busy = Refusal("CallRefused", "", "caller", "a call of x: busy", 9, 10.0)
    found = diagnose(Survey((make_worker("w1", refusals=(busy,)),), ()))

    assert (len(found.refusals), found.finds_something) == (1, False)


def test_an_older_caller_is_seen_by_its_workers() -> None:
    """It writes deprecated fields, lacks capabilities, and comes first in the order."""
    old = LinkedPeer("report", 7, (1, 0), "0.1.0", OLD, fields=True)
    found = diagnose(Survey((make_worker("w1", peers=(parent(), old)),), (make_pool(),)))

    who = "report (process 7)"
    assert found.deprecated == (DeprecatedUse(FIELDS, who, "w1"),)
    lacking = [one for one in CAPABILITIES if one not in OLD]
    assert found.lost == tuple(Loss(who, "0.1.0", one, LOST[one]) for one in lacking)
    assert [(one.step, one.kind, one.who, one.to) for one in found.order] == [
        (1, "caller", who, SOFTWARE)
    ]
    assert "makes no link anew" in found.order[0].why


def test_an_older_caller_that_makes_no_nested_calls_writes_no_deprecated_field() -> None:
    """What is in use counts, and not what might be."""
    old = LinkedPeer("report", 7, (1, 0), "0.1.0", OLD)
    found = diagnose(Survey((make_worker("w1", peers=(old,)),), ()))

    assert found.deprecated == ()
    assert found.lost != ()


def test_an_older_worker_is_seen_by_its_pool() -> None:
    """It answers no operators, but the pool has a link to it."""
    known = RecordedWorker("w0", "unix:/w0", "", "", "ready", "0.1.0", "1.0", OLD)
    pool = make_pool(known)
    worker = SurveyedWorker("unix:/w0", "old", "too old", known=known, pools=(pool,))
    found = diagnose(Survey((worker,), (pool,)))

    assert found.deprecated == (DeprecatedUse(FIELDS, f"pool shop (process {PID})", "w0"),)
    assert {one.who for one in found.lost} == {"w0"}
    assert [(one.kind, one.who, one.version) for one in found.order] == [("worker", "w0", "0.1.0")]
    assert found.unanswered == (worker,)


def test_a_worker_that_calls_others_is_a_worker() -> None:
    """The peer of another worker has one place in the order, and not two."""
    calling = LinkedPeer("w2", 8, (1, 1), SOFTWARE, CAPABILITIES)
    workers = (
        make_worker("w1", peers=(calling,), software="9.0"),
        make_worker("w2", software=SOFTWARE),
    )

    assert [one.who for one in diagnose(Survey(workers, ())).order] == ["w2"]


def test_the_order_follows_the_table_of_versions() -> None:
    """0.1 makes no link anew, so its callers come first; later ones come after the workers."""
    steps = plan_upgrade(
        [
            Process("caller", "c2", "0.2.0"),
            Process("worker", "w1", "0.1.0"),
            Process("worker", "w2", "0.2.0"),
            Process("caller", "c1", "0.1.0"),
            Process("worker", "w3", "9.0"),
            Process("worker", "w4", ""),
        ]
    )

    assert [(one.step, one.who) for one in steps] == [(1, "c1"), (2, "w1"), (3, "w2"), (4, "c2")]
    assert {one.to for one in steps} == {"9.0"}


def test_a_command_that_is_newer_than_all_is_what_they_are_upgraded_to() -> None:
    """Whoever asks has the new release installed."""
    (step,) = plan_upgrade([Process("worker", "w1", "0.1.0")])

    assert step.to == SOFTWARE


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("0.1.0", "0.2.0.dev0"),
        ("0.2.0.dev0", "0.2.0"),
        ("0.9", "0.10.0"),
        ("x", "0.0.1"),
        ("", "1"),
    ],
)
def test_versions_are_compared_by_their_numbers(older: str, newer: str) -> None:
    """A development version stands before its release, and nonsense before everything."""
    assert read_version(older) < read_version(newer)


def test_a_version_of_nonsense_is_one() -> None:
    """Bad input: a peer says what it wants."""
    assert read_version("9" * 10_000 + ".\x1b.½") > (0,)


def test_all_of_it_is_shown_and_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Texts of peers reach no terminal with characters that it would obey."""
    refused = Refusal("PeerAccessRefused", "", "mal\x1b[2Jlory", "no", 2, 1e300)
    old = LinkedPeer("report", 7, (1, 0), "0.1.0", OLD, fields=True)
    worker = make_worker("w1", peers=(old,), refusals=(refused,))
    silent = SurveyedWorker("h:1", "silent", "it has not answered")
    found = diagnose(Survey((worker, silent), (), ("a record",)))
    console = make_console()
    for part in render_parts(found):
        console.print(part)

    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    for head in ("Refused", "Deprecated", "Lost between", "Upgrade in", "Not answered"):
        assert f"\n{head}" in f"\n{shown}"
    facts = json.loads(json.dumps(to_facts(found)))
    assert list(facts) == [
        *("schema", "refusals", "deprecated", "lost", "order", "unanswered", "problems"),
    ]
    assert facts["unanswered"] == [
        {"id": None, "address": "h:1", "state": "silent", "error": "it has not answered"}
    ]
