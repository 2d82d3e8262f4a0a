"""The demo as a user starts it: real workers, real files, a real Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from catena.collect import Recording, receiving
from catena.demo.analysis import LARGE

LARGE_FUNCTION = "def large(a):\n" + "    a = a or b\n" * LARGE


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Sixty files with a large function each, and one of everything that can be wrong."""
    for number in range(60):
        package = tmp_path / f"pkg{number % 3}"
        package.mkdir(exist_ok=True)
        (package / f"m{number}.py").write_text(f"def small{number}(): pass\n{LARGE_FUNCTION}")
    (tmp_path / "syntax.py").write_text("def f(:\n")
    (tmp_path / "encoding.py").write_bytes(b"# coding: nonsense\n")
    (tmp_path / "gone.py").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to(".")
    (tmp_path / "empty").mkdir()
    return tmp_path


@contextmanager
def started(*arguments: object) -> Iterator[subprocess.Popen[str]]:
    """``python -m catena demo`` with these arguments; killed when the block is left early."""
    # A process that was started in the background passes on that SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", "catena", "demo", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    with process:
        try:
            yield process
        finally:
            process.kill()


def finished(*arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the demo."""
    with started(*arguments) as process:
        out, err = process.communicate(timeout=90)
        return process.returncode, out, err


def read(*arguments: object) -> dict[str, Any]:
    """The object that the demo prints with ``--json`` when it succeeds."""
    code, out, err = finished("--json", *arguments)
    assert code == 0, err
    return json.loads(out)


def children(parent: int) -> set[int]:
    """Process ids of the children of ``parent``, by ``ps`` or by /proc where there is none."""
    proc = Path("/proc")
    if not (proc / "self/stat").exists():
        listed = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout.split()
        pairs = zip(listed[::2], listed[1::2], strict=True)
        return {int(child) for child, its_parent in pairs if int(its_parent) == parent}
    return {int(path.parent.name) for path in proc.glob("[0-9]*/stat") if _parent(path) == parent}


def _parent(stat: Path) -> int | None:
    try:
        return int(stat.read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def alive(process: int) -> bool:
    """Whether there is a process of this id."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def test_every_file_is_read_and_every_row_checked(tree: Path) -> None:
    """Rows, problems and nested calls are all there, from all workers, and as in one process."""
    found = read("--check", "--workers", 2, tree)
    calls = {node["name"]: node for node in found["calls"]}
    readers = [calls["read_file on worker 0"], calls["read_file on worker 1"]]
    nested = [node for reader in readers for node in reader["children"]]

    assert found["check"].pop("seconds") > 0
    assert found["check"] == {"rows": 60 + 120 + 3, "calls": 1 + 63 + 60, "differences": []}
    assert (len(found["files"]), len(found["functions"])) == (60, 120)
    assert {problem["path"]: problem["kind"] for problem in found["problems"]} == {
        "encoding.py": "encoding",
        "gone.py": "unreadable",
        "syntax.py": "syntax",
    }
    assert sum(node["calls"] for node in readers) == 63
    assert {node["name"] for node in nested} == {"measure on worker 0", "measure on worker 1"}
    assert sum(node["calls"] for node in nested) == 60


def test_two_runs_find_the_same(tree: Path) -> None:
    """Rows do not depend on the number of workers or on who was quicker."""
    one, other = (read("--workers", workers, tree / "pkg0") for workers in (1, 3))

    for name in ("files", "functions", "problems"):
        assert one[name] == other[name]
    assert (one["workers"], other["workers"]) == (1, 3)


def test_a_pipe_gets_a_plain_report_and_progress_beside_it(tree: Path) -> None:
    """Standard output has the report, standard error the progress."""
    code, out, err = finished("--workers", 2, tree)

    assert code == 0
    assert "The 10 most complex functions" in out
    assert "What ran where: 124 calls" in out
    assert "\x1b" not in out + err
    assert err.startswith("catena demo: starting 2 workers\n")


def test_a_file_and_an_empty_directory_are_targets(tree: Path) -> None:
    """Neither is an error."""
    alone = read("--workers", 1, tree / "pkg0/m0.py")
    nothing = read("--workers", 1, "--check", tree / "empty")

    assert [row["path"] for row in alone["files"]] == ["m0.py"]
    assert (nothing["files"], nothing["problems"]) == ([], [])


def test_otlp_sends_one_trace_of_all_processes(tree: Path) -> None:
    """Every call has its two spans, every parent is there, and metrics come from all processes."""
    recording = Recording()
    with receiving(out=recording.add) as receiver:
        code, _, err = finished("--workers", 2, "--otlp", receiver.endpoint, tree)
    ids = {span.span_id for span in recording.spans}
    roots = [span.name for span in recording.spans if not span.parent_span_id]
    kinds = Counter(span.kind for span in recording.spans)

    assert (code, [line for line in err.splitlines() if "catena demo: " not in line]) == (0, [])
    assert len({span.trace_id for span in recording.spans}) == 1
    assert roots == ["catena demo"]
    assert {one.parent_span_id for one in recording.spans if one.parent_span_id} <= ids
    assert (kinds["CLIENT"], kinds["SERVER"]) == (124, 124)
    assert receiver.counts.points > 0


def test_an_endpoint_that_does_not_answer_is_reported(tree: Path) -> None:
    """It takes connections and is silent: the run is done, and ends within its patience."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        code, out, err = finished("--workers", 1, "--otlp", endpoint, tree / "pkg0" / "m0.py")

    assert (code, "What ran where: 3 calls" in out) == (0, True)
    assert f"catena demo: not all was sent to {endpoint} within 5 seconds\n" in err


def test_ctrl_c_leaves_one_line_and_no_worker() -> None:
    """After an interrupt the workers are gone within two seconds, and nothing is a traceback."""
    with started("--workers", 2) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "catena demo: starting 2 workers\n"
        assert process.stderr.readline().startswith("catena demo: reading on 2 workers")
        workers = children(process.pid)
        process.send_signal(signal.SIGINT)
        asked = time.monotonic()
        out, err = process.communicate(timeout=30)
        while any(map(alive, workers)) and time.monotonic() - asked < 30:
            time.sleep(0.01)
        took = time.monotonic() - asked

    assert len(workers) >= 2
    assert process.returncode == 130
    assert out == ""
    assert err.splitlines()[-1].startswith("catena demo: interrupted, ")
    assert "Traceback" not in err
    assert len(err.splitlines()) <= 2
    assert took < 2


def test_ctrl_c_while_workers_start_is_no_different(tree: Path) -> None:
    """There is no moment at which an interrupt is a traceback."""
    with started("--workers", 2, tree) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "catena demo: starting 2 workers\n"
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)

    assert (process.returncode, out) == (130, "")
    assert err == "catena demo: interrupted, no file was read\n"


def test_ctrl_c_again_and_again_changes_nothing() -> None:
    """Impatience does not break into the stopping of workers."""
    with started("--workers", 2) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "catena demo: starting 2 workers\n"
        assert process.stderr.readline().startswith("catena demo: reading on 2 workers")
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            time.sleep(0.05)
        err = process.stderr.read()

    assert process.returncode == 130
    assert err.splitlines()[-1].startswith("catena demo: interrupted, ")
    assert "Traceback" not in err


def test_a_reader_that_stops_reading_is_no_traceback(tree: Path) -> None:
    """``catena demo | head`` ends quietly."""
    with started("--json", "--workers", 1, tree) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(30) == 1

    assert "Traceback" not in err
    assert "BrokenPipe" not in err
