"""V1, V3: features between 0.1.0 and this source, against the table that was written before."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.compat import page
from tests.compat.newer import find_newer, find_used, read_messages
from tests.compat.peers import SECRET, Release, find_release, run_caller, this_source, workers_of
from tests.compat.table import PAIRS, compare, read_table

pytestmark = pytest.mark.timeout(240)

VERSION = "0.1.0"
CALLER = "import skew_caller; skew_caller.main()"
FUTURE = {"SKEW_FUTURE": "1"}
"""Has a process of this source say in each message what only a later release would say."""

PLANTED = {
    "keep_all_capabilities": "new-old",
    "send_newer_fields": "new-old",
    "end_at_unknown_frames": "new-new-new",
    "lose_the_chain": "old-new",
    "say_nothing_of_links": "new-old",
}
"""Faults of this source, and among which processes they have to be found."""

OF_BOTH = (
    "call",
    "stream",
    "variable",
    "token_spent_there",
    "timeout",
    "inherited_times",
    "cancel",
)
"""Probes for what both protocols have."""


class Found(NamedTuple):
    """What a caller printed, and what this source's processes have sent, callers' and workers'."""

    probes: dict[str, Any]
    sent: dict[str, list[bytes]]

    @property
    def all_sent(self) -> list[bytes]:
        """The messages of all of them."""
        return [one for messages in self.sent.values() for one in messages]


def try_probes(
    names: str, new: Release, probes: tuple[str, ...] = (), old: Release | None = None
) -> Found:
    """Try probes among processes of these releases, the caller first."""
    kinds = {"old": old or find_release(VERSION), "new": new}
    caller, *path = names.split("-")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notes = {one: str(folder / f"{one}.sent") for one in ("caller", "workers")}
        # What 0.1.0 sends is looked at where nothing else is.
        noted = {one for one in kinds if old is not None or one == "new"}

        def noting(kind: str, who: str) -> Release:
            release = kinds[kind]
            more = {"SKEW_SENT": notes[who]} if kind in noted else {}
            return Release(release.version, release.python, {**release.environment, **more})

        releases = [noting(one, "workers") for one in (*path, path[0])]
        with workers_of(releases, folder) as members:
            asked = {
                "path": members[:-1],
                "spare": members[-1],
                "secret": SECRET.hex(),
                "probes": probes,
            }
            found = run_caller(noting(caller, "caller"), CALLER, asked)
        files = {one: Path(file) for one, file in notes.items()}
        sent = {one: read_messages(file) for one, file in files.items() if file.exists()}
    return Found(found, sent)


@functools.cache
def run_pair(names: str) -> Found:
    """Try all probes, with processes of this source that speak as those of a later release."""
    return try_probes(names, this_source(**FUTURE))


def find_wrong(names: str, found: Found) -> list[str]:
    """Return what is not as the table says, and what peers of 0.1.0 should not have been sent."""
    table = read_table()
    cells = {one: row.cells[names] if names in PAIRS else "intact" for one, row in table.items()}
    wrong = compare(cells, found.probes)
    if "old" in names:
        wrong += [f"sent: {one}" for one in sorted(find_newer(found.all_sent, VERSION))]
    return wrong


@pytest.mark.parametrize("names", PAIRS)
def test_features_are_as_the_table_says(names: str) -> None:
    """V1, V3: what is intact is intact, what is lost is lost and announced; nothing newer is sent.

    This source's processes end each message in what only a later release would say.
    """
    assert find_wrong(names, run_pair(names)) == []


def test_every_feature_is_intact_where_all_are_of_this_source() -> None:
    """V1: the probes try what there is, also through another worker and beside later releases."""
    assert find_wrong("new-new-new", run_pair("new-new-new")) == []


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_found(fault: str) -> None:
    """The comparison fails for a fault of each kind."""
    names = PLANTED[fault]
    new = this_source(**FUTURE, SKEW_FAULT=fault)
    probes = ("call", "variable", "slots", "pings") if names != "old-new" else ("variable",)
    try:
        found = try_probes(names, new, probes)
    except AssertionError:
        # The caller could not even end its run.
        return
    table = read_table()
    cells = {one: table[one].cells[names] if names in PAIRS else "intact" for one in probes}
    wrong = compare(cells, found.probes)
    wrong += sorted(find_newer(found.all_sent, VERSION)) if "old" in names else []
    assert wrong != []


def test_a_cell_that_has_become_intact_is_found() -> None:
    """The table is held in both directions, and so is what tells a loss."""
    lost = {"outcome": "AssertionError: x", "error": "AssertionError", "events": ["KeysUndeclared"]}
    intact = {"outcome": "intact", "error": "", "events": ["KeysUndeclared"]}
    cell = "KeysUndeclared"

    assert compare({"one": cell}, {"one": lost}) == []
    assert compare({"one": cell}, {"one": intact}) == [
        "one: is intact, and the table says KeysUndeclared"
    ]
    assert compare({"one": "intact"}, {"one": lost}) != []
    assert compare({"one": "absent"}, {"one": lost}) != []
    assert compare({"one": "LinkOpened: slots"}, {"one": lost}) != []
    assert compare({"one": cell, "other": cell}, {"one": lost}) == ["other: no probe"]


def test_the_page_shows_the_table() -> None:
    """docs/reference/versions.md is what `python -m tests.compat.page` writes."""
    assert page.PAGE.read_text("utf-8") == page.page()


# ---- emulation


@functools.cache
def used_by(*, emulated: bool) -> dict[str, set[str]]:
    """Return what processes of one kind send to each other, the callers' and the workers'."""
    one = this_source(CATENA_EMULATE_PROTOCOL="0.1") if emulated else find_release(VERSION)
    found = try_probes("new-new-new", one, OF_BOTH, old=one)
    assert {name: run["outcome"] for name, run in found.probes.items()} == dict.fromkeys(
        OF_BOTH, "intact"
    )
    if emulated:
        assert find_newer(found.all_sent, VERSION) == set()
    return {who: find_used(messages) for who, messages in found.sent.items()}


@pytest.mark.parametrize("who", ["caller", "workers"])
def test_an_emulating_process_sends_what_the_release_sends(who: str) -> None:
    """V1: frames of the same kinds with the same fields, for the same program."""
    emulated, real = used_by(emulated=True)[who], used_by(emulated=False)[who]

    assert emulated == real
    assert {one.partition(" ")[0] for one in real} >= {
        "HELLO",
        "TASK" if who == "caller" else "RESULT",
    }
