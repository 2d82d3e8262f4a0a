"""What releases have left under ``tests/compat``, and whether it is as it was."""

from __future__ import annotations

import hashlib
import subprocess
import tomllib
from pathlib import Path

__all__ = ["COMPAT", "changed_since_release", "wrong_digests"]

COMPAT = Path(__file__).parents[1] / "compat"


def wrong_digests(folder: Path = COMPAT) -> list[str]:
    """Return the files that are not those of which ``releases.toml`` has the SHA-256."""
    releases = tomllib.loads((folder / "releases.toml").read_text())
    wrong: list[str] = []
    for version, release in releases.items():
        listed = {folder / version / name: digest for name, digest in release["sha256"].items()}
        there = {one for one in (folder / version).rglob("*") if one.is_file()}
        wrong += [f"{one} is not listed" for one in sorted(there - set(listed))]
        for path, digest in listed.items():
            found = hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "missing"
            if found != digest:
                wrong.append(f"{path} is {found}, not {digest}")
    return wrong


def changed_since_release(folder: Path = COMPAT) -> list[str]:
    """Return the files of releases that a commit has changed or removed since they were added.

    Where there is no history, as in an archive, there is nothing to say.
    """
    versions = tomllib.loads((folder / "releases.toml").read_text())
    if not versions:
        return []
    found = subprocess.run(
        ["git", "log", "--diff-filter=MD", "--name-only", "--format=", "--", *versions],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return [f"{name} was changed" for name in sorted(set(found.stdout.split()))]
