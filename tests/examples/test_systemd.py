"""The unit for systemd: systemd finds nothing wrong with it, and it fits Catena."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from catena.cli.ending import USAGE
from catena.security.files import CA, CERTIFICATE, KEY
from tests.examples.commands import EXAMPLES, parse_worker, seconds_to_end

UNIT = EXAMPLES / "systemd" / "catena-worker@.service"
NEEDS_SYSTEMD = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None and not os.environ.get("CI"),
    reason="there is no systemd-analyze here (Debian: apt install systemd)",
)
EXPOSURE = 30
"""The most that systemd may find open in the unit, of 100."""


def read_unit() -> dict[str, list[str]]:
    """Return the settings of the unit, each with all of its values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text("utf-8").splitlines():
        if setting := re.fullmatch(r"(\w+)=(.*)", line):
            found.setdefault(setting[1], []).append(setting[2])
    return found


SETTINGS = read_unit()


def say(name: str) -> str:
    """Return the one value of a setting."""
    (value,) = SETTINGS[name]
    return value


def expand() -> list[str]:
    """Return the command of the instance ``w1``, as systemd starts it."""
    text = say("ExecStart").replace("%i", "w1").replace("${LISTEN}", "10.0.0.5:7801")
    return shlex.split(text.replace("${CREDENTIALS_DIRECTORY}", "/run/credentials/x"))


def analyze(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Let systemd look at an instance whose command is on this machine."""
    path = folder / "catena-worker@w1.service"
    text = UNIT.read_text("utf-8")
    path.write_text(text.replace(expand()[0], sys.executable), "utf-8")
    return subprocess.run(
        ["systemd-analyze", *words, path], capture_output=True, text=True, timeout=60, check=False
    )


@NEEDS_SYSTEMD
def test_systemd_finds_nothing_wrong(tmp_path: Path) -> None:
    """Every setting is one that it knows, with a value that it takes."""
    done = analyze(tmp_path, "verify", "--man=no")

    assert (done.returncode, done.stderr) == (0, "")


@NEEDS_SYSTEMD
def test_the_service_may_do_little(tmp_path: Path) -> None:
    """Systemd's own measure of what a service could do to the machine stays low."""
    done = analyze(tmp_path, "security", "--offline=true", "--no-pager", f"--threshold={EXPOSURE}")

    assert done.returncode == 0, done.stdout.splitlines()[-1]


def test_the_worker_starts_with_what_the_product_takes() -> None:
    """Its command line parses; the instance is the worker's id, its address comes from a file."""
    options = parse_worker(expand())

    assert (options["id"], options["pool"], options["listen"]) == ("w1", "shop", "10.0.0.5:7801")
    assert not options["insecure"]
    assert say("EnvironmentFile") == "/etc/shop/%i.env"


def test_the_worker_has_the_time_that_its_calls_have() -> None:
    """P12: SIGTERM, once and to the worker alone; it is killed only after drain and clean-up."""
    assert (say("KillSignal"), say("KillMode")) == ("SIGTERM", "mixed")
    assert float(say("TimeoutStopSec")) > seconds_to_end(parse_worker(expand()))


def test_a_wrong_command_line_is_not_tried_again() -> None:
    """A worker that has failed is started again, and one that cannot start is not."""
    assert say("Restart") == "on-failure"
    assert say("RestartPreventExitStatus") == str(USAGE)


def test_certificates_are_handed_over_under_the_names_that_are_read() -> None:
    """The service gets a folder of its own with exactly the three files."""
    loaded = dict(one.split(":", 1) for one in SETTINGS["LoadCredential"])

    assert loaded == {name: f"/etc/shop/%i/{name}" for name in (CA, CERTIFICATE, KEY)}
    assert "--certs ${CREDENTIALS_DIRECTORY} " in say("ExecStart")


def test_records_are_where_the_service_may_write() -> None:
    """It announces itself in its runtime directory, which outlives one of several instances."""
    (place,) = parse_worker(expand())["announce"]

    assert place == f"dir:/run/{say('RuntimeDirectory')}"
    assert say("RuntimeDirectoryPreserve") == "yes"
    # Pools of other users read it, and only the service's own user writes there.
    assert say("RuntimeDirectoryMode") == "0755"
