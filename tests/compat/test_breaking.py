"""V1, V3: the proto breaks nothing that a release relies on; Buf compares it with their images."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.house.imports import SOURCE
from tests.release.kept import COMPAT

BUF = Path(sys.executable).parent / "buf"
PROTO = SOURCE.parent / "proto"
RELEASES = list(tomllib.loads((COMPAT / "releases.toml").read_text()))
RULES = json.dumps(
    {"version": "v2", "breaking": {"use": ["FILE"], "except": ["FIELD_SAME_JSON_NAME"]}}
)
"""The strictest rules: also what breaks generated code counts. Images have no names for JSON."""

CHANGES = {
    "another number": ("uint32 function = 7;", "uint32 function = 77;"),
    "another type": ("bytes proxy_id = 8 [", "string proxy_id = 8 ["),
    "another name": ("uint64 pid = 6;", "uint64 process = 6;"),
    "a field that is gone": ("bool more = 5;", ""),
    "a number that is used again": ("string trace = 16;", "Carrier trace = 16;"),
    "a kind that is gone": ("PONG = 14;", ""),
    "another way of calling": ("returns (stream Batch)", "returns (Batch)"),
}


def find_breaking(proto: Path, version: str, folder: Path) -> list[str]:
    """Return what breaks a release, as Buf says it."""
    done = subprocess.run(
        [
            *(BUF, "breaking", proto, "--config", RULES, "--error-format", "json"),
            *("--against", f"{COMPAT / version / 'catena.binpb'}#format=binpb"),
        ],
        env={"HOME": str(folder), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    # 100 says that something was found; anything else but 0 is a mistake in the call.
    assert done.returncode in (0, 100), done.stderr
    assert bool(done.stdout.strip()) == (done.returncode == 100)
    return [json.loads(line)["type"] for line in done.stdout.splitlines()]


@pytest.mark.parametrize("version", RELEASES)
def test_the_proto_breaks_no_release(version: str, tmp_path: Path) -> None:
    """V1: fields are added and never changed."""
    assert find_breaking(PROTO, version, tmp_path) == []


@pytest.mark.parametrize("change", CHANGES)
def test_a_breaking_change_is_found(change: str, tmp_path: Path) -> None:
    """The comparison fails for a change of each kind."""
    before, after = CHANGES[change]
    text = (PROTO / "catena" / "v1" / "catena.proto").read_text("utf-8")
    changed = tmp_path / "proto" / "catena" / "v1" / "catena.proto"
    changed.parent.mkdir(parents=True)
    changed.write_text(text.replace(before, after, 1), "utf-8")

    assert text.count(before) == 1
    assert find_breaking(tmp_path / "proto", "0.1.0", tmp_path) != []
