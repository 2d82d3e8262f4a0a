"""Checks a release: version, changelog, the built wheel in an environment of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.release.kept import changed_since_release, wrong_digests

ROOT = Path(__file__).parents[2]

PROGRAM = """
import asyncio, os, catena

@catena.routine
async def whoami():
    return os.getpid()

async def main():
    async with catena.WorkerPool(2):
        assert await whoami() != os.getpid()

asyncio.run(main())
print(catena.__version__)
"""


def run(*command: str | Path, where: Path = ROOT) -> str:
    """Run a command to its end and return what it printed. Raises CalledProcessError."""
    done = subprocess.run(
        list(map(str, command)), cwd=where, check=True, capture_output=True, text=True, timeout=600
    )
    return done.stdout


def project_version() -> str:
    """Return the version that pyproject.toml has."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def check_version() -> str:
    """The version is a release's, and the changelog's first section is about it."""
    version = project_version()
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"version {version} is not that of a release")
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    if first is None or first[1] != version:
        raise ValueError(f"the changelog's first section is not about {version}")
    return version


def check_tree() -> str:
    """Everything is committed."""
    left = run("git", "status", "--porcelain")
    if left:
        raise ValueError(f"not committed:\n{left}")
    return run("git", "rev-parse", "HEAD").strip()


def check_released() -> str:
    """What earlier releases left under tests/compat is as it was."""
    wrong = [*wrong_digests(), *changed_since_release()]
    if wrong:
        raise ValueError("\n".join(wrong))
    return "unchanged"


@contextmanager
def built() -> Iterator[Path]:
    """Build the wheel in a folder of its own, and yield its path."""
    with tempfile.TemporaryDirectory() as folder:
        run(sys.executable, "-m", "build", "--outdir", folder)
        (wheel,) = Path(folder).glob("*.whl")
        yield wheel


def check_wheel(wheel: Path) -> str:
    """The wheel holds the package, its types marker and the page of errors, and nothing else."""
    names = zipfile.ZipFile(wheel).namelist()
    others = [one for one in names if not one.startswith(("catena/", "catena_dispatch-"))]
    wanted = ("catena/py.typed", "errors.md")
    missing = [one for one in wanted if not any(name.endswith(one) for name in names)]
    if others or missing:
        raise ValueError(f"the wheel has {others}, and lacks {missing}")
    return f"{len(names)} files"


def check_installed(wheel: Path) -> str:
    """Installed alone it starts workers, and its command says its version."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
        program = Path(folder, "program.py")
        program.write_text(PROGRAM)
        said = run(python, program, where=Path(folder)).strip()
        command = run(Path(folder, "bin", "catena"), "--version", where=Path(folder))
    if said != project_version() or project_version() not in command:
        raise ValueError(f"it says {said!r} and {command!r}")
    return said


def main() -> int:
    """Run every check; return 1 when one of them fails."""
    failed = 0

    def report(check: Callable[[], str], title: str) -> None:
        nonlocal failed
        try:
            print(f"ok     {title}: {check()}")
        except (ValueError, subprocess.CalledProcessError) as error:
            failed = 1
            print(f"FAILS  {title}: {error}\n{getattr(error, 'stderr', '') or ''}")

    report(check_version, "version")
    report(check_tree, "commit")
    report(check_released, "earlier releases")
    with built() as wheel:
        report(lambda: check_wheel(wheel), "wheel")
        report(lambda: check_installed(wheel), "installed")
    return failed


if __name__ == "__main__":
    sys.exit(main())
