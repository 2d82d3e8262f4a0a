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
        await _count(NONE)
        few = await _count(FEW)
        calls = await _count(CALLS) - few
        guards = await _count(GUARDS) - few
    number = CALLS[0] - FEW[0]
    tell_sample(plan.PER_CALL, Measurement(number, 0.0), calls / number)
    tell_sample(plan.PER_GUARD, Measurement(GUARDS[1], 0.0), guards / GUARDS[1])


async def _count(numbers: tuple[int, ...]) -> int:
    """The instructions of one run. Raises RuntimeError when it fails."""
    process = await asyncio.create_subprocess_exec(
        *("valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", sys.executable),
        *("-m", f"{__package__}.instructions", *map(str, numbers)),
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
    counted = COUNT.search(told)
    if process.returncode or counted is None:
        raise RuntimeError(f"callgrind failed: {told[-300:].decode('utf-8', 'replace')}")
    return int(counted[1])


if __name__ == "__main__":
    raise SystemExit(program(measure))
