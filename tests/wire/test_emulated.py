"""CATENA_EMULATE_PROTOCOL: a process speaks the protocol of an older release, for debugging."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from catena.wire import codec, emulated, versions
from catena.wire.codec import MemberFacts
from catena.wire.emulated import OLDER, VARIABLE, find_emulated
from catena.wire.frames import Hello
from tests.release.kept import COMPAT

PROGRAM = """
import asyncio, json, logging, os
import catena
from catena.wire import versions

logging.basicConfig(format="%(message)s")

@catena.routine
async def spoken():
    return os.getpid(), versions.PROTOCOL, versions.CAPABILITIES

async def main():
    async with catena.WorkerPool(spawn=2, slots=2) as pool:
        found = list((await pool.broadcast(spoken)).values())
        mine = versions.make_hello("me"), versions.make_hello("me")
        print(json.dumps([found, os.getpid(), mine[0].minor, mine[0].slots]))

asyncio.run(main())
"""


def run(program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_0_1_0_spoke_is_known() -> None:
    """V1: the emulated version and capabilities are those of the Hello that 0.1.0 left."""
    frames = tomllib.loads((COMPAT / "0.1.0" / "frames.toml").read_text())
    (hello,) = codec.decode_message(bytes.fromhex(frames["hello"])).frames
    assert isinstance(hello, Hello)

    assert OLDER["0.1"] == (hello.minor, hello.capabilities, "0.1")
    assert set(hello.capabilities) < set(versions.CAPABILITIES)
    assert hello.minor < versions.MINOR


@pytest.mark.parametrize("environment", [{}, {VARIABLE: ""}])
def test_nothing_is_emulated_unless_asked_for(environment: dict[str, str]) -> None:
    """V1: without a value the process speaks its own protocol."""
    assert find_emulated(environment) is None


@pytest.mark.parametrize("value", ["0.2", "0.1.0", "1.0", "yes", " 0.1"])
def test_an_unknown_release_is_an_error_when_catena_is_imported(value: str) -> None:
    """V1: the error names the variable, what it is, and the values that are allowed."""
    with pytest.raises(ValueError, match=rf"{VARIABLE} is '{value}'; .* can be emulated are: 0.1$"):
        find_emulated({VARIABLE: value})


def test_it_is_an_error_at_start() -> None:
    """V1: neither a program nor the command line begins."""
    for program in ("import catena", "import catena.cli.main"):
        done = run(program, **{VARIABLE: "0.9"})
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1].startswith(f"ValueError: {VARIABLE} is '0.9'")


def test_workers_inherit_it_and_each_process_says_so_once() -> None:
    """V1: the pool's environment is that of its workers; nobody forgets that it is set."""
    done = run(PROGRAM, **{VARIABLE: "0.1"})
    assert done.returncode == 0, done.stderr
    found, mine, minor, slots = json.loads(done.stdout)
    workers = [pid for pid, *_ in found]

    assert (minor, slots) == (0, 0)
    assert {(protocol, *some) for _, protocol, some in found} == {("1.0", "delta", "names")}
    for pid in (mine, *workers):
        said = f"process {pid} speaks the protocol of release 0.1, because {VARIABLE} is set"
        assert done.stderr.count(said) == 1, done.stderr


def test_a_pool_is_named_as_the_older_release_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """V1: none of the fields that came later are in its proxy."""
    member = MemberFacts("w1", "unix:/w1", found=True, shared=True, leaf=b"pem")
    monkeypatch.setattr(versions, "MINOR", 0)
    encoded = codec.encode_proxy(b"i" * 16, [member], 7)

    found = codec.decode_proxy(encoded)
    assert found == (b"i" * 16, (MemberFacts("w1", "unix:/w1"),), 0, 0)


def test_the_module_reads_nothing_but_the_environment() -> None:
    """V1: the releases that can be emulated are those whose protocol is written down here."""
    assert Path(emulated.__file__).read_text("utf-8").count("os.environ") == 1
    assert all(one.emulates == name for name, one in OLDER.items())
