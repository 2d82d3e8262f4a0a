"""Releases stay as they were cut: wheel, golden frames and descriptor image."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from tests.release.kept import changed_since_release, wrong_digests


def test_what_releases_left_is_as_it_was() -> None:
    """V1: every file of a release has the SHA-256 that was noted, and no commit has touched it."""
    assert wrong_digests() == []
    assert changed_since_release() == []


def release(folder: Path) -> Path:
    """Make a folder of releases with one file in it, and return that file."""
    file = folder / "1.0" / "frames"
    file.parent.mkdir()
    file.write_bytes(b"frames")
    digest = hashlib.sha256(b"frames").hexdigest()
    (folder / "releases.toml").write_text(f'["1.0"]\nsha256 = {{frames = "{digest}"}}\n')
    return file


def test_a_file_that_is_another_one_is_found(tmp_path: Path) -> None:
    """A changed, a missing and an unlisted file are named."""
    file = release(tmp_path)
    assert wrong_digests(tmp_path) == []

    file.write_bytes(b"other frames")
    (file.parent / "more").touch()
    found = wrong_digests(tmp_path)
    assert any("frames is" in one for one in found)
    assert any("more is not listed" in one for one in found)

    file.unlink()
    assert any("is missing" in one for one in wrong_digests(tmp_path))


def test_a_commit_that_changes_a_release_is_found(tmp_path: Path) -> None:
    """Also where the noted digest was changed with it."""
    file = release(tmp_path)

    def git(*arguments: str) -> None:
        names = ("-c", "user.name=t", "-c", "user.email=t@example.com")
        subprocess.run(["git", *names, *arguments], cwd=tmp_path, check=True, timeout=60)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "cut")
    assert changed_since_release(tmp_path) == []

    file.write_bytes(b"other frames")
    git("commit", "-qam", "changed")
    assert changed_since_release(tmp_path) == ["1.0/frames was changed"]
