"""The batch file for Slurm: shells read it, it fits Catena, and it runs without Slurm as well."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import catena
from catena.security.names import name_caller, name_worker
from tests.examples.commands import EXAMPLES, parse_worker, seconds_to_end
from tests.pool.test_found_over_tls import Secured
from tests.support import isolated, run

FILE = EXAMPLES / "slurm" / "catena-workers.sbatch"
TEXT = FILE.read_text("utf-8")
KILL_WAIT = 30
"""Seconds between SIGTERM and SIGKILL of ``scancel``, as Slurm is configured by default."""

SRUN = """\
#!/bin/bash
# Starts the tasks of one node; a signal goes to all of them.
while [ "${1#--}" != "$1" ]; do shift; done
for SLURM_PROCID in $(seq 0 $((SLURM_NTASKS - 1))); do
    SLURM_PROCID=$SLURM_PROCID "$@" &
    tasks="${tasks:-} $!"
done
echo $tasks >tasks
wait
"""


def directives() -> dict[str, str]:
    """Return what the file asks of Slurm."""
    return dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)$", TEXT, re.MULTILINE))


def command_of(task: int) -> list[str]:
    """Return the command line of a task, as its shell expands it."""
    (script,) = re.findall(r"bash -c '(.+?)'\n", TEXT, re.DOTALL)
    facts = {
        "SLURMD_NODENAME": "node7",
        "SLURM_PROCID": str(task),
        "SLURM_CPUS_PER_TASK": directives()["cpus-per-task"],
        "PWD": "/shared/shop",
    }
    words = shlex.split(script.replace("\\\n", " "))
    assert words.pop(0) == "exec"
    return [re.sub(r"\$(\w+)", lambda found: facts[found[1]], word) for word in words]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_shells_read_it(shell: str) -> None:
    """No quote and no bracket is open."""
    done = subprocess.run([shell, "-n", FILE], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_the_workers_start_with_what_the_product_takes() -> None:
    """Each task is a worker of its own id and certificate, at its node's name and a free port."""
    first, second = parse_worker(command_of(0)), parse_worker(command_of(1))

    assert (first["id"], second["id"]) == ("w0", "w1")
    assert (first["certs"], second["certs"]) == ("certs/w0", "certs/w1")
    assert first["listen"] == "node7:0"
    assert first["announce"] == ("dir:/shared/shop/workers",)
    assert str(first["slots"]) == directives()["cpus-per-task"]


def test_the_workers_end_with_the_job() -> None:
    """P12: SIGTERM comes early enough before the time limit; `scancel` leaves the time as well."""
    name, _, seconds = directives()["signal"].partition("@")
    needed = seconds_to_end(parse_worker(command_of(0)))

    assert name == "TERM"
    # Slurm may send it up to a minute earlier, but no later.
    assert int(seconds) > needed
    assert needed < KILL_WAIT


@isolated
def test_the_file_runs_workers_that_a_pool_finds(tmp_path: Path) -> None:
    """P8, P12: as many as there are tasks; on SIGTERM they withdraw their records, and it ends."""
    many = 2
    fleet = Secured(tmp_path)
    for number in range(many):
        fleet.issue(f"w{number}", name_worker("shop", f"w{number}"))
    caller = fleet.issue("caller", name_caller("shop"))
    (tmp_path / "shop_tasks.py").write_text("import catena\n")
    tools = tmp_path / ".venv" / "bin"
    tools.mkdir(parents=True)
    (tools / "activate").write_text(f"export PATH={shlex.quote(str(tools))}:$PATH\n")
    (tools / "srun").write_text(SRUN)
    (tools / "catena").write_text(f'#!/bin/sh\nexec {sys.executable} -m catena "$@"\n')
    for name in ("srun", "catena"):
        (tools / name).chmod(0o755)

    async def main() -> None:
        process = await asyncio.create_subprocess_exec(
            shutil.which("bash") or "bash",
            FILE,
            env={
                **os.environ,
                "SHOP": str(tmp_path),
                "SLURM_NTASKS": str(many),
                "SLURM_CPUS_PER_TASK": "2",
                "SLURMD_NODENAME": "localhost",
            },
        )
        try:
            pool = catena.WorkerPool(
                discovery=f"dir:{tmp_path}/workers", quorum=many, credentials=caller, name="shop"
            )
            async with pool:
                assert sorted(pool.workers) == ["w0", "w1"]
            for task in (tmp_path / "tasks").read_text().split():
                os.kill(int(task), signal.SIGTERM)
            assert await process.wait() == 0
            assert [*(tmp_path / "workers").iterdir()] == []
        finally:
            if process.returncode is None:
                for task in (tmp_path / "tasks").read_text().split():
                    os.kill(int(task), signal.SIGKILL)
                process.kill()
                await process.wait()

    run(main(), 60)
