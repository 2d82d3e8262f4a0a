"""The Pythons: what is promised is what is tested, and one that is not here is told."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.house.docs_examples import ROOT, pages

SCRIPT = ROOT / ".ci" / "versions"
VERSION = re.compile(r"\b3\.\d+(?![\d.])")


def promised() -> set[str]:
    """The versions that the package's metadata names."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = (
        one.removeprefix("Programming Language :: Python :: ") for one in project["classifiers"]
    )
    return {one for one in named if VERSION.fullmatch(one)}


def program(path: Path, text: str) -> Path:
    """Write a program of the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def found(*arguments: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run the script with a home of the test, whose ``bin`` is on the path."""
    return subprocess.run(
        ["/bin/sh", SCRIPT, *arguments],
        env={"HOME": str(home), "PATH": f"{home / 'bin'}:/bin:/usr/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_version_that_is_not_here_is_told(tmp_path: Path) -> None:
    """It is printed by its number, and is no failure; the others are looked for all the same."""
    program(tmp_path / "bin" / "python3.99", "echo 3.99")

    ran = found("--find", "3.98", "3.99", home=tmp_path)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.splitlines() == [
        "versions: Python 3.98 is not here (no python3.98 that can make environments)",
        "versions: Python 3.99 is python3.99",
    ]


def test_versions_that_are_not_here_run_nothing(tmp_path: Path) -> None:
    """Without --find, too: nothing is made, nothing fails."""
    ran = found("3.98", home=tmp_path)

    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("versions: Python 3.98 is not here")
    assert not (ROOT / ".cache" / "python-3.98").exists()


@pytest.mark.parametrize("shim", ["echo 'not installed' >&2; exit 127", "echo 3.99", ""])
def test_a_name_without_the_version_behind_it_is_passed_over(shim: str, tmp_path: Path) -> None:
    """A shim that runs another one, or none, does not count; pyenv's own folder is looked into."""
    there = program(tmp_path / ".pyenv" / "versions" / "3.98.4" / "bin" / "python", "echo 3.98")
    program(tmp_path / "bin" / "python3.98", shim)

    ran = found("--find", "3.98", home=tmp_path)

    assert ran.stdout == f"versions: Python 3.98 is {there}\n"


@pytest.mark.parametrize("word", ["3", "3.", "3.1x", "31.2", "2.7", "3x12", "newest", "3.12.1"])
def test_what_is_no_version_is_refused(word: str, tmp_path: Path) -> None:
    """A typing mistake is not taken for a version that is not here."""
    ran = found("--find", word, home=tmp_path)

    assert ran.returncode == 1
    assert ran.stderr == f"versions: '{word}' is no version such as 3.12\n"


def test_without_versions_it_is_those_that_are_promised(tmp_path: Path) -> None:
    """What the metadata names is what `make versions` looks for."""
    ran = found("--find", home=tmp_path)

    assert ran.returncode == 0
    named = re.findall(r"^versions: Python (\S+) is ", ran.stdout, re.MULTILINE)
    assert set(named) == promised()


def test_the_pages_promise_what_is_tested() -> None:
    """The README names each version, and no page one more, nor all that are newer."""
    readme = (ROOT / "README.md").read_text("utf-8")
    sentence = re.search(r"It needs Python ([^a-z]+(?:or [\d.]+)?)", readme)

    assert sentence
    assert set(VERSION.findall(sentence[1])) == promised()
    for page in pages():
        text = page.read_text("utf-8")
        assert not re.search(r"3\.\d+\s+(?:or|and)\s+(?:newer|later|up)", text), page.name
        for said in re.findall(r"Python\s+(3\.\d+(?:(?:,|\s|or\b|and\b)*3\.\d+)*)", text):
            assert set(VERSION.findall(said)) <= promised(), (page.name, said)


@pytest.mark.parametrize(("given", "more"), [("", False), ("  ", False), ("3.98", True)])
def test_only_who_asks_tests_other_versions(given: str, more: bool) -> None:
    """`make test` hands PYTHONS to the script of the tests, which hands it to that of versions."""
    ran = subprocess.run(
        ["make", "--dry-run", "test", f"PYTHONS={given}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert f"sh .ci/tests {given}".strip() in ran.stdout
    assert ("3.98" in ran.stdout) == more
    assert '[ $# = 0 ] || sh .ci/versions "$@"' in (ROOT / ".ci" / "tests").read_text()
