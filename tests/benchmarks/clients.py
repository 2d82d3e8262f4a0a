"""Starts one client process per block, reads what it tells, and ends it by its id.

Rule: a client process that was started here is gone when `run_client` is left, by whatever way.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import IO, Any, Final

from .environment import ROOT, last_lines
from .plan import ONCE, PEERS, PREFIX, TELEMETRY, BenchmarkError, Facts, Sample, Variant

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
    process = start(command(python, block))
    try:
        output, errors = process.communicate(timeout=block.timeout)
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{block.variant}: no end after {block.timeout:.0f} s") from None
    finally:
        end(process)
    return _read(block, _text(output), _text(errors), process.returncode)


def start(
    arguments: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    errors: IO[bytes] | int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a client; its output is a pipe, and what it is told and its errors as is asked for."""
    return subprocess.Popen(
        arguments,
        cwd=ROOT,
        env=_variables(),
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=errors,
        # A group of its own: it can be ended as a whole, and Ctrl-C reaches the runner alone.
        start_new_session=True,
    )


def command(python: Path, block: Block) -> list[str]:
    """The command line of the client that measures a block."""
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
    dropped = ("PYTHON", "GRPC_", "CATENA_", "OTEL_", "WOOL_", "RAY_", "DASK_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


def end(*processes: subprocess.Popen[bytes]) -> None:
    """End the groups of the processes: politely, then for certain, also when interrupted again."""
    try:
        for process in processes:
            if process.poll() is None:
                _signal(process, signal.SIGTERM)
        limit = monotonic() + GRACE
        for process in processes:
            process.wait(timeout=max(0.0, limit - monotonic()))
    except subprocess.TimeoutExpired:
        pass
    finally:
        # Workers that outlive their client belong to its group; an empty group is no error.
        for process in processes:
            _signal(process, signal.SIGKILL)
        for process in processes:
            process.wait(timeout=GRACE)


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, number)


def _text(output: bytes) -> str:
    return output.decode(errors="replace")


def _read(block: Block, output: str, errors: str, code: int) -> tuple[Facts, list[Sample]]:
    lines = [line for line in map(told, output.splitlines()) if line is not None]
    reasons = [line["reason"] for line in lines if line["event"] == "error"]
    if reasons or code:
        reason = reasons[0] if reasons else f"exit code {code}: {last_lines(errors)}"
        raise BenchmarkError(f"{block.variant}: {reason}")
    samples = [sample(block, line) for line in lines if line["event"] == "sample"]
    facts = [line for line in lines if line["event"] == "facts"]
    expected = list(block.variant.metrics) if block.seconds else []
    if not facts or [one.metric for one in samples] != expected:
        raise BenchmarkError(f"{block.variant}: the client ended without all of its samples")
    first = facts[0]
    return Facts(first["client_loop"], first["worker_loop"], first["limits"]), samples


def told(line: str) -> dict[str, Any] | None:
    """What a client tells with a line of its output; None when the line is not meant for us."""
    return json.loads(line.removeprefix(PREFIX)) if line.startswith(PREFIX) else None


def sample(block: Block, line: dict[str, Any], number: int = ONCE) -> Sample:
    """The sample of a line that tells one, in the round of that number."""
    return Sample(
        repeat=block.repeat,
        variant=block.variant,
        metric=line["metric"],
        value=line["value"],
        count=line["count"],
        seconds=line["seconds"],
        raw=tuple(line["raw"]),
        round=number,
    )
