"""``catena collect`` in processes of its own: signals, restarts, and what it says."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from catena.collect import Recording
from catena.errors import install_command
from tests.collect.messages import traces
from tests.collect.processes import ANY, DEADLINE, collecting


def ran(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "catena", "collect", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_well(number: int, tmp_path: Path) -> None:
    """Everything is written, the counts are printed, the exit code is 0."""
    with collecting("--out", str(tmp_path / "out.jsonl")) as running:
        assert running.send(traces().SerializeToString()) == 200
        assert running.end(number) == 0
        assert running.said[-1] == (
            "catena collect: stopped: 1 span, 0 metric points, 0 log records\n"
        )

    assert len(Recording.read(tmp_path / "out.jsonl").spans) == 1


def test_it_goes_on_after_kill_9(tmp_path: Path) -> None:
    """What was acknowledged is there, a torn line is named and kept apart, what follows is read."""
    path = tmp_path / "out.jsonl"
    with collecting("--out", str(path)) as running:
        assert running.send(traces("before").SerializeToString()) == 200
        assert running.end(signal.SIGKILL) == -signal.SIGKILL
    with path.open("a") as file:
        file.write('{"resourceSpans":[{"torn')
    with collecting("--out", str(path)) as running:
        assert running.send(traces("after").SerializeToString()) == 200
        assert running.end() == 0
        assert f"the last line of {path} was cut off" in "".join(running.said)

    recording = Recording.read(path)
    assert [span.name for span in recording.spans] == ["before", "after"]
    assert recording.unread == ['{"resourceSpans":[{"torn']


def test_without_a_file_the_lines_are_printed() -> None:
    """Standard output has lines and nothing else."""
    with collecting() as running:
        assert running.send(traces().SerializeToString()) == 200
        assert running.end() == 0
        assert running.process.stdout
        (line,) = running.process.stdout.read().splitlines()

    assert list(json.loads(line)) == ["resourceSpans"]


def test_a_reader_that_goes_ends_it() -> None:
    """When nobody reads what is printed, it stops and says so with its exit code."""
    with collecting() as running:
        assert running.process.stdout
        running.process.stdout.close()
        with pytest.raises(OSError, match=r"503|reset|refused|closed"):
            running.send(traces().SerializeToString())
        assert running.process.wait(DEADLINE) == 1


def test_rotation_is_as_asked(tmp_path: Path) -> None:
    """``--rotate-bytes`` and ``--keep`` reach the file."""
    path = tmp_path / "out.jsonl"
    with collecting("--out", str(path), "--rotate-bytes", "10", "--keep", "1") as running:
        for name in ("a", "b", "c"):
            running.send(traces(name).SerializeToString())
        assert running.end() == 0

    assert sorted(one.name for one in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.1"]
    assert [span.name for span in Recording.read(path).spans] == ["b", "c"]


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    """An address in use, an open address, a file out of reach: none of them is a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        in_use = ran(*ANY, "--metrics", address)
    is_open = ran(*ANY, "--listen", "0.0.0.0:0")
    no_file = ran(*ANY, "--out", str(tmp_path / "none" / "out.jsonl"))

    found = [
        (one.returncode, one.stdout, one.stderr.count("\n")) for one in (in_use, is_open, no_file)
    ]
    assert found == [(1, "", 1)] * 3
    assert f"failed: cannot listen at {address}: address already in use" in in_use.stderr
    assert "other machines can reach it" in is_open.stderr
    assert f"failed: {tmp_path / 'none' / 'out.jsonl'}: no such file" in no_file.stderr


@pytest.mark.parametrize("library", ["aiohttp", "opentelemetry.proto", "prometheus_client"])
def test_without_the_extra_the_install_command_is_told(library: str) -> None:
    """Who lacks a library of the extra reads how to get it, and nothing else is shown."""
    program = (
        f"import sys; sys.modules[{library!r}] = None;"
        " from catena.cli.main import main; sys.exit(main(['collect']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"catena collect: {library}")
    assert done.stderr.endswith(f"is not installed: {install_command('collect')}\n")


def test_the_other_commands_need_no_extra() -> None:
    """The help of ``collect``, and every other command, load none of its libraries."""
    program = (
        "import sys; from catena.cli.main import main; main(['collect', '--help']);"
        " extra = {'aiohttp', 'opentelemetry.proto', 'prometheus_client'};"
        " print([*extra.intersection(sys.modules)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=True,
    )

    assert done.stdout.endswith("\n[]\n")
    assert all(f"\n    {code} " in done.stdout for code in (0, 1, 2))
