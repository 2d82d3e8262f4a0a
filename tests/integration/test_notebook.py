"""A notebook: a real Jupyter kernel, driven cell by cell."""

from __future__ import annotations

import queue
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager

from tests.integration.programs import alive, until


class Notebook:
    """A kernel; ``run`` runs a cell and returns what it printed, its result or its error."""

    def __init__(self, folder: Path) -> None:
        self.manager = KernelManager()
        # Not the kernel that is installed somewhere under this name: the one of this interpreter.
        self.manager._kernel_spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="test",
            language="python",
        )
        self.manager.start_kernel(cwd=str(folder))
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=30)

    def run(self, cell: str, seconds: float = 30) -> str:
        """Run a cell and return everything that it showed; errors are shown as in a notebook."""
        asked = self.client.execute(cell, store_history=False)
        return self.shown(asked, seconds)

    def shown(self, asked: str, seconds: float) -> str:
        """Collect what belongs to a request, until the kernel is idle again."""
        deadline = time.monotonic() + seconds
        parts: list[str] = []
        while True:
            try:
                message = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"the cell did not end; it showed {parts}") from None
            if message["parent_header"].get("msg_id") != asked:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    parts.append(content["text"])
                case "execute_result":
                    parts.append(content["data"]["text/plain"])
                case "error":
                    parts.append("\n".join(content["traceback"]))
                case "status" if content["execution_state"] == "idle":
                    return "".join(parts)
                case _:
                    pass

    def close(self) -> None:
        """End the kernel."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def notebook(
    scratch_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Notebook]:
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    opened = Notebook(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


OPEN = """
import asyncio, os, catena
pool = await catena.WorkerPool(spawn=2).__aenter__()
print(*pool.pids.values())
"""

WORK = """
class MyError(Exception):
    pass

class Point:
    def __init__(self, x):
        self.x = x

@catena.routine
async def work(x):
    if x < 0:
        raise MyError(x)
    return Point(x + helper()), os.getpid()

def helper():
    return 1
"""


def test_cells(notebook: Notebook, scratch_home: Path) -> None:
    """Issue: what cells define dispatches; re-run cells replace it; a dead kernel leaves nothing.

    The pool stays open between the cells, each of which IPython runs as a task of its own.
    """
    workers = [int(pid) for pid in notebook.run(OPEN).split()]
    assert len(workers) == 2
    assert notebook.run(WORK) == ""

    dispatched = "point, pid = await work(1)\n(isinstance(point, Point), point.x, pid)"
    with_pool = f"async with catena.WorkerPool(spawn=1) as inner:\n    {dispatched[:27]}\n"
    assert notebook.run(with_pool) == ""
    assert notebook.run("(isinstance(point, Point), point.x)") == "(True, 2)"

    caught = """
async with catena.WorkerPool(spawn=1):
    try:
        await work(-1)
    except MyError as error:
        print("caught", error)
"""
    assert notebook.run(caught) == "caught -1\n"

    failing = notebook.run("async with catena.WorkerPool(spawn=1):\n    await work(-5)")
    assert "MyError" in failing
    assert "in routine __main__.work" in failing

    rerun = """
def helper():
    return 100
async with catena.WorkerPool(spawn=1):
    point, pid = await work(1)
point.x
"""
    assert notebook.run(rerun) == "101"
    new = """
@catena.routine
async def work(x):
    return "new", x
async with catena.WorkerPool(spawn=1):
    print(await work(3))
"""
    assert notebook.run(new) == "('new', 3)\n"
    notebook.manager.shutdown_kernel(now=True)
    assert until(lambda: not any(alive(pid) for pid in workers), 5)
    assert until(lambda: list(scratch_home.glob("catena-*")) == [], 1)


def test_a_pool_that_stays_open_between_cells(notebook: Notebook) -> None:
    """Issue: a pool entered in one cell serves the next ones, and a re-run cell's function runs."""
    workers = [int(pid) for pid in notebook.run(OPEN).split()]
    notebook.run(WORK)

    assert notebook.run("(await work(1))[1]") in map(str, workers)
    assert notebook.run("isinstance((await work(1))[0], Point)") == "True"
    notebook.run("def helper():\n    return 50")
    assert notebook.run("(await work(1))[0].x") == "51"
    caught = "try:\n    await work(-1)\nexcept MyError as error:\n    print('caught', error)"
    assert notebook.run(caught) == "caught -1\n"
    notebook.run("@catena.routine\nasync def work(x):\n    return 'new'")
    assert notebook.run("await work(1)") == "'new'"
    shown = notebook.run("@catena.routine\nasync def say():\n    print('hello')\nawait say()")
    notebook.run("await asyncio.sleep(0.2)")
    assert shown in ("", "hello\n")
    notebook.run("await pool.__aexit__(None, None, None)")
    assert until(lambda: not any(alive(pid) for pid in workers), 1)


def test_a_variable_declared_in_a_cell_that_runs_again(notebook: Notebook) -> None:
    """Issue: the collision of a re-run declaration says what to do, and doing it works."""
    declare = "import catena\ncolor = catena.ContextVar('color', default='none')"
    assert notebook.run(declare) == ""

    again = notebook.run(declare)
    assert "ContextVarCollision" in again
    assert "`del` its name before the cell" in again
    assert notebook.run(f"del color\n{declare}\ncolor.get()") == "'none'"


def test_a_variable_of_a_cell_goes_along(notebook: Notebook) -> None:
    """C1: a variable declared in a cell is read and changed on the worker."""
    cell = """
import catena
seen = catena.ContextVar("seen", default=0)
@catena.routine
async def see():
    seen.set(seen.get() + 1)
async with catena.WorkerPool(spawn=1):
    seen.set(5)
    await see()
    await see()
    print(seen.get())
"""
    assert notebook.run(cell) == "7\n"


def test_an_interrupted_cell(notebook: Notebook, scratch_home: Path) -> None:
    """Issue: the interrupt button ends the cell and its pool; the kernel goes on."""
    cell = """
import asyncio, catena
@catena.routine
async def wait():
    await asyncio.sleep(60)
async with catena.WorkerPool(spawn=1):
    print("up", flush=True)
    await wait()
"""
    asked = notebook.client.execute(cell)
    assert until(lambda: len(list(scratch_home.rglob("*.sock"))) == 1, 20)
    time.sleep(0.5)
    notebook.manager.interrupt_kernel()

    shown = notebook.shown(asked, 10)
    assert "up\n" in shown
    assert "KeyboardInterrupt" in shown or "CancelledError" in shown
    assert notebook.run("1 + 1") == "2"
    assert until(lambda: list(scratch_home.glob("catena-*")) == [], 5)
