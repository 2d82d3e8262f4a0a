"""What routines print or log appears on the parent's streams, in whole lines, in order."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import catena
from tests.integration.pools import pooled

LONG = 1_000_000


@catena.routine
async def say(text: str, *, end: str = "\n", flush: bool = False) -> None:
    """Print."""
    print(text, end=end, flush=flush)


@catena.routine
async def complain(text: str) -> None:
    """Print to standard error, as libraries do."""
    sys.stderr.write(text)


@catena.routine
async def log(text: str) -> None:
    """Log a warning; nobody configured logging on the worker."""
    import logging

    logging.getLogger("of.the.worker").warning(text)


@catena.routine
async def raw(data: bytes) -> None:
    """Write to the file descriptor itself, as C libraries and child processes do."""
    import os

    os.write(1, data)


@catena.routine
async def chatter(name: str, lines: int) -> None:
    """Print many lines in small pieces, giving others their turn."""
    import asyncio

    for number in range(lines):
        sys.stdout.write(f"{name} ")
        sys.stdout.write(f"{number} ")
        await asyncio.sleep(0)
        sys.stdout.write("end\n")


def test_both_streams_and_logging(capsys: pytest.CaptureFixture[str]) -> None:
    """Print, standard error and logging each arrive on the stream they were meant for."""

    async def work(pool: catena.WorkerPool) -> None:
        await say("to out")
        await complain("to err\n")
        await log("from logging")

    pooled(work, spawn=1)

    out, err = capsys.readouterr()
    assert out == "to out\n"
    assert err == "to err\nfrom logging\n"


def test_unicode_and_bytes_that_are_none(capsys: pytest.CaptureFixture[str]) -> None:
    """Text arrives as it was written; what is not UTF-8 is shown as such."""

    async def work(pool: catena.WorkerPool) -> None:
        await say("naïve ☃ 𝄞 " * 3000)
        await raw(b"\xff\xfe raw\n")

    pooled(work, spawn=1)

    out, _ = capsys.readouterr()
    assert out == "naïve ☃ 𝄞 " * 3000 + "\n" + "�� raw\n"


def test_partial_lines_become_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """A line that is printed in parts comes as one; the last, unended one at the end."""

    async def work(pool: catena.WorkerPool) -> None:
        await say("one, ", end="", flush=True)
        await say("two, ", end="", flush=True)
        await say("three")
        await say("never ended", end="")

    pooled(work, spawn=1)

    out, _ = capsys.readouterr()
    assert out == "one, two, three\nnever ended\n"


def test_lines_of_many_workers_do_not_mix(capsys: pytest.CaptureFixture[str]) -> None:
    """Pieces of different workers' lines never share a line; each keeps its order."""

    async def work(pool: catena.WorkerPool) -> None:
        import asyncio

        await asyncio.gather(*(chatter(f"w{number}", 400) for number in range(3)))

    pooled(work, spawn=3)

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1200
    for number in range(3):
        mine = [line for line in lines if line.startswith(f"w{number} ")]
        assert mine == [f"w{number} {at} end" for at in range(400)]


def test_very_long_lines_stay_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines of 1 MB from several workers at once are not cut into one another."""

    async def work(pool: catena.WorkerPool) -> None:
        import asyncio

        await asyncio.gather(*(say(letter * LONG) for letter in "abc"))

    pooled(work, spawn=3)

    lines = capsys.readouterr().out.splitlines()
    assert sorted(line[:1] for line in lines) == ["a", "b", "c"]
    assert all(line == line[0] * LONG for line in lines)


def test_what_was_printed_is_there_before_the_block_is_left(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing that was printed is lost, 20,000 lines just before the end included."""

    @catena.routine
    async def burst() -> None:
        for number in range(20_000):
            print(number)

    async def work(pool: catena.WorkerPool) -> None:
        await burst()

    pooled(work, spawn=1)

    assert capsys.readouterr().out.splitlines() == [str(number) for number in range(20_000)]


def test_it_is_seen_while_the_pool_is_open(capsys: pytest.CaptureFixture[str]) -> None:
    """Lines appear when they are printed, not when the pool is left."""

    async def work(pool: catena.WorkerPool) -> None:
        import asyncio

        await say("now")
        for _ in range(100):
            await asyncio.sleep(0.02)
            if capsys.readouterr().out == "now\n":
                return
        raise AssertionError("nothing was seen for two seconds")

    pooled(work, spawn=1)


def test_a_child_process_of_a_routine_prints_too(capsys: pytest.CaptureFixture[str]) -> None:
    """What a routine starts writes to the same streams, and finds an empty input."""

    @catena.routine
    async def start() -> None:
        code = "import sys; print('child read', repr(sys.stdin.read()))"
        subprocess.run([sys.executable, "-c", code], check=True, timeout=20)  # noqa: ASYNC221

    @catena.routine
    async def read() -> str:
        return sys.stdin.read()

    async def work(pool: catena.WorkerPool) -> None:
        await start()
        assert await read() == ""

    pooled(work, spawn=1)

    assert capsys.readouterr().out == "child read ''\n"


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_parent_whose_stream_is_closed(tmp_path: Path, closed: str) -> None:
    """K10: a parent without a standard stream loses the lines; the log says so, once."""
    path = tmp_path / "closed.py"
    path.write_text(
        textwrap.dedent(f"""
            import asyncio, sys
            import catena

            @catena.routine
            async def both():
                print("out")
                sys.stderr.write("err\\n")
                return 7

            async def main():
                async with catena.WorkerPool(spawn=1):
                    assert await both() == 7

            sys.{closed}.close()
            sys.{closed} = None
            asyncio.run(main())
        """)
    )
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0
    if closed == "stderr":
        assert done.stdout == "out\n"
    else:
        lost = "what workers print to stdout is lost, because sys.stdout cannot take it"
        assert re.fullmatch(rf"{lost} .* 1 lines of worker \w+-0\nerr\n", done.stderr)


def test_a_parent_with_a_pipe_that_nobody_reads(tmp_path: Path) -> None:
    """A pager that was left (`| head -1`) ends neither the calls nor the pool."""
    path = tmp_path / "head.py"
    path.write_text(
        textwrap.dedent("""
            import asyncio, sys
            import catena

            @catena.routine
            async def flood(number):
                print("x" * 1000)
                return number

            async def main():
                async with catena.WorkerPool(spawn=1):
                    done = [await flood(number) for number in range(300)]
                sys.stderr.write(f"done {len(done)}\\n")

            asyncio.run(main())
        """)
    )
    done = subprocess.run(
        f"'{sys.executable}' '{path}' | head -n 1",
        shell=True,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.stdout == "x" * 1000 + "\n"
    assert "what workers print to stdout is lost" in done.stderr
    assert "done 300\n" in done.stderr
    assert "Traceback" not in done.stderr
