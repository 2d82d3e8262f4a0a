"""mypy reads what users write with routines; pyright reads everything, as a target of make."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MISTAKE = '\n\nasync def mistaken() -> None:\n    """Fail."""\n    await add("1")\n'


def test_mypy_agrees_with_what_routines_are(tmp_path: Path) -> None:
    """D1: calls, gathered calls, streams and methods have their types; a mistake is an error."""
    text = (ROOT / "tests/typing/mypy_api.py").read_text()
    for name, source in (("right", text), ("wrong", text + MISTAKE)):
        file = tmp_path / f"{name}.py"
        file.write_text(source)
        command = (sys.executable, "-m", "mypy", "--strict")
        checked = subprocess.run(
            (*command, "--cache-dir", tmp_path / "cache", file),
            # Where Catena is an installed package, whose own lines are not reported.
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        errors = [line for line in checked.stdout.splitlines() if ": error: " in line]
        if name == "right":
            assert (checked.returncode, errors) == (0, []), checked.stdout + checked.stderr
        else:
            assert len(errors) == 1, checked.stdout + checked.stderr
            assert "[arg-type]" in errors[0]
