"""The programs on the page about context in tasks print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tests.engines.needed import needs

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "context-in-tasks.md"
PROGRAM = re.compile(r"((?:^    .*\n|^\n)+)prints\n\n((?:^    .*\n)+)", re.MULTILINE)
SHOWN = {
    engine: (textwrap.dedent(code), textwrap.dedent(output))
    for code, output in PROGRAM.findall(PAGE.read_text())
    for engine in re.findall(r"^    from catena\.engines\.(\w+)", code, re.MULTILINE)
}


def test_the_page_has_a_program_for_each_engine() -> None:
    """What is not found is not run."""
    assert set(SHOWN) == {"dask", "ray"}


@pytest.mark.parametrize(
    "engine",
    [
        pytest.param("dask", marks=needs("distributed")),
        pytest.param("ray", marks=needs("ray")),
    ],
)
def test_a_program_of_the_page_prints_what_the_page_says(engine: str, tmp_path: Path) -> None:
    """Pasted into a file and run."""
    code, output = SHOWN[engine]
    (tmp_path / "shown.py").write_text(code)
    # A short one, for the sockets in it, and not that of other clusters on this machine.
    with tempfile.TemporaryDirectory(prefix="r-", dir="/tmp", ignore_cleanup_errors=True) as own:
        ran = subprocess.run(
            [sys.executable, "shown.py"],
            cwd=tmp_path,
            env={**os.environ, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_TMPDIR": own},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == output
