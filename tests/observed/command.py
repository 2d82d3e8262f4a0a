"""Runs tests while a receiver takes what they tell, and says what the catalog does not."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from catena.collect import receiving
from tests.observed.check import Check

__all__ = ["SUITE", "command", "environment", "observe"]

ROOT = Path(__file__).parents[2]
SUITE = ("tests/integration", "tests/pool")
HOUR = 3600.0
# Being recorded takes its time, so a test has more of it.
PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "tests.observed.plugin", "--timeout", "600")


def observe(tests: Sequence[str], check: Check, *, quietly: bool, seconds: float = HOUR) -> int:
    """Run tests with their telemetry recorded; return pytest's exit code.

    ``quietly`` keeps what they print unless they fail. Raises subprocess.TimeoutExpired.
    """
    with receiving(listen=None, out=check.take) as receiver:
        done = subprocess.run(
            [*PYTEST, *tests],
            cwd=ROOT,
            env=environment(receiver.http_endpoint),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE if quietly else None,
            stderr=subprocess.STDOUT if quietly else None,
            timeout=seconds,
            check=False,
        )
    if quietly and done.returncode:
        print(done.stdout.decode("utf-8", "replace"))
    return done.returncode


def environment(endpoint: str) -> dict[str, str]:
    """Return the variables with which the tests' process and all workers tell an endpoint."""
    here = Path(__file__).parent
    path = [str(here / "site"), str(ROOT / "instrumentation" / "src")]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "CATENA_WORKER_BOOTSTRAP": "catena_observed:bootstrap",
        "OTEL_SERVICE_NAME": "observed",
        "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        # The queues keep their sizes: some tests count memory, and what is dropped there from ten
        # thousand equal calls is not missed.
        "OTEL_BSP_SCHEDULE_DELAY": "500",
        "OTEL_BLRP_SCHEDULE_DELAY": "500",
        "OTEL_METRIC_EXPORT_INTERVAL": "2000",
    }


def command(arguments: Sequence[str]) -> int:
    """Run the suite, or what is named, and print the findings; 0 when all is well."""
    whole = not any(one for one in arguments if not one.startswith("-"))
    check = Check()
    failed = observe([*(SUITE if whole else ()), *arguments], check, quietly=False)
    print("\n".join(check.summary()))
    found = check.findings() + (check.untold() if whole else [])
    print("\n".join(f"{text}: {has}" for text, has in sorted(check.examples.items())))
    print("\n".join(["", *found, f"{len(found)} findings"]))
    return 1 if failed or found else 0
