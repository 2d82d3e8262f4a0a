"""The cases of the seed documents: each is held by tests that there are and that run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CASES = ROOT / "tests" / "seed_cases.toml"

COLLECT = (sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "tests.house.collected")

# How many cases each seed document lists, or rows its table has.
SEEDS = {
    "001_949b5d6cb29b7acd.txt": 14,
    "002_293e768c5dad6820.txt": 27,
    "003_169d28138a7143c1.txt": 7,
}


def cases(text: str) -> list[dict[str, Any]]:
    """Return the rows of the file."""
    return tomllib.loads(text)["case"]


def wanting(rows: Iterable[Mapping[str, Any]], collected: Mapping[str, bool]) -> list[str]:
    """Return what is wrong with rows, given which tests are collected and which are skipped."""
    wrong: list[str] = []
    for row in rows:
        case = f"{row['seed']} case {row['number']}"
        if not row["tests"] or not row["clauses"]:
            wrong.append(f"{case} has no test or no clause")
        for id in row["tests"]:
            skipped = [skip for one, skip in collected.items() if _stands_for(id, one)]
            if not skipped:
                wrong.append(f"{case}: there is no {id}")
            elif all(skipped):
                wrong.append(f"{case}: skipped is {id}")
    return wrong


def missing(rows: Iterable[Mapping[str, Any]], seeds: Mapping[str, int]) -> list[str]:
    """Return the cases that have no row, or more than one, or that no seed lists."""
    wanted = [(seed, number) for seed, count in seeds.items() for number in range(1, count + 1)]
    found = [(row["seed"], row["number"]) for row in rows]
    return [
        f"{seed} case {number}: {found.count((seed, number))} rows"
        for seed, number in sorted({*wanted, *found})
        if found.count((seed, number)) != 1 or (seed, number) not in wanted
    ]


def _stands_for(id: str, collected: str) -> bool:
    """Say whether an id means a collected test: itself, or one of its parameters."""
    if id.endswith("]"):
        return collected == id or collected.startswith(id[:-1] + "-")
    return collected == id or collected.startswith(id + "[")


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """All tests of the files that are named, by id, with whether they are skipped."""
    told = tmp_path_factory.mktemp("collected") / "ids.json"
    files = {
        id.partition("::")[0] for row in cases(CASES.read_text("utf-8")) for id in row["tests"]
    }
    there = sorted(file for file in files if (ROOT / file).exists())
    done = subprocess.run(
        [
            *COLLECT,
            "-o",
            f"cache_dir={told.parent / 'cache'}",
            "--continue-on-collection-errors",
            *there,
        ],
        cwd=ROOT,
        env={**os.environ, "COLLECTED": str(told)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert told.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return json.loads(told.read_text("utf-8"))


def test_every_case_is_held_by_tests_that_run(collected: dict[str, bool]) -> None:
    """An id that is gone, or a test that is skipped, holds nothing."""
    assert wanting(cases(CASES.read_text("utf-8")), collected) == []


def test_every_case_of_a_seed_has_a_row() -> None:
    """A seed's cases are there from the first to the last, each once."""
    assert missing(cases(CASES.read_text("utf-8")), SEEDS) == []


def test_an_overruled_case_names_the_clause_that_does() -> None:
    """Whoever overrules a case says why, and by which clause."""
    for row in cases(CASES.read_text("utf-8")):
        assert set(row) <= {"seed", "number", "clauses", "tests", "overruled"}
        why = row.get("overruled")
        assert why is None or why.partition(":")[0] in {"C3", "C8", "M2", "M7", "M9", "T1", "T2"}


def test_what_is_wrong_with_a_row_is_found() -> None:
    """Ids that are gone, tests that are skipped, empty rows, cases too few and too many."""
    there = {"a.py::test_a": False, "a.py::test_b[x-1]": True, "a.py::test_b[x-2]": True}

    def row(number: int, *tests: str, **more: Any) -> dict[str, Any]:
        return {"seed": "s", "number": number, "clauses": ["C1"], "tests": list(tests), **more}

    good = [row(1, "a.py::test_a"), row(2, "a.py::test_a")]
    assert wanting(good, there) == []
    assert wanting([row(1, "a.py::test_b[x]")], {**there, "a.py::test_b[x-3]": False}) == []
    assert wanting([row(1, "a.py::test_")], there) == ["s case 1: there is no a.py::test_"]
    assert wanting([row(1, "a.py::test_b[y]")], there) == ["s case 1: there is no a.py::test_b[y]"]
    assert wanting([row(1, "a.py::test_b")], there) == ["s case 1: skipped is a.py::test_b"]
    assert wanting([row(1)], there) == ["s case 1 has no test or no clause"]
    assert wanting([row(1, "a.py::test_a", clauses=[])], there) != []

    assert missing(good, {"s": 2}) == []
    assert missing(good, {"s": 3}) == ["s case 3: 0 rows"]
    assert missing([*good, good[0]], {"s": 2}) == ["s case 1: 2 rows"]
    assert missing(good, {"s": 1}) == ["s case 2: 1 rows"]


def test_the_collector_sees_what_is_skipped(tmp_path: Path) -> None:
    """Marks, conditions that hold, and a skip inside the test all count as skipped."""
    program = tmp_path / "test_some.py"
    program.write_text(
        "import pytest\n"
        "def test_runs(): pass\n"
        "@pytest.mark.skip(reason='x')\ndef test_marked(): pass\n"
        "@pytest.mark.skipif(True, reason='x')\ndef test_if(): pass\n"
        "@pytest.mark.skipif(False, reason='x')\ndef test_if_not(): pass\n"
        "def test_inside(): pytest.skip('x')\n"
    )
    told = tmp_path / "ids.json"
    subprocess.run(
        [*COLLECT, "-c", os.devnull, "--rootdir", str(tmp_path), str(program)],
        cwd=ROOT,
        env={**os.environ, "COLLECTED": str(told)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    skipped = {id.rpartition("::")[2]: it for id, it in json.loads(told.read_text()).items()}
    assert skipped == {
        "test_runs": False,
        "test_marked": True,
        "test_if": True,
        "test_if_not": False,
        "test_inside": True,
    }
