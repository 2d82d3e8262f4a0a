"""A law of folders: whatever happens in one, its reader finds what a plain table says."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from hypothesis import strategies as st

from catena.discovery import announce, folder_reader
from catena.discovery.announcement import Announcement
from catena.discovery.folder_reader import FolderReader
from catena.discovery.processes import mark_process
from catena.ids import MemberRecord
from tests.laws.law import Seen, law

SETTLED_SECONDS = 0.03
"""After this time files count as settled here; the times of files are exact to 10 ms."""

DEAD_PID = 2**22 + 1
"""Larger than any that Linux gives."""


class Step(NamedTuple):
    """One thing that happens, to one of a few names, with one of a few ports."""

    what: str
    name: int
    port: int


def _describe(name: str, port: int, **more: Any) -> dict[str, Any]:
    return {"id": name, "target": f"10.0.0.1:{port}", **more}


def _mark(**change: Any) -> dict[str, Any]:
    mine = mark_process()
    return {} if mine is None else mine._replace(**change)._asdict()


class Folder:
    """A folder, and the plain table of what its reader has to find in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.truth: dict[str, MemberRecord] = {}
        self.opened: dict[str, Announcement] = {}
        self._others = 0

    def file(self, name: str) -> Path:
        return self.path / f"{name}.json"

    def take_away(self, name: str) -> None:
        """Remove whatever has this name."""
        file = self.file(name)
        if file.is_dir() and not file.is_symlink():
            file.rmdir()
        else:
            file.unlink(missing_ok=True)
        self.truth.pop(name, None)

    def join(self, name: str, port: int) -> None:
        """Announce a worker."""
        self.take_away(name)
        record = MemberRecord(name, f"10.0.0.1:{port}", tags=frozenset({"law"}))
        self.opened[name] = announce(self.path, record)
        self.truth[name] = record

    def leave(self, name: str) -> None:
        """Close an announcement; what others have put in its place stays."""
        made = self.opened.pop(name, None)
        if made is None:
            return
        made.close()
        if not self.file(name).exists() and not self.file(name).is_symlink():
            self.truth.pop(name, None)

    def rewrite(self, name: str, port: int) -> None:
        """Write other content into the file that is there, as nobody should."""
        if name in self.truth:
            self.file(name).write_text(json.dumps(_describe(name, port)))
            self.truth[name] = MemberRecord(name, f"10.0.0.1:{port}")

    def replace(self, name: str, port: int, **more: Any) -> None:
        """Put a record written by somebody else in a file's place."""
        self._others += 1
        draft = self.path / f".draft{self._others}"
        draft.write_text(json.dumps(_describe(name, port, **more)))
        self.take_away(name)
        draft.rename(self.file(name))
        self.truth[name] = MemberRecord(name, f"10.0.0.1:{port}")

    def lie(self, kind: str, name: str, port: int) -> None:
        """Put something in a file's place that must not count."""
        self.take_away(name)
        LIES[kind](self.file(name), name, port)


def _write(make: Callable[[str, int], Any]) -> Callable[[Path, str, int], None]:
    return lambda path, name, port: path.write_text(json.dumps(make(name, port))) and None


def _make_link(path: Path, name: str, port: int) -> None:
    real = path.with_suffix(".real")
    real.write_text(json.dumps(_describe(name, port)))
    path.symlink_to(real)


LIES: dict[str, Callable[[Path, str, int], None]] = {
    "no JSON": lambda path, *_: path.write_bytes(b"{") and None,
    "too much": _write(lambda name, port: _describe(name, port, more="x" * 16384)),
    "another id": _write(lambda name, port: _describe(f"{name}x", port)),
    "an odd target": _write(
        lambda name, port: _describe(name, port) | {"target": f"dns:///{port}"}
    ),
    "a link": _make_link,
    "a pipe": lambda path, *_: os.mkfifo(path),
    "a folder": lambda path, *_: path.mkdir(),
    "a dead process": _write(lambda name, port: _describe(name, port, process=_mark(pid=DEAD_PID))),
}
TRUE_ODDITIES: dict[str, Callable[[], dict[str, Any]]] = {
    "new fields": lambda: {"colour": {"new": True}},
    "an unread mark": lambda: {"process": {"pid": "x"}},
    "a foreign process": lambda: {"process": _mark(pid=DEAD_PID, place="elsewhere")},
}

USUAL = (
    *("join", "join", "leave", "leave", "leave", "rewrite", "rewrite", "replace"),
    *("look", "look", "pause"),
)

steps = st.lists(
    st.builds(
        Step,
        st.sampled_from([*USUAL, *LIES, *TRUE_ODDITIES]),
        st.integers(0, 3),
        st.integers(7000, 7003),
    ),
    min_size=5,
    max_size=25,
)


def _settle_soon(_: bool) -> AbstractContextManager[Any]:
    """Let files count as settled after a time that a law can wait for."""
    return patch.object(folder_reader, "_SETTLED_SECONDS", SETTLED_SECONDS)


@law(
    steps,
    examples=80,
    floors={
        **dict.fromkeys(("joined", "left", "rewritten", "replaced", "settled"), 25),
        "looked at some": 100,
        "looked at none": 20,
        "rewritten once settled": 5,
        **dict.fromkeys(LIES, 15),
        **dict.fromkeys(TRUE_ODDITIES, 15),
    },
    around=_settle_soon,
)
def test_a_reader_finds_what_is_there(seen: Seen, script: list[Step]) -> None:
    """P8: joins, leaves, rewrites and lies: what counts is what the folder holds, and no more."""
    path = Path(tempfile.mkdtemp(prefix="law-"))
    try:
        _play(seen, Folder(path), script)
    finally:
        shutil.rmtree(path)


def _play(seen: Seen, folder: Folder, script: list[Step]) -> None:
    reader = FolderReader(folder.path)
    settled = False
    for what, number, port in [*script, Step("look", 0, 0)]:
        name = f"w{number}"
        if what == "look":
            found = reader.read_members()
            assert found == frozenset(folder.truth.values())
            seen["looked at some" if found else "looked at none"] += 1
        elif what == "pause":
            time.sleep(SETTLED_SECONDS * 1.5)
            reader.read_members()
            settled = True
            seen["settled"] += 1
        else:
            seen["rewritten once settled"] += settled and what == "rewrite" and name in folder.truth
            _act(seen, folder, what, name, port)


def _act(seen: Seen, folder: Folder, what: str, name: str, port: int) -> None:
    if what in LIES:
        folder.lie(what, name, port)
        seen[what] += 1
    elif what in TRUE_ODDITIES:
        folder.replace(name, port, **TRUE_ODDITIES[what]())
        seen[what] += 1
    elif what == "leave":
        seen["left"] += name in folder.opened
        folder.leave(name)
    else:
        seen["rewritten"] += what == "rewrite" and name in folder.truth
        seen["joined"] += what == "join"
        seen["replaced"] += what == "replace"
        getattr(folder, what)(name, port)
