"""A notebook as `nbclient` runs it, from its first cell to its last, twice in one kernel."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat

CELLS = (
    """\
import os
import threading
import catena

try:
    pool = catena.default_pool()
except catena.NoPool:
    pool = await catena.WorkerPool(2, default=True).open()
""",
    """\
@catena.routine
async def double(number):
    return 2 * number, os.getpid()

@catena.routine
async def count(to):
    for number in range(to):
        yield number
""",
    """\
doubled, pid = await double(21)
doubled, pid in pool.pids.values()
""",
    "[number async for number in count(3)]",
    """\
found = []
thread = threading.Thread(target=lambda: found.append(double.blocking(4)[0]))
thread.start()
while thread.is_alive():
    await catena.to_thread(thread.join, 0.1)
found
""",
    """\
try:
    double.blocking(1)
except catena.BlockingRefused as refused:
    print(type(refused).__name__)
""",
)
RUNNER = """
import json, sys
import nbformat
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

def shown(cell):
    return "".join(one.get("text") or one["data"]["text/plain"] for one in cell.outputs).strip()

notebook = nbformat.read(sys.argv[1], 4)
manager = AsyncKernelManager()
# Not the kernel that is installed somewhere under this name: the one of this interpreter.
manager._kernel_spec = KernelSpec(
    argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
    display_name="test",
    language="python",
)
client = NotebookClient(notebook, km=manager, timeout=60, resources={})
with client.setup_kernel():
    for _ in range(2):
        for index, cell in enumerate(notebook.cells):
            client.execute_cell(cell, index)
        print(json.dumps([shown(cell) for cell in notebook.cells]), flush=True)
"""
SHOWN = ["", "", "(42, True)", "[0, 1, 2]", "[8]", "BlockingRefused"]


def test_a_notebook_of_six_cells_runs_twice(scratch_home: Path, tmp_path: Path) -> None:
    """P10: each cell is a task of its own, and finds the default pool; the second run, the same."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(one) for one in CELLS])
    nbformat.write(notebook, tmp_path / "six.ipynb")
    folders = {
        "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "jupyter"),
        "JUPYTER_PLATFORM_DIRS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", RUNNER, "six.ipynb"],
        cwd=tmp_path,
        env={**os.environ, **folders},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line) for line in done.stdout.splitlines()] == [SHOWN, SHOWN]
