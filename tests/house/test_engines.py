"""The stage of its own in which workers on real engines are tested."""

from __future__ import annotations

import subprocess
import tomllib

from tests.house.docs_examples import ROOT

ENGINES = {"ray", "dask"}


def pinned(name: str) -> dict[str, str]:
    """Return the versions in a file of constraints."""
    lines = (ROOT / name).read_text("utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {package.lower(): version for package, version in pairs}


def test_the_stage_runs_in_ci_and_by_hand() -> None:
    """`make engines` is that stage alone; in CI it follows what is run beside the tests."""
    ran = subprocess.run(
        ["make", "--dry-run", "engines", "ARGS=-k spread"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "sh .ci/engines -k spread" in ran.stdout
    assert '[ -z "${CI:-}" ] || sh .ci/engines' in (ROOT / ".ci" / "tests").read_text("utf-8")


def test_its_environment_has_every_engine() -> None:
    """The extra of each engine is installed there, in versions that are pinned once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = ENGINES & set(project["optional-dependencies"])
    (install,) = (
        line
        for line in (ROOT / ".ci" / "engines").read_text("utf-8").splitlines()
        if "--editable" in line
    )
    installed = set(install.partition("[")[2].partition("]")[0].split(","))

    assert extras
    assert extras <= installed
    assert extras <= set(pinned("constraints-engines.txt"))
    assert not set(pinned("constraints-engines.txt")) & set(pinned("constraints.txt"))
