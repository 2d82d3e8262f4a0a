"""The oldest protobuf that pyproject.toml allows is enough; all other tests run with the newest."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.house.imports import SOURCE

ROOT = SOURCE.parent
OLDEST = Path(sys.prefix) / "oldest-protobuf"


SUITE = (
    "tests/wire/test_codec.py",
    "tests/wire/test_carriers.py",
    "tests/link",
    # The client of its tests was generated for a newer one.
    "--ignore=tests/link/test_health.py",
    "tests/integration/test_calls.py",
)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Run Python where the oldest protobuf comes before the environment's own."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(OLDEST)},
        capture_output=True,
        text=True,
        check=False,
        timeout=220,
    )


@pytest.mark.timeout(240)
def test_wire_and_links_work_with_the_oldest_protobuf() -> None:
    """Codec, links and calls between processes pass their tests with protobuf 6.31.1."""
    found = run("-c", "import google.protobuf; print(google.protobuf.__version__)")
    assert found.stdout.strip() == "6.31.1"
    assert f"protobuf>={found.stdout.strip()},<8" in (ROOT / "pyproject.toml").read_text("utf-8")

    done = run("-m", "pytest", "-q", "-o", "cache_dir=.cache/oldest-protobuf", *SUITE)

    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout


def test_the_other_tests_run_with_version_7() -> None:
    """Both ends of the range are tested: this environment has the newest major version."""
    assert version("protobuf").startswith("7.")
