"""A network of the test's own: hosts that are network namespaces, and a switch that connects them.

The switch is a bridge in a namespace of its own, so nothing of it is in the machine's network, and
it all goes with the namespaces. A cable that is cut drops what is sent, and nobody is told: that is
what a machine without power or a broken switch looks like to the others.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

SUBNET = "10.77.0"
"""Hosts have numbers in it; nothing leads out of it, so it may be in use elsewhere."""

DEADLINE = 45.0
"""Seconds that anything may take which is only waited for; no promise is about so long a time."""

SETTLED = 1.5
"""Seconds after which what has not happened is taken not to happen."""

_PER_HOST = Path("/etc/netns")
"""Where ``ip netns exec`` looks for files that stand in for those of /etc."""


def find_obstacle() -> str:
    """Return why no network can be made here, empty where one can."""
    for program, package in (("ip", "iproute2"), ("dnsmasq", "dnsmasq-base")):
        if shutil.which(program) is None:
            return f"there is no {program} here (Debian: apt install {package})"
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    made = subprocess.run(["unshare", "--net", "--mount", "true"], capture_output=True, check=False)
    return made.stderr.decode().strip()


_obstacle = "" if os.environ.get("CI") else find_obstacle()

NEEDS_NETWORK = pytest.mark.skipif(bool(_obstacle), reason=_obstacle or "it can be made")


def until(condition: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    end = monotonic() + DEADLINE
    while not condition():
        assert monotonic() < end, f"it did not happen within {DEADLINE:g} s: {what}"
        sleep(0.02)


_serial = count(1)


class Network:
    """Hosts with addresses, the cables between them and their switch, and their processes."""

    def __init__(self) -> None:
        self.name = f"catena-{os.getpid()}-{next(_serial)}"
        self.addresses: dict[str, str] = {}
        self._processes: list[tuple[str, subprocess.Popen[Any]]] = []
        self._made_folder = not _PER_HOST.exists()
        self._switch = f"{self.name}-switch"
        _run("ip", "netns", "add", self._switch)
        try:
            self._run_at_switch("link", "add", "switch", "type", "bridge")
            self._run_at_switch("link", "set", "switch", "up")
        except BaseException:
            self.close()
            raise

    def add_host(self, name: str, number: int) -> str:
        """Add a host with an address, connect it, and return the address."""
        space = self.space_of(name)
        _run("ip", "netns", "add", space)
        self.addresses[name] = ""
        cable = ("type", "veth", "peer", "name", "eth0", "netns", space)
        self._run_at_switch("link", "add", f"to-{name}", *cable)
        self._run_at_switch("link", "set", f"to-{name}", "up")
        self.join(name)
        _run("ip", "-n", space, "link", "set", "lo", "up")
        # The same card as before where the host comes back: others know it by its number.
        card = f"02:00:00:00:00:{number:02x}"
        _run("ip", "-n", space, "link", "set", "eth0", "address", card, "up")
        self.addresses[name] = self.add_address(name, number)
        return self.addresses[name]

    def cut(self, name: str) -> None:
        """Cut a host's cable: what is sent is lost both ways, and both ends stay as they are."""
        self._run_at_switch("link", "set", f"to-{name}", "nomaster")

    def join(self, name: str) -> None:
        """Connect a host's cable, also again."""
        self._run_at_switch("link", "set", f"to-{name}", "master", "switch")

    def change_address(self, name: str, number: int) -> str:
        """Give a host another address; the old one leads nowhere from here on."""
        # All at once: others go with the first one.
        _run("ip", "-n", self.space_of(name), "address", "flush", "dev", "eth0")
        self.addresses[name] = self.add_address(name, number)
        return self.addresses[name]

    def add_address(self, name: str, number: int) -> str:
        """Give a host one more address, and return it."""
        address = f"{SUBNET}.{number}"
        _run("ip", "-n", self.space_of(name), "address", "add", f"{address}/24", "dev", "eth0")
        return address

    def ask_name_server(self, name: str, server: str) -> None:
        """Have the processes of a host ask the name server at another one."""
        folder = _PER_HOST / self.space_of(name)
        folder.mkdir(parents=True)
        (folder / "resolv.conf").write_text(f"nameserver {self.addresses[server]}\n")

    def start(self, name: str, *command: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a process on a host; it is killed at the end."""
        inside = ["ip", "netns", "exec", self.space_of(name), *command]
        process = subprocess.Popen(inside, **options)
        self._processes.append((name, process))
        return process

    def kill_host(self, name: str) -> None:
        """Take a host away, as when it loses its power: its processes say no word more."""
        self.cut(name)
        for process in self._take_processes(name):
            _end(process)
        self._run_at_switch("link", "del", f"to-{name}")
        self._remove_host(name)

    def list_pids(self) -> list[int]:
        """Return the processes that run on any of the hosts."""
        said = [_run("ip", "netns", "pids", space) for space in self.list_spaces()]
        return [int(pid) for one in said for pid in one.split()]

    def list_spaces(self) -> list[str]:
        """Return the namespaces that there are of this network."""
        lines = _run("ip", "netns", "list").splitlines()
        return [one.split()[0] for one in lines if one.startswith(self.name)]

    def close(self) -> None:
        """End all processes, and take everything away; raises what went wrong last."""
        for _, process in self._processes:
            _end(process)
        self._processes.clear()
        for pid in self.list_pids():
            # What those have started, and did not end.
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for name in [*self.addresses]:
            self._remove_host(name)
        _run("ip", "netns", "delete", self._switch)
        if self._made_folder:
            # Another run may have put something there.
            with suppress(OSError):
                _PER_HOST.rmdir()

    def space_of(self, name: str) -> str:
        """Return the namespace that is a host."""
        return f"{self.name}-{name}"

    def _take_processes(self, name: str) -> list[subprocess.Popen[Any]]:
        taken = [one for host, one in self._processes if host == name]
        self._processes = [one for one in self._processes if one[0] != name]
        return taken

    def _remove_host(self, name: str) -> None:
        _run("ip", "netns", "delete", self.space_of(name))
        shutil.rmtree(_PER_HOST / self.space_of(name), ignore_errors=True)
        del self.addresses[name]

    def _run_at_switch(self, *arguments: str) -> None:
        _run("ip", "-n", self._switch, *arguments)


def _run(*command: str) -> str:
    """Run a command that is over at once, and return what it prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr.strip()}"
    return done.stdout


def _end(process: subprocess.Popen[Any]) -> None:
    process.kill()
    process.wait(DEADLINE)
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()
