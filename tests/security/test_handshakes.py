"""Who accepts the pairs, over TLS on this machine, and who is refused."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest

from catena.security.authority import Authority
from catena.security.names import Holder, name_caller, name_worker
from tests.security.pairs import CALLER, WORKER, make_at, make_folder_for, meet

NEEDS_OPENSSL = pytest.mark.skipif(
    shutil.which("openssl") is None, reason="there is no openssl on the path"
)
LONG = name_worker("p" * 63, "w" * 63)
SPIFFE = name_caller("", spiffe="spiffe://example.org/web")
BOTH = name_caller("shop", "web", "spiffe://example.org/web")
SHARED = name_worker("shop")


def make_pairs(tmp_path: Path, authority: Authority) -> tuple[Path, Path]:
    """The folders of a worker and of a caller that one authority issued."""
    worker = make_folder_for(WORKER, tmp_path / "worker", authority)
    return worker, make_folder_for(CALLER, tmp_path / "caller", authority)


@pytest.mark.parametrize("worker", [WORKER, SHARED, LONG], ids=["one", "shared", "long"])
@pytest.mark.parametrize("caller", [CALLER, SPIFFE, BOTH, WORKER], ids=lambda one: one.name)
def test_worker_and_caller_accept_each_other(
    tmp_path: Path, worker: Holder, caller: Holder
) -> None:
    """Whatever their names are; a worker may call as well."""
    authority = make_at()
    serving = make_folder_for(worker, tmp_path / "worker", authority)
    calling = make_folder_for(caller, tmp_path / "caller", authority)

    met = meet(serving, calling, worker.dns)

    assert met.client_saw == [worker.dns]
    assert met.server_saw == [name for name in (caller.dns, caller.spiffe) if name]


def test_pairs_of_another_authority_are_refused(tmp_path: Path) -> None:
    """Each end refuses what another authority has issued."""
    worker, caller = make_pairs(tmp_path / "ours", make_at())
    their_worker, their_caller = make_pairs(tmp_path / "theirs", make_at())
    # The other authority is known to the strangers themselves, so that only one end refuses.
    for stranger in (their_worker, their_caller):
        shutil.copy(worker / "ca.pem", stranger / "ca.pem")

    refused = meet(worker, their_caller, WORKER.dns).server_saw
    assert isinstance(refused, ssl.SSLCertVerificationError)
    refused = meet(their_worker, caller, WORKER.dns).client_saw
    assert isinstance(refused, ssl.SSLCertVerificationError)


def test_authorities_can_be_exchanged_while_everything_runs(tmp_path: Path) -> None:
    """The steps of the page: at each of them, those who are a step ahead meet those behind."""
    only_old, only_new = make_at(), make_at()
    old = Authority(only_old.certificate, only_old.key, (only_new.certificate,))
    new = Authority(only_new.certificate, only_new.key, (only_old.certificate,))
    steps = [only_old, old, new, only_new]
    workers = [
        make_folder_for(WORKER, tmp_path / f"w{number}", one) for number, one in enumerate(steps)
    ]
    callers = [
        make_folder_for(CALLER, tmp_path / f"c{number}", one) for number, one in enumerate(steps)
    ]

    for behind, ahead in ((0, 1), (1, 2), (2, 3)):
        for worker, caller in ((behind, ahead), (ahead, behind), (ahead, ahead)):
            met = meet(workers[worker], callers[caller], WORKER.dns)
            assert met == ([CALLER.dns], [WORKER.dns])
    assert isinstance(meet(workers[0], callers[3], WORKER.dns).client_saw, ssl.SSLError)


def test_pairs_that_have_ended_are_refused(tmp_path: Path) -> None:
    """On either side."""
    authority = make_at(days_ago=100, days=300)
    worker, caller = make_pairs(tmp_path, authority)
    old_worker = make_folder_for(WORKER, tmp_path / "old worker", authority, days_ago=50)
    old_caller = make_folder_for(CALLER, tmp_path / "old caller", authority, days_ago=50)

    assert "expired" in str(meet(worker, old_caller, WORKER.dns).server_saw)
    assert "expired" in str(meet(old_worker, caller, WORKER.dns).client_saw)


def test_a_worker_of_another_name_is_refused(tmp_path: Path) -> None:
    """Who wants to reach one worker does not accept another one, or the pool's shared pair."""
    authority = make_at()
    worker, caller = make_pairs(tmp_path, authority)
    shared = make_folder_for(SHARED, tmp_path / "shared", authority)

    assert "match" in str(meet(worker, caller, "w2.shop.catena").client_saw)
    assert "match" in str(meet(shared, caller, "w1.shop.catena").client_saw)


def test_a_caller_cannot_stand_in_for_a_worker(tmp_path: Path) -> None:
    """Even where the name in its pair is that of a worker."""
    authority = make_at()
    _, caller = make_pairs(tmp_path, authority)
    posing = make_folder_for(name_caller("shop", "w1"), tmp_path / "posing", authority)

    assert "purpose" in str(meet(posing, caller, "w1.shop.catena").client_saw)


@NEEDS_OPENSSL
@pytest.mark.parametrize(
    ("holder", "purpose", "right"),
    [
        (WORKER, "sslserver", True),
        (WORKER, "sslclient", True),
        (LONG, "sslserver", True),
        (CALLER, "sslclient", True),
        (SPIFFE, "sslclient", True),
        (CALLER, "sslserver", False),
    ],
)
def test_openssl_agrees(tmp_path: Path, holder: Holder, purpose: str, right: bool) -> None:
    """Its own command, with its strict rules, accepts the same pairs for the same uses."""
    folder = make_folder_for(holder, tmp_path, make_at())
    command = ["openssl", "verify", "-x509_strict", "-purpose", purpose, "-CAfile", "ca.pem"]
    done = subprocess.run(
        [*command, "cert.pem"], cwd=folder, capture_output=True, text=True, timeout=20, check=False
    )

    assert (done.returncode == 0) is right, done.stdout + done.stderr
