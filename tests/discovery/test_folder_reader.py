"""Reading a folder in which anything may lie: what is right counts, the rest is named once."""

from __future__ import annotations

import errno
import json
import os
import socket
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from catena.discovery import folder_reader
from catena.discovery.folder_reader import FolderReader, judge_file, open_folder
from catena.discovery.records import MEMBER_LIMIT, RECORD_LIMIT
from tests.discovery.reading import NOBODY, logged, member, members


def put(path: Path, number: int = 1, **fields: Any) -> Path:
    """Write a worker's record, with other fields than it has."""
    worker = member(number)
    written = path / f"{worker.id}.json"
    written.write_text(json.dumps({"id": worker.id, "target": worker.target, **fields}))
    return written


def make_fifo(path: Path) -> None:
    """A pipe without a writer."""
    os.mkfifo(path)


def make_link(path: Path) -> None:
    """A link to a record that is right."""
    real = put(path.parent, 9)
    real.rename(path.parent / "w2.real")
    path.symlink_to(path.parent / "w2.real")


def make_loop(path: Path) -> None:
    """A link that leads nowhere."""
    path.symlink_to(path)


def make_socket(path: Path) -> None:
    """A socket that nobody serves."""
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def write(data: bytes) -> Callable[[Path], None]:
    """Return what writes some bytes."""
    return lambda path: path.write_bytes(data) and None


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a pipe": (make_fifo, "it is not a regular file"),
    "a link": (make_link, "it is not a regular file"),
    "a link to itself": (make_loop, "it is not a regular file"),
    "a folder": (Path.mkdir, "it is not a regular file"),
    "a socket": (make_socket, "it is not a regular file"),
    "nothing": (write(b""), "it is not JSON"),
    "no JSON": (write(b"{"), "it is not JSON"),
    "too much": (write(b" " * (RECORD_LIMIT + 1)), "it has more than 16384 bytes"),
    "a list": (write(b"[]"), "it is not a JSON object"),
    "another id": (write(b'{"id": "w1", "target": "host:80"}'), "its id is another one, 'w1'"),
    "an odd target": (write(b'{"id": "w2", "target": "dns:///x"}'), "the target 'dns:///x'"),
    "a target in lines": (write(b'{"id": "w2", "target": "a\\nb:80"}'), r"the target 'a\nb:80'"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_bad_record_costs_itself_alone(tmp_path: Path, kind: str) -> None:
    """It is left out with one sentence, however often it is read, and the others count."""
    make, text = HOSTILE[kind]
    put(tmp_path, 1)
    make(tmp_path / "w2.json")
    put(tmp_path, 3)
    reader = FolderReader(tmp_path)

    with logged() as said:
        found = {reader.read_members() for _ in range(3)}

    assert found == {members(1, 3)}
    (warning,) = said
    assert warning.startswith(f"the record {tmp_path}/w2.json is left out: {text}")
    assert warning.isprintable()


def test_a_bad_record_is_named_again_when_it_has_changed(tmp_path: Path) -> None:
    """One sentence for each change; a record that is right needs none."""
    bad = tmp_path / "w1.json"
    reader = FolderReader(tmp_path)
    with logged() as said:
        for content in ("{", "[1, 2]", "[1, 2]"):
            bad.write_text(content)
            assert reader.read_members() == NOBODY
        put(tmp_path, 1)
        assert reader.read_members() == members(1)

    assert len(said) in (2, 3)
    assert [text.partition("out: ")[2][:12] for text in said[:2]] == [
        "it is not JS",
        "it is not a ",
    ]


def test_names_that_are_no_records_are_passed_over(tmp_path: Path) -> None:
    """Dot-files are records in the making; what does not end in .json is somebody else's."""
    for name in (".w1.json", "w1.json.tmp", "README", ".json", "w1.JSON"):
        (tmp_path / name).write_text("{")
    put(tmp_path, 1, colour="new", tags=["gpu"])

    with logged() as said:
        assert FolderReader(tmp_path).read_members() == {member(1, tags=frozenset({"gpu"}))}
    assert said == []


def test_so_many_members_and_no_more(tmp_path: Path) -> None:
    """The first by name count, and one sentence says so until there are few enough again."""
    last = f"w{MEMBER_LIMIT:05}"
    for number in range(MEMBER_LIMIT + 1):
        name = f"w{number:05}"
        (tmp_path / f"{name}.json").write_text(f'{{"id": "{name}", "target": "host:80"}}')
    reader = FolderReader(tmp_path)

    with logged() as said:
        found = [reader.read_members() for _ in range(2)]
        assert {len(one) for one in found} == {MEMBER_LIMIT}
        assert last not in {one.id for one in found[0]}
        (tmp_path / "w00000.json").unlink()
        assert last in {one.id for one in reader.read_members()}

    assert said == [f"{tmp_path} holds more than 4096 records; only the first 4096 by name count"]


def test_a_file_that_vanishes_while_it_is_read_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody removes a record between its listing and its opening."""
    put(tmp_path, 1)
    put(tmp_path, 2)
    judge = folder_reader.judge_file

    def remove_first(folder: int, name: str, *facts: Any, **options: Any) -> Any:
        if name == "w1.json":
            (tmp_path / name).unlink()
        return judge(folder, name, *facts, **options)

    monkeypatch.setattr(folder_reader, "judge_file", remove_first)
    with logged() as said:
        assert FolderReader(tmp_path).read_members() == members(2)
    assert said == []


def test_a_file_that_turns_into_a_link_is_not_followed(tmp_path: Path) -> None:
    """It was a file when it was listed, and is a link when it is opened."""
    put(tmp_path, 1).rename(tmp_path / "real")
    facts = (tmp_path / "real").stat()
    (tmp_path / "w1.json").symlink_to(tmp_path / "real")
    (tmp_path / "w2.json").mkdir()
    os.mkfifo(tmp_path / "w3.json")
    folder = open_folder(tmp_path, shared=False)
    try:
        found = [judge_file(folder, f"w{n}.json", facts, shared=False) for n in (1, 2, 3)]
    finally:
        os.close(folder)

    assert [announced for announced, _ in found] == [None] * 3
    assert found[0][1].startswith("it cannot be read: ")
    assert [wrong for _, wrong in found[1:]] == ["it is not a regular file"] * 2


def test_trouble_of_the_reader_is_not_the_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process without free file descriptors cannot look, and no record is to blame."""
    put(tmp_path, 1)
    reader = FolderReader(tmp_path)
    opened = os.open

    def run_out(path: Any, *args: Any, **options: Any) -> int:
        if "dir_fd" in options:
            raise OSError(errno.EMFILE, "Too many open files")
        return opened(path, *args, **options)

    monkeypatch.setattr(folder_reader.os, "open", run_out)
    with logged() as said, pytest.raises(OSError, match="Too many open files"):
        reader.read_members()
    assert said == []


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o1777, 0o1770])
def test_private_folders_are_read(tmp_path: Path, mode: int) -> None:
    """Nobody else may write there, or may at least not touch the records of others."""
    put(tmp_path, 1)
    tmp_path.chmod(mode)
    assert FolderReader(tmp_path).read_members() == members(1)


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_weak_folders_are_read_only_if_they_are_meant(tmp_path: Path, mode: int) -> None:
    """Others may replace each record there, so shared has to be written out."""
    put(tmp_path, 1)
    tmp_path.chmod(mode)
    with pytest.raises(PermissionError, match="may be changed by other users"):
        FolderReader(tmp_path).read_members()
    assert FolderReader(tmp_path, shared=True).read_members() == members(1)


def test_records_and_folders_of_other_users(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of somebody else is refused, and a record of somebody else is left out."""
    path = put(tmp_path, 1)
    theirs = os.stat_result((0o100644, 1, 1, 1, os.getuid() + 7, 0, 9, 0, 0, 0))
    folder = open_folder(tmp_path, shared=False)
    try:
        _, wrong = judge_file(folder, path.name, theirs, shared=False)
        taken, _ = judge_file(folder, path.name, theirs, shared=True)
    finally:
        os.close(folder)
    assert wrong == f"it belongs to user {os.getuid() + 7}"
    assert taken is not None

    directory = os.stat_result((stat.S_IFDIR | 0o700, 1, 1, 1, os.getuid() + 7, 0, 0, 0, 0, 0))
    monkeypatch.setattr(folder_reader.os, "fstat", lambda _: directory)
    with pytest.raises(PermissionError, match=f"belongs to user {os.getuid() + 7}"):
        open_folder(tmp_path, shared=False)


def test_what_has_not_changed_is_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files whose times are settled are known by them; one that is put in their place is read."""
    monkeypatch.setattr(folder_reader, "_SETTLED_SECONDS", -1.0)
    judged: list[str] = []
    judge = folder_reader.judge_file

    def note(folder: int, name: str, *facts: Any, **options: Any) -> Any:
        judged.append(name)
        return judge(folder, name, *facts, **options)

    monkeypatch.setattr(folder_reader, "judge_file", note)
    put(tmp_path, 1)
    reader = FolderReader(tmp_path)
    for _ in range(3):
        assert reader.read_members() == members(1)
    assert judged == ["w1.json"]

    other = put(tmp_path / "..", 1, name="other.example")
    other.rename(tmp_path / "w1.json")
    assert reader.read_members() == {member(1, name="other.example")}
    assert judged == ["w1.json"] * 2


def test_a_young_file_is_read_again_whatever_its_times_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of files is coarse: two changes at one moment look the same."""
    monkeypatch.setattr(folder_reader, "_Version", lambda *_: 0)
    reader = FolderReader(tmp_path)
    for name in ("a.example", "b.example"):
        put(tmp_path, 1, name=name)
        assert reader.read_members() == {member(1, name=name)}
