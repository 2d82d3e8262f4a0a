"""The file of lines: appended to, rotated, and readable whatever happened to its writer."""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

import pytest

from catena.collect.files import LineFile, list_generations


def test_lines_are_appended_to_what_is_there(tmp_path: Path) -> None:
    """A second writer goes on where the first one stopped."""
    for line in ("one", "two"):
        file = LineFile(tmp_path / "out.jsonl")
        file.write(line)
        file.close()
        file.close()

    assert (tmp_path / "out.jsonl").read_text() == "one\ntwo\n"


def test_a_line_stands_in_the_file_when_write_returns(tmp_path: Path) -> None:
    """What was taken survives a kill: nothing is kept in the process."""
    file = LineFile(tmp_path / "out.jsonl")
    file.write("here")

    assert (tmp_path / "out.jsonl").read_text() == "here\n"
    file.close()


def test_a_torn_line_is_ended_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What a killed writer left half-written stays apart from what follows."""
    path = tmp_path / "out.jsonl"
    path.write_text('{"whole":1}\n{"torn":')

    with caplog.at_level(logging.WARNING, "catena.collect"):
        file = LineFile(path)
    file.write('{"next":2}')
    file.close()

    assert path.read_text() == '{"whole":1}\n{"torn":\n{"next":2}\n'
    assert f"the last line of {path} was cut off" in caplog.text


def test_a_whole_file_is_opened_silently(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A file that ends as it should is left as it is."""
    (tmp_path / "out.jsonl").write_text("one\n")

    LineFile(tmp_path / "out.jsonl").close()

    assert (tmp_path / "out.jsonl").read_text() == "one\n"
    assert caplog.text == ""


def test_a_full_file_is_rotated_and_the_oldest_goes(tmp_path: Path) -> None:
    """No file is larger than asked for, the newest is path, and so many older ones are kept."""
    file = LineFile(tmp_path / "out.jsonl", rotate_bytes=8, keep=2)
    for number in range(8):
        file.write(f"l{number}.")
    file.close()

    assert {one.name: one.read_text() for one in tmp_path.iterdir()} == {
        "out.jsonl": "l6.\nl7.\n",
        "out.jsonl.1": "l4.\nl5.\n",
        "out.jsonl.2": "l2.\nl3.\n",
    }


def test_a_line_longer_than_a_file_has_its_own(tmp_path: Path) -> None:
    """A long line is neither cut nor refused."""
    file = LineFile(tmp_path / "out.jsonl", rotate_bytes=8, keep=5)
    for line in ("a", "x" * 50, "b"):
        file.write(line)
    file.close()

    found = [one.read_text() for one in list_generations(tmp_path / "out.jsonl")]
    assert found == ["a\n", "x" * 50 + "\n", "b\n"]


def test_generations_come_oldest_first(tmp_path: Path) -> None:
    """Numbers are ordered as numbers, and files of other names are not meant."""
    for name in ("o[1].jsonl", "o[1].jsonl.2", "o[1].jsonl.10", "o[1].jsonl.x", "o1.jsonl.3"):
        (tmp_path / name).touch()

    found = [one.name for one in list_generations(tmp_path / "o[1].jsonl")]
    assert found == ["o[1].jsonl.10", "o[1].jsonl.2", "o[1].jsonl"]
    assert list_generations(tmp_path / "none") == []


def test_two_writers_are_one_too_many(tmp_path: Path) -> None:
    """A file that somebody writes is refused, and free again when they are done."""
    first = LineFile(tmp_path / "out.jsonl")
    with pytest.raises(OSError, match="another process writes it") as refused:
        LineFile(tmp_path / "out.jsonl")
    first.close()

    assert refused.value.filename == str(tmp_path / "out.jsonl")
    LineFile(tmp_path / "out.jsonl").close()


def test_a_file_is_for_its_owner(tmp_path: Path) -> None:
    """Telemetry is nobody else's business."""
    LineFile(tmp_path / "out.jsonl").close()

    assert (tmp_path / "out.jsonl").stat().st_mode & 0o777 == 0o600


def test_half_a_line_is_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk is full in the middle of a line, the next one begins on a line of its own."""
    file = LineFile(tmp_path / "out.jsonl")
    real, room = os.write, [4]

    def write(fd: int, data: memoryview) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "no space left")
        taken, room[0] = min(len(data), room[0]), max(0, room[0] - len(data))
        return real(fd, data[:taken])

    monkeypatch.setattr(os, "write", write)
    with pytest.raises(OSError, match="no space left"):
        file.write("abcdefgh")
    with pytest.raises(OSError, match="no space left"):
        file.write("refused")
    room[0] = 1000
    file.write("next")
    file.close()

    assert (tmp_path / "out.jsonl").read_text() == "abcd\nnext\n"


def test_a_closed_file_takes_nothing(tmp_path: Path) -> None:
    """Writing after the end is a mistake of ours, and says so."""
    file = LineFile(tmp_path / "out.jsonl")
    file.close()

    with pytest.raises(ValueError, match="is closed"):
        file.write("late")


@pytest.mark.parametrize("wrong", [{"rotate_bytes": 0}, {"keep": 0}])
def test_bounds_are_at_least_one(tmp_path: Path, wrong: dict[str, int]) -> None:
    """A file without room, or nothing kept, is refused at once."""
    with pytest.raises(ValueError, match="at least 1"):
        LineFile(tmp_path / "out.jsonl", **wrong)
