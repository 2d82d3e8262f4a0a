"""Another user of this machine: a process that gives up root, and does one thing.

``python -m tests.security.another_user ACTION PATH`` prints what came of it. What it needs is
imported before, because afterwards it may not read this checkout.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["NOBODY", "act", "begin"]

NOBODY = 65534
ROOT = Path(__file__).parents[2]
SECONDS = 20


def act(action: str, path: Path) -> str:
    """Let another user do something with a path; return what came of it."""
    with begin(action, path) as process:
        said, _ = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, process.returncode
    return said.strip()


def begin(action: str, path: Path) -> subprocess.Popen[str]:
    """Let another user begin to do something that lasts until its standard input is closed."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.security.another_user", action, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _connect(path: Path) -> str:
    with socket.socket(socket.AF_UNIX) as plain:
        plain.settimeout(SECONDS)
        plain.connect(str(path))
        return "connected"


def _enter(path: Path) -> str:
    return ", ".join(os.listdir(path))  # noqa: PTH208 - a folder that it may not read


def _replace(path: Path) -> str:
    path.unlink()
    path.write_text("mine")
    return "replaced"


def _write_record(path: Path) -> str:
    record = {"id": path.stem, "target": f"unix:{path.parent}/mine.sock"}
    path.write_text(json.dumps(record))
    return "written"


def _own(path: Path) -> str:
    path.mkdir()
    path.chmod(0o777)
    return "made"


def _listen(path: Path) -> str:
    """Listen until standard input is closed; return how many came, and what they have sent."""
    with socket.socket(socket.AF_UNIX) as plain:
        plain.bind(str(path))
        path.chmod(0o777)
        plain.listen()
        plain.setblocking(False)
        print("listens", flush=True)
        sys.stdin.read()
        came, sent = 0, b""
        while True:
            try:
                caller, _ = plain.accept()
            except BlockingIOError:
                return f"{came > 0} {len(sent)}"
            with caller:
                caller.settimeout(SECONDS)
                came += 1
                sent += caller.recv(4096)


_ACTIONS: dict[str, Callable[[Path], str]] = {
    "connect": _connect,
    "enter": _enter,
    "listen": _listen,
    "own": _own,
    "replace": _replace,
    "write a record": _write_record,
}


def main() -> None:
    """Become nobody, and do what is asked for."""
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    try:
        print(_ACTIONS[sys.argv[1]](Path(sys.argv[2])))
    except OSError as error:
        print(type(error).__name__)


if __name__ == "__main__":
    main()
