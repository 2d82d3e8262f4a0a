"""The client program that counts instructions: callgrind runs ``instructions.py``.

A count is the difference of two runs, so that what every run needs is in none.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from typing import Final

from tests.benchmarks import plan
from tests.benchmarks.measure import Measurement

from .client import Options, program, tell_facts, tell_sample

CALLGRIND: Final = ("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null")
NONE: Final = (1, 0, 0)
FEW: Final = (20, 0, 20_000)
CALLS: Final = (120, 0, 20_000)
GUARDS: Final = (20, 20_000, 0)
COUNT: Final = re.compile(rb"Collected : (\d+)")


async def measure(options: Options) -> None:
    """Instructions per call and per guard test."""
    tell_facts((), options, "counted by callgrind")
    if not options.seconds:
        return
    async with asyncio.timeout(options.timeout):
        # The first run compiles what no run has imported before.
        await _run(NONE)
        few, calls, guards = await asyncio.gather(*map(_count, (FEW, CALLS, GUARDS)))
    number = CALLS[0] - FEW[0]
    tell_sample(plan.PER_CALL, Measurement(number, 0.0), (calls - few) / number)
    tell_sample(plan.PER_GUARD, Measurement(GUARDS[1], 0.0), (guards - few) / GUARDS[1])


async def _count(numbers: tuple[int, ...]) -> int:
    """The instructions of one run. Raises RuntimeError when callgrind tells none."""
    told = await _run(numbers, *CALLGRIND)
    counted = COUNT.search(told)
    if counted is None:
        raise RuntimeError(f"callgrind counted nothing: {_end(told)}")
    return int(counted[1])


async def _run(numbers: tuple[int, ...], *through: str) -> bytes:
    """What one run says on standard error. Raises RuntimeError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *through,
        *(sys.executable, "-m", f"{__package__}.instructions", *map(str, numbers)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONHASHSEED": "0"},
    )
    try:
        _, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise RuntimeError(f"the run of {numbers} failed: {_end(told)}")
    return told


def _end(told: bytes) -> str:
    return told[-300:].decode("utf-8", "replace")


if __name__ == "__main__":
    raise SystemExit(program(measure))
