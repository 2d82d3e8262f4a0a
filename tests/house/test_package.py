"""What is shipped: the archives hold what they should, and the wheel works with nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

import catena
from tests.house.docs_examples import ROOT

pytestmark = pytest.mark.timeout(400)  # seconds; an environment is made and filled here

PROGRAM = """
import asyncio, os, sys
import catena

seen = catena.ContextVar("seen", default=0)

@catena.routine
async def visit():
    seen.set(seen.get() + 1)
    return os.getpid()

async def main():
    async with catena.WorkerPool(spawn=2):
        pids = {await visit(), await visit(), os.getpid()}
        print(len(pids), seen.get(), catena.__file__.startswith(sys.prefix))

asyncio.run(main())
"""


@dataclass(frozen=True, slots=True)
class Archives:
    """The files that were built."""

    wheel: Path
    sdist: Path

    def wheel_names(self) -> set[str]:
        """The paths in the wheel."""
        with zipfile.ZipFile(self.wheel) as archive:
            return set(archive.namelist())

    def sdist_names(self) -> set[str]:
        """The paths in the source archive below its one folder."""
        with tarfile.open(self.sdist) as archive:
            return {name.partition("/")[2] for name in archive.getnames()}

    def metadata(self) -> Message:
        """The wheel's METADATA."""
        with zipfile.ZipFile(self.wheel) as archive:
            name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
            return Parser().parsestr(archive.read(name).decode())


def command(*arguments: str | Path, cwd: Path) -> str:
    """Run a command to its end and return what it printed; a failure shows all of its output."""
    hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
    ran = subprocess.run(
        [str(argument) for argument in arguments],
        cwd=cwd,
        env={name: value for name, value in os.environ.items() if name not in hidden},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    """Both archives; the wheel is built from the source archive, so that one is complete."""
    out = tmp_path_factory.mktemp("dist")
    command(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return Archives(next(out.glob("*.whl")), next(out.glob("*.tar.gz")))


@pytest.fixture(scope="module")
def installed(archives: Archives, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin folder of a new environment with the wheel and what it asks for, nothing else."""
    home = tmp_path_factory.mktemp("empty") / "environment with a blank"
    command(sys.executable, "-m", "venv", home, cwd=home.parent)
    pip = (home / "bin" / "python", "-m", "pip", "install", "-qq")
    command(*pip, "-c", ROOT / "constraints.txt", archives.wheel, cwd=home.parent)
    return home / "bin"


def test_the_wheel_holds_the_package(archives: Archives) -> None:
    """Every file of src/catena is in the wheel, the marker of types and generated modules too."""
    source = ROOT / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in (source / "catena").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    names = archives.wheel_names()

    assert {name for name in names if ".dist-info/" not in name} == files
    assert names >= {
        "catena/py.typed",
        "catena/wire/v1/catena_pb2.py",
        "catena/wire/v1/catena_pb2.pyi",
    }


def test_the_source_archive_holds_what_the_build_needs(archives: Archives) -> None:
    """Sources, proto and papers are in the source archive; tests, tooling, other docs are not."""
    names = archives.sdist_names()
    docs = {name for name in names if name.startswith("docs")}
    tops = {name.partition("/")[0] for name in names - docs}
    papers = {"CHANGELOG.md", "LICENSE", "README.md", "SECURITY.md"}

    assert tops - {""} == papers | {".gitignore", "PKG-INFO", "proto", "pyproject.toml", "src"}
    assert "docs/reference/errors.md" in docs
    assert not [name for name in docs if name.endswith(".md") and "errors" not in name]


def test_the_metadata_tells_the_truth(archives: Archives) -> None:
    """Name and version are the package's own, and no requirement is an address."""
    metadata = archives.metadata()

    assert (metadata["Name"], metadata["Version"]) == ("catena-dispatch", catena.__version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert not [line for line in metadata.get_all("Requires-Dist", []) if "://" in line]


def test_the_wheel_works_in_an_empty_environment(installed: Path, tmp_path: Path) -> None:
    """Installed from the wheel alone, a script opens a pool, dispatches, and context returns."""
    (tmp_path / "script.py").write_text(PROGRAM)

    assert command(installed / "python", "script.py", cwd=tmp_path) == "3 2 True\n"


def test_the_command_is_installed(installed: Path, tmp_path: Path) -> None:
    """The wheel brings the command `catena`."""
    assert "demo" in command(installed / "catena", "--help", cwd=tmp_path)


def test_the_installed_command_explains_errors(installed: Path, tmp_path: Path) -> None:
    """What an error's text names works where the checkout and its docs are not."""
    assert "Remedy." in command(installed / "catena", "explain", "NoPool", cwd=tmp_path)
