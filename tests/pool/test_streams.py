"""Whatever the parent's streams are: lines arrive, or are said to be lost, and nobody hangs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from catena.pool.output import OutputRelay
from tests.integration.programs import run_source

TAKES = {
    "no flush": """
        class Stream:
            def write(self, text):
                kept.append(text)
    """,
    "text in memory": """
        import io
        class Stream(io.StringIO):
            def write(self, text):
                kept.append(text)
    """,
    "flush that raises": """
        class Stream:
            def write(self, text):
                kept.append(text)
            def flush(self):
                raise OSError("flushed in vain")
    """,
}
TAKES_NOT = {
    "raises": "raise RuntimeError('no more room')",
    "raises what ends threads": "raise SystemExit(3)",
    "wants bytes": "b'' + text",
}
PRINTING = """
    import asyncio, json, logging, sys
    import catena

    kept, said = [], []
    logging.getLogger("catena").addFilter(lambda record: said.append(record.getMessage()))

    @catena.routine
    async def speak(count):
        for number in range(count):
            print("x" * 1000)
        return count

    async def main():
        async with catena.WorkerPool(spawn=1):
            await asyncio.wait_for(speak(1), 20)
            await asyncio.wait_for(speak(300), 20)
"""


def printed(stream: str, folder: Path) -> tuple[str, list[str]]:
    """Run a program whose standard output is an object of its own; what it took and was logged."""
    source = (
        textwrap.dedent(PRINTING)
        + textwrap.dedent(stream)
        + textwrap.dedent("""
        real, sys.stdout = sys.stdout, Stream()
        asyncio.run(main())
        sys.stdout = real
        print(json.dumps(["".join(kept), said]))
    """)
    )
    return tuple(json.loads(run_source(source, folder)))  # type: ignore[return-value]


@pytest.mark.parametrize("stream", TAKES.values(), ids=list(TAKES))
def test_a_parent_whose_stream_is_an_object_of_its_own(tmp_path: Path, stream: str) -> None:
    """K10: every line arrives at whatever takes text, and nobody stands still."""
    text, _ = printed(stream, tmp_path)

    assert text == ("x" * 1000 + "\n") * 301


@pytest.mark.parametrize("body", TAKES_NOT.values(), ids=list(TAKES_NOT))
def test_a_parent_whose_stream_raises(tmp_path: Path, body: str) -> None:
    """K10: what is lost is counted in the log, whatever the stream raises."""
    stream = f"""
        class Stream:
            def write(self, text):
                {body}
    """
    text, said = printed(stream, tmp_path)

    assert text == ""
    assert "what workers print to stdout is lost" in said[0]
    lines = [int(found) for one in said for found in re.findall(r"(\d+) (?:more )?lines of", one)]
    assert sum(lines) == 301


def test_a_log_that_goes_to_the_broken_stream(tmp_path: Path) -> None:
    """K10: a loss that cannot be logged either ends no thread and stops no worker."""
    source = textwrap.dedent(PRINTING) + textwrap.dedent("""
        class Stream:
            def write(self, text):
                raise RuntimeError("no more room")

        real, sys.stdout = sys.stdout, Stream()
        class Handler(logging.Handler):
            def emit(self, record):
                raise RuntimeError("nor here")
        logging.getLogger("catena").addHandler(Handler())
        os = __import__("os")
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        asyncio.run(main())
        sys.stdout = real
        print("done")
    """)
    assert run_source(source, tmp_path) == "done\n"


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "utf-16"])
def test_a_parent_of_another_encoding(tmp_path: Path, encoding: str) -> None:
    """K10: what the encoding has arrives as it is, the rest with backslashes; no line is lost."""
    path = tmp_path / "encoded.py"
    path.write_text(
        textwrap.dedent("""
            import asyncio, catena

            @catena.routine
            async def say():
                print("before")
                print("caf\\u00e9 \\u2603")
                print("after")

            async def main():
                async with catena.WorkerPool(spawn=1):
                    await say()

            asyncio.run(main())
        """)
    )
    done = subprocess.run(
        [sys.executable, str(path)],
        capture_output=True,
        timeout=30,
        check=False,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert done.returncode == 0, done.stderr
    expected = "before\ncafé ☃\nafter\n".encode(encoding, "backslashreplace").decode(encoding)
    assert done.stdout.decode(encoding).replace("\ufeff", "") == expected


def test_a_child_of_a_worker_that_lives_on_holds_up_nobody(tmp_path: Path) -> None:
    """K10: what the worker printed is there, and the end of its child's output is not awaited."""
    relay = OutputRelay()
    reader, writer = os.pipe()
    pipe = relay.add(reader, "w-0", "stdout")
    os.write(writer, b"all that the worker printed\nand the rest")

    relay.finish_copying(20)

    assert list(pipe.tail) == ["all that the worker printed", "and the rest"]
    with pytest.raises(BrokenPipeError):
        os.write(writer, b"of a child")
    os.close(writer)
