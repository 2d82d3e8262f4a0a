"""A notebook: a real Jupyter kernel, driven cell by cell."""

from __future__ import annotations

import queue
import sys
import textwrap
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
    """A kernel that is ended whatever happens."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    opened = Notebook(tmp_path)
    try:
        yield opened
    finally:
        opened.close()


def in_a_pool(body: str) -> str:
    """Return a cell that runs these lines with a pool open."""
    return "async with catena.WorkerPool(spawn=2) as pool:\n" + textwrap.indent(body, "    ")


WORK = """
import os
import catena

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


def test_cells(notebook: Notebook) -> None:
    """What cells define dispatches, and a re-run cell's function is the one that runs."""
    assert notebook.run(WORK) == ""
    one = in_a_pool("""
point, pid = await work(1)
print(isinstance(point, Point), point.x, pid in pool.pids.values())
try:
    await work(-1)
except MyError as error:
    print("caught", error)
""")
    assert notebook.run(one) == "True 2 True\ncaught -1\n"

    helper = "def helper():\n    return 100\n"
    assert notebook.run(helper + in_a_pool("print((await work(1))[0].x)")) == "101\n"
    new = "@catena.routine\nasync def work(x):\n    return 'new', x\n"
    assert notebook.run(new + in_a_pool("print(await work(3))")) == "('new', 3)\n"


def test_cells_that_run_again_while_their_pool_is_open(notebook: Notebook) -> None:
    """A worker that knows the old function runs the new one, with the new helper."""
    notebook.run(WORK)
    cell = in_a_pool("""
print((await work(1))[0].x)
exec("def helper():\\n    return 50", globals())
print((await work(1))[0].x)
exec("@catena.routine\\nasync def work(x):\\n    return 'new'", globals())
print(await work(1))
""")
    assert notebook.run(cell) == "2\n51\nnew\n"


def test_an_error_in_a_cell_shows_where_it_happened(notebook: Notebook) -> None:
    """D5: the traceback in the notebook has the remote frames, and the class is the cell's."""
    notebook.run(WORK)

    shown = notebook.run(in_a_pool("await work(-5)"))

    assert "MyError" in shown
    assert "in routine __main__.work" in shown
    assert notebook.run("1 + 1") == "2"


def test_a_kernel_that_is_killed_leaves_nothing(notebook: Notebook, scratch_home: Path) -> None:
    """`kill -9` of the parent alone, which here is the notebook's kernel."""
    cell = (
        "import catena\npool = await catena.WorkerPool(spawn=2).__aenter__()\n"
        "print(*pool.pids.values())"
    )
    workers = [int(pid) for pid in notebook.run(cell).split()]
    assert len(workers) == 2

    notebook.manager.shutdown_kernel(now=True)

    assert until(lambda: not any(alive(pid) for pid in workers), 5)
    assert until(lambda: list(scratch_home.glob("catena-*")) == [], 1)


def test_what_a_routine_prints_is_shown_in_the_cell(notebook: Notebook) -> None:
    """What routines print appears where the notebook's own output does."""
    cell = """
import catena
@catena.routine
async def say():
    print("hello from a worker")
async with catena.WorkerPool(spawn=1):
    await say()
"""
    assert notebook.run(cell) == "hello from a worker\n"


def test_a_variable_declared_in_a_cell_that_runs_again(notebook: Notebook) -> None:
    """The collision of a re-run declaration says what to do, and doing it works."""
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
    """The interrupt button ends the cell and its pool; the kernel goes on."""
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
    # ipykernel cancels the cell in its loop's next turn, which an idle loop takes when it is asked.
    notebook.client.kernel_info()

    shown = notebook.shown(asked, 10)
    assert "up\n" in shown
    assert "KeyboardInterrupt" in shown or "CancelledError" in shown
    assert notebook.run("1 + 1") == "2"
    assert until(lambda: list(scratch_home.glob("catena-*")) == [], 5)
