"""The pool of a test session, as the page about pytest shows it: its code is what runs here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import textwrap
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "pytest.md"
SECONDS = 100

TESTS = """
import os

import pytest

import catena

{mark}

@catena.routine
async def double(number: int) -> tuple[int, int]:
    return 2 * number, os.getpid()

class TestOne:
{one}
{two}
def test_local() -> None:
    assert double.__name__ == "double"
"""


def shown(heading: str) -> list[str]:
    """Return the blocks of code under a heading of the page."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    blocks = re.findall(r"(?m)^(?:    .*\n|\n(?=    ))+", section)
    return [textwrap.dedent(block).strip("\n") + "\n" for block in blocks]


def run_pytest(folder: Path, *options: str) -> str:
    """Run the tests of a folder; return what was printed, which ends with the counts."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", *options],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    return done.stdout


SAME_WORKERS = """
    async def test_double{number}(self, pool) -> None:
        doubled, pid = await double(21)
        assert doubled == 42
        assert pid in pool.pids.values()
"""


def write_tests(folder: Path, mark: str) -> None:
    """Write two files, so that one pool serves both."""
    text = TESTS.format(
        mark=mark, one=SAME_WORKERS.format(number=1), two=SAME_WORKERS.format(number=2)
    )
    for name in ("test_first.py", "test_second.py"):
        (folder / name).write_text(text)


def test_pytest_asyncio_with_one_loop_for_the_session(tmp_path: Path) -> None:
    """P10: the session's pool serves every test, as the page has it."""
    settings, conftest, example = shown("pytest-asyncio")
    assert "await double(21) == 42" in example
    (tmp_path / "pyproject.toml").write_text(settings)
    (tmp_path / "conftest.py").write_text(conftest)
    write_tests(tmp_path, "")
    assert "6 passed" in (output := run_pytest(tmp_path)), output


def test_pytest_asyncio_with_a_loop_for_each_test(tmp_path: Path) -> None:
    """P10: the pool's loop stands still then, and the error says so at once."""
    settings, conftest, _ = shown("pytest-asyncio")
    narrow = settings.replace('test_loop_scope = "session"', 'test_loop_scope = "function"')
    assert narrow != settings
    (tmp_path / "pyproject.toml").write_text(narrow)
    (tmp_path / "conftest.py").write_text(conftest)
    write_tests(tmp_path, "")
    output = run_pytest(tmp_path)
    assert "4 failed, 2 passed" in output, output
    assert "NoPool" in output
    assert "does not run" in output


def test_anyio(tmp_path: Path) -> None:
    """P10: its plugin keeps the loop of the session's fixture for all tests."""
    (conftest,) = shown("anyio")
    (tmp_path / "conftest.py").write_text(
        "from collections.abc import AsyncGenerator\n\nimport pytest\n\nimport catena\n\n"
        + conftest
    )
    write_tests(tmp_path, "pytestmark = pytest.mark.anyio")
    output = run_pytest(tmp_path, "-p", "no:asyncio")
    assert "6 passed" in output, output
