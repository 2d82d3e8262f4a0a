"""A person at a prompt: a real pseudo-terminal, the plain REPL and asyncio's own."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pytest

from tests.integration.programs import alive, until

PROMPT = re.compile(r">>> $")


class Prompt:
    """A Python at a prompt; ``tell`` types a cell and returns what was printed."""

    def __init__(self, *arguments: str) -> None:
        environment = {**os.environ, "TERM": "dumb", "PYTHON_BASIC_REPL": "1", "NO_COLOR": "1"}
        self.child: pexpect.spawn[str] = pexpect.spawn(
            sys.executable,
            ["-q", *arguments],
            env=environment,
            encoding="utf-8",
            timeout=30,
            dimensions=(60, 240),
        )
        self.child.setecho(False)
        # asyncio's banner has a prompt in it, so the first prompt proves nothing.
        self.child.sendline("print('rea' + 'dy')")
        self.child.expect("ready\r\n")
        self.child.expect(PROMPT)

    def tell(self, cell: str) -> str:
        """Type lines, and a blank one after a block; return what came until the next prompt."""
        lines = cell.strip("\n").split("\n")
        if len(lines) > 1:
            lines.append("")
        for line in lines[:-1]:
            self.child.sendline(line)
            self.child.expect(re.compile(r"(\.\.\.|>>>) $"))
        self.child.sendline(lines[-1])
        self.child.expect(PROMPT)
        return (self.child.before or "").replace("\r", "").removeprefix("... ")


@contextmanager
def prompt(*arguments: str) -> Iterator[Prompt]:
    """A prompt that is closed whatever happens."""
    opened = Prompt(*arguments)
    try:
        yield opened
    finally:
        opened.child.close(force=True)


CELLS = [
    "class MyError(Exception):\n    pass",
    "class Point:\n    def __init__(self, x):\n        self.x = x",
    (
        "@catena.routine\nasync def work(x):\n    if x < 0:\n        raise MyError(x)\n"
        "    return Point(x), os.getpid()"
    ),
]


def in_a_pool(*lines: str) -> str:
    """Return a block that runs these lines with a pool open."""
    body = "\n".join(f"    {line}" for line in lines)
    return f"async with catena.WorkerPool(spawn=1) as pool:\n{body}"


def test_the_asyncio_prompt(scratch_home: Path) -> None:
    """What is typed at `python -m asyncio` dispatches; what is typed again replaces it."""
    with prompt("-m", "asyncio") as it:
        it.tell("import os, catena")
        for cell in CELLS:
            it.tell(cell)
        told = it.tell(in_a_pool("point, pid = await work(3)", "pid in pool.pids.values()"))
        assert "Error" not in told
        assert "(True, 3)" in it.tell("isinstance(point, Point), point.x")
        caught = in_a_pool(
            "try:", "    await work(-1)", "except MyError as error:", "    print('caught', error)"
        )
        assert "caught -1" in it.tell(caught)
        it.tell("def helper(x):\n    return x + 1")
        it.tell("@catena.routine\nasync def uses(x):\n    return helper(x)")
        assert "got 2" in it.tell(in_a_pool("print('got', await uses(1))"))
        it.tell("def helper(x):\n    return x + 100")
        assert "got 101" in it.tell(in_a_pool("print('got', await uses(1))"))
        it.tell("@catena.routine\nasync def work(x):\n    return 'new', x")
        assert "('new', 1)" in it.tell(in_a_pool("print(await work(1))"))
        assert list(scratch_home.iterdir()) == []


def test_the_plain_prompt(scratch_home: Path) -> None:
    """Asyncio.run at a plain prompt dispatches what was typed there."""
    with prompt("-i") as it:
        it.tell("import asyncio, os, catena")
        for cell in CELLS:
            it.tell(cell)
        it.tell(
            "async def main():\n    async with catena.WorkerPool(spawn=1) as pool:\n"
            "        point, pid = await work(4)\n"
            "        print(isinstance(point, Point), pid in pool.pids.values())\n"
            "        await work(-1)"
        )
        told = it.tell("asyncio.run(main())")
        assert "True True" in told
        assert "MyError: -1" in told
        assert "in routine __main__.work" in told
        assert list(scratch_home.iterdir()) == []


def test_ctrl_c_at_a_prompt_that_waits(scratch_home: Path) -> None:
    """A real Ctrl-C in a terminal comes back to the prompt; nothing is left."""
    with prompt("-i") as it:
        it.tell("import asyncio, catena")
        it.tell("@catena.routine\nasync def wait():\n    await asyncio.sleep(60)")
        it.tell(
            "async def main():\n    async with catena.WorkerPool(spawn=2) as pool:\n"
            "        print('pids', *pool.pids.values(), flush=True)\n        await wait()"
        )
        it.child.sendline("asyncio.run(main())")
        it.child.expect(r"pids (\d+) (\d+)")
        assert it.child.match is not None
        workers = [int(found) for found in it.child.match.groups()]
        assert until(lambda: len(list(scratch_home.rglob("*.sock"))) == 2, 10)
        it.child.sendintr()
        it.child.expect("KeyboardInterrupt", timeout=5)
        it.child.expect(PROMPT, timeout=5)
        assert not any(alive(pid) for pid in workers)
        assert list(scratch_home.iterdir()) == []


def test_a_terminal_that_is_closed(scratch_home: Path) -> None:
    """A window closed over a running pool (SIGHUP) leaves nothing after five seconds."""
    with prompt("-i") as it:
        it.tell("import asyncio, catena")
        it.tell(
            "async def main():\n    async with catena.WorkerPool(spawn=2) as pool:\n"
            "        print('pids', *pool.pids.values(), flush=True)\n"
            "        await asyncio.sleep(60)"
        )
        it.child.sendline("asyncio.run(main())")
        it.child.expect(r"pids (\d+) (\d+)")
        assert it.child.match is not None
        workers = [int(found) for found in it.child.match.groups()]
        it.child.kill(signal.SIGHUP)
        assert until(lambda: not any(alive(pid) for pid in workers), 5)
        assert until(lambda: list(scratch_home.iterdir()) == [], 1)


@pytest.mark.parametrize("arguments", [("-i",), ("-m", "asyncio")])
def test_a_variable_declared_twice(arguments: tuple[str, ...]) -> None:
    """The collision of a re-typed declaration says what to do, and doing it works."""
    with prompt(*arguments) as it:
        it.tell("import catena")
        it.tell("color = catena.ContextVar('color', default='none')")
        again = it.tell("color = catena.ContextVar('color', default='none')")
        assert "ContextVarCollision" in again
        assert "`del` its name before" in again
        it.tell("del color")
        assert it.tell("color = catena.ContextVar('color', default='new')").strip() == ""
        assert "'new'" in it.tell("color.get()")
