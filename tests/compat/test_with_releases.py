"""V1, V3: every release that was cut and this source call each other, with the real wheel."""

from __future__ import annotations

import contextvars
import tomllib
from pathlib import Path
from typing import Any

import pytest

import catena
from catena.dispatch.dispatcher import dispatcher
from catena.ids import new_id
from catena.proxy.balance import Proxy
from catena.proxy.watch import Watch
from tests.compat.peers import (
    SECRET,
    Release,
    find_release,
    run_caller,
    this_source,
    workers_of,
)
from tests.release.kept import COMPAT
from tests.support import run

FIRST = "0.1.0"
RELEASES = list(tomllib.loads((COMPAT / "releases.toml").read_text()))


EVERYTHING = "import skew_process; skew_process.prepare(); import everything; everything.main()"


def found_by(caller: Release, workers: list[Release], folder: Path) -> dict[str, Any]:
    """Return what a caller finds that calls through these workers."""
    with workers_of(workers, folder) as members:
        return run_caller(caller, EVERYTHING, [members, SECRET.hex()])


def check(found: dict[str, Any], caller: Release, workers: list[Release]) -> None:
    """Compare with what one version alone would find."""
    versions = sorted({one.version for one in workers})
    assert found["caller"] == caller.version
    assert found["workers"] == versions
    assert found["paint"] == ["red", "green", "green", "blue"]
    assert found["basket"] == ["green", "blue"]
    assert found["token"] == ["blue"]
    assert found["count"] == [[0, "blue"], [1, "blue"], [2, "blue"]]
    assert len(found["nested"]) == 4
    # A worker's own calls begin with its neighbour.
    assert sorted(set(found["nested"])) == versions
    assert found["after"] == "depth 3"
    # C17: 0.1.0 carries nothing; it passes on what it does not know.
    seen = "none" if caller.version == FIRST else "r1"
    assert len(found["requests"]) == 3
    for version, request in (found["unarmed request"], *found["requests"]):
        assert request == ("none" if version == FIRST else seen)
    assert found["error"] == ["LookupError", ["there", 7]]


@pytest.mark.parametrize("version", RELEASES)
def test_a_release_and_this_source_call_each_other(version: str, tmp_path: Path) -> None:
    """V1: calls, streams, context both ways, tokens, errors; old to new, and new to old."""
    old, new = find_release(version), this_source()
    for caller, worker in ((old, new), (new, old)):
        check(found_by(caller, [worker], tmp_path), caller, [worker])


@pytest.mark.parametrize("version", RELEASES)
def test_nested_calls_cross_a_release_and_this_source(version: str, tmp_path: Path) -> None:
    """V3: workers of both in one pool, called from either side."""
    old, new = find_release(version), this_source()
    for caller in (old, new):
        check(found_by(caller, [new, old], tmp_path), caller, [new, old])


@pytest.mark.parametrize("version", RELEASES)
def test_only_who_can_say_so_is_asked_whether_it_answers(version: str, tmp_path: Path) -> None:
    """V1, P12, D7: 0.1.0 is neither pinged nor suspected; all take a routine that has a Retry."""

    async def main(member: tuple[str, str]) -> None:
        proxy = Proxy(new_id(), (member,), "caller", secret=SECRET)
        dispatcher.set(proxy)

        @catena.routine(retry=catena.Retry(attempts=2))
        async def by_value() -> str:
            return catena.__version__

        assert await by_value() == version
        watch = Watch(lambda: proxy.members)
        watch.look()
        (caller,) = [one.caller for one in proxy.members]
        assert caller is not None
        assert caller.pulse.can_ask == (version != FIRST)
        if version == FIRST:
            assert caller.pulse.measure_silence() == 0
        await proxy.close()

    with workers_of([find_release(version)], tmp_path) as (member,):
        contextvars.Context().run(run, main(member))


def test_there_is_a_release() -> None:
    """These tests looked at something."""
    assert RELEASES[:3] == [FIRST, "0.2.0", "0.3.0"]
