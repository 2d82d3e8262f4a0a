"""The analysis in this process, without Catena."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path

from catena.cli.demo.local import analyse
from catena.cli.demo.outcome import Progress
from catena.cli.demo.target import choose


def test_a_directory_is_analysed_row_by_row(tmp_path: Path) -> None:
    """Files, functions and problems are all there, and progress was told for each file."""
    (tmp_path / "good.py").write_text("def f():\n    return a or b\n")
    (tmp_path / "bad.py").write_text("def f(:\n")
    (tmp_path / "empty").mkdir()
    told: list[Progress] = []

    found = analyse(choose(str(tmp_path)), set(), report=told.append)

    assert [row.path for row in found.files] == ["good.py"]
    assert [(row.name, row.figures.complexity) for row in found.functions] == [("f", 2)]
    assert [problem.path for problem in found.problems] == ["bad.py", "empty"]
    assert told[-1] == Progress(read=2, known=2, functions=1)


def test_a_file_is_analysed_alone(tmp_path: Path) -> None:
    """A target that is a file needs no listing and no suffix."""
    (tmp_path / "script").write_text("x = 1\n")
    (tmp_path / "other.py").write_text("x = 1\n")

    found = analyse(choose(str(tmp_path / "script")), set())

    assert [row.path for row in found.files] == ["script"]


def imported(module: str) -> set[str]:
    """Every module of Catena that ``module`` imports, directly or through another."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    found = {module}
    for node in ast.walk(ast.parse(Path(spec.origin).read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("catena"):
            found |= imported(node.module)
    return found


def test_the_check_does_not_rest_on_what_it_checks() -> None:
    """What ``--check`` compares with is made by the demo's own pure modules and nothing below."""
    modules = imported("catena.cli.demo.local")

    assert "catena.cli.demo.analysis" in modules
    assert {name.rpartition(".")[0] for name in modules} == {"catena.cli.demo"}
