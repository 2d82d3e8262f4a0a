"""The file of stacks: written when beats stay away, empty when they come."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from catena.pool.stacks import StackFile, is_stopped, read_stack, stack_path

LINES = """0x7f01
Timeout (0:00:01.500000)!
Thread 0x0000000000007f02 (most recent call first):
  File "/lib/threading.py", line 5 in wait

Thread 0x0000000000007f01 [MainThread] (most recent call first):
  File "/app/prices.py", line 18 in quote
  File "/app/prices.py", line 31 in total
"""


def until(path: Path) -> str:
    """Wait until there is a stack with this function in it: it may be read while it is written."""
    deadline = time.monotonic() + 20
    while "in until" not in (found := read_stack(path)):
        assert time.monotonic() < deadline, found
        time.sleep(0.01)
    return found


def test_a_beat_that_does_not_come_leaves_the_stack_of_its_thread(tmp_path: Path) -> None:
    """P12: the stack is that of the thread that beats, whichever others there are."""
    path, over = tmp_path / "one.stack", threading.Event()
    other = threading.Thread(target=over.wait, name="other")
    other.start()
    stacks = StackFile(path, 0.01)
    try:
        stacks.note_beat()
        found = until(path)
    finally:
        stacks.close()
        over.set()
        other.join()

    assert "in wait" not in found


def test_the_next_beat_empties_the_file(tmp_path: Path) -> None:
    """P12: a loop that goes on is not reported by what blocked it before."""
    path = tmp_path / "one.stack"
    stacks = StackFile(path, 0.01)
    stacks.note_beat()
    until(path)
    stacks._seconds = 60
    stacks.note_beat()
    assert read_stack(path) == ""

    stacks._seconds = 0.01
    stacks.note_beat()
    until(path)
    stacks.close()


def test_the_lines_of_one_thread_are_found(tmp_path: Path) -> None:
    """P12: threads have names since Python 3.14, and the file holds all of them."""
    path = tmp_path / "one.stack"
    path.write_text(LINES)

    assert read_stack(path).splitlines() == [
        '  File "/app/prices.py", line 18 in quote',
        '  File "/app/prices.py", line 31 in total',
    ]


@pytest.mark.parametrize("text", [None, "", "0x7f01\n", "\xff\n"])
def test_without_a_stack_there_is_none(text: str | None, tmp_path: Path) -> None:
    """P12: no file, or nothing in it, is no error."""
    path = tmp_path / "one.stack"
    if text is not None:
        path.write_text(text, encoding="latin-1")

    assert read_stack(path) == ""


def test_the_file_lies_beside_the_socket() -> None:
    """Nothing is left over: what removes the directory of sockets removes it, too."""
    assert stack_path(Path("/d/3.sock")) == Path("/d/3.stack")


@pytest.mark.skipif(sys.platform != "linux", reason="there is no /proc elsewhere")
def test_a_process_that_runs_is_not_stopped() -> None:
    """P12: neither is one that is gone."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pid = process.pid

    assert not is_stopped(os.getpid())
    assert not is_stopped(pid)
