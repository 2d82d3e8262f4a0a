"""A real ``grpc-health-probe`` for tests: another language's client of the health service.

It is built by Go from its module, which `tests/tools` pins, and kept in `.cache`. Where there is no
Go these tests are skipped, except in CI.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

__all__ = ["NEEDS_GO", "find_probe", "probe"]

NEEDS_GO = pytest.mark.skipif(
    shutil.which("go") is None and not os.environ.get("CI"),
    reason="there is no Go here, which builds grpc-health-probe (Debian: apt install golang)",
)
BUILDING = 600.0
"""Seconds that a first build may take: Go fetches and compiles gRPC."""

_ROOT = Path(__file__).parents[1]
_SOURCE = _ROOT / "tests" / "tools" / "grpc-health-probe"
_DEADLINE = 30.0


@cache
def find_probe() -> Path:
    """Return the probe, built where it is not there yet."""
    sums = (_SOURCE / "go.sum").read_bytes()
    built = (
        _ROOT / ".cache" / "tools" / f"grpc-health-probe-{hashlib.sha256(sums).hexdigest()[:12]}"
    )
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        draft = built.with_suffix(f".{os.getpid()}")
        package = "github.com/grpc-ecosystem/grpc-health-probe"
        # In the checkout as well, as far as nothing else is said: a home may be read-only.
        caches = {one: str(_ROOT / ".cache" / one.lower()) for one in ("GOCACHE", "GOMODCACHE")}
        made = subprocess.run(
            ["go", "build", "-mod=readonly", "-modcacherw", "-o", draft, package],
            cwd=_SOURCE,
            env={**caches, **os.environ, "CGO_ENABLED": "0"},
            capture_output=True,
            text=True,
            timeout=BUILDING,
            check=False,
        )
        assert made.returncode == 0, made.stderr
        draft.rename(built)
    return built


async def probe(address: str, *options: str) -> tuple[int, str]:
    """Ask a worker whether it serves; return the exit code, 0 if it does, and what was said."""
    process = await asyncio.create_subprocess_exec(
        find_probe(),
        f"-addr={address}",
        # The probe's own limits are for machines with nothing else to do.
        "-connect-timeout=10s",
        "-rpc-timeout=10s",
        *options,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    async with asyncio.timeout(_DEADLINE):
        said, _ = await process.communicate()
    return process.returncode or 0, said.decode()
