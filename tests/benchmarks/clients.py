"""Starts one client process per block, reads what it tells, and ends it by its id.

Rule: a client process that was started here is gone when `run_client` is left, by whatever way.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .environment import ROOT, last_lines
from .plan import PEERS, PREFIX, TELEMETRY, BenchmarkError, Facts, Sample, Variant

GRACE: Final = 3.0


@dataclass(frozen=True, slots=True)
class Block:
    """What is asked of one client process; no `seconds`: to tell its facts and measure nothing.

    `timeout` is the deadline for all of it, in seconds.
    """

    repeat: int
    variant: Variant
    seconds: float
    timeout: float

    @property
    def program(self) -> str:
        """The module among `systems` that measures it."""
        row = self.variant
        return f"{row.system if row.section in (PEERS, TELEMETRY) else row.section}_client"


def run_client(python: Path, block: Block) -> tuple[Facts, list[Sample]]:
    """Run one block in a process of its own.

    Raises:
        BenchmarkError: a wrong answer, a failure, no end in time, or a metric without a sample.
    """
    process = subprocess.Popen(
        _command(python, block),
        cwd=ROOT,
        env=_variables(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A group of its own: it can be ended as a whole, and Ctrl-C reaches the runner alone.
        start_new_session=True,
    )
    try:
        output, errors = process.communicate(timeout=block.timeout)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{block.variant}: no end after {block.timeout:.0f} s") from None
    finally:
        _end(process)
    return _read(block, output, errors, process.returncode)


def _command(python: Path, block: Block) -> list[str]:
    variant = block.variant
    return [
        str(python),
        *("-m", f"{__package__}.systems.{block.program}"),
        *("--subject", variant.system),
        *("--workers", str(variant.workers)),
        *("--loop", variant.loop),
        *("--seconds", str(block.seconds)),
        *("--timeout", str(max(1.0, block.timeout - 2))),
    ]


def _variables() -> dict[str, str]:
    """The user's environment without what would change the interpreter or gRPC for one side."""
    dropped = ("PYTHON", "GRPC_", "CATENA_", "OTEL_", "WOOL_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def _end(process: subprocess.Popen[str]) -> None:
    """End the group of the process: politely, then for certain, also when interrupted again."""
    try:
        if process.poll() is None:
            _signal(process, signal.SIGTERM)
            process.communicate(timeout=GRACE)
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Workers that outlive their client belong to its group; an empty group is no error.
        _signal(process, signal.SIGKILL)
        process.wait(timeout=GRACE)


def _signal(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _read(block: Block, output: str, errors: str, code: int) -> tuple[Facts, list[Sample]]:
    told = _lines(output)
    reasons = [line["reason"] for line in told if line["event"] == "error"]
    if reasons or code:
        reason = reasons[0] if reasons else f"exit code {code}: {last_lines(errors)}"
        raise BenchmarkError(f"{block.variant}: {reason}")
    samples = [_sample(block, line) for line in told if line["event"] == "sample"]
    facts = [line for line in told if line["event"] == "facts"]
    expected = list(block.variant.metrics) if block.seconds else []
    if not facts or [sample.metric for sample in samples] != expected:
        raise BenchmarkError(f"{block.variant}: the client ended without all of its samples")
    first = facts[0]
    return Facts(first["client_loop"], first["worker_loop"], first["limits"]), samples


def _lines(output: str) -> list[dict[str, Any]]:
    return [
        json.loads(line.removeprefix(PREFIX))
        for line in output.splitlines()
        if line.startswith(PREFIX)
    ]


def _sample(block: Block, line: dict[str, Any]) -> Sample:
    return Sample(
        repeat=block.repeat,
        variant=block.variant,
        metric=line["metric"],
        value=line["value"],
        count=line["count"],
        seconds=line["seconds"],
        raw=tuple(line["raw"]),
    )
