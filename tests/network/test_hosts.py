"""The network that the other tests of this folder stand on."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.network.hosts import NEEDS_NETWORK, Network, find_obstacle, until
from tests.network.stage import Stage

pytestmark = NEEDS_NETWORK

_ECHO = """
import socket
with socket.create_server(("", 7)) as server:
    print("listens", flush=True)
    taken, _ = server.accept()
    while said := taken.recv(16):
        taken.sendall(said)
"""
_TALK = """
import socket, sys
with socket.create_connection((sys.argv[1], 7)) as talk:
    for line in sys.stdin:
        talk.sendall(line.encode())
        print(talk.recv(16).decode(), end="", flush=True)
"""


def test_a_cut_cable_loses_what_is_sent_and_ends_nothing(stage: Stage) -> None:
    """Neither end hears of it, and what was sent meanwhile arrives when it is connected again."""
    stage.add_hosts("a", "b")
    there = stage.network.start("b", sys.executable, "-c", _ECHO, stdout=subprocess.PIPE, text=True)
    assert there.stdout.readline() == "listens\n"
    talk = stage.network.start(
        "a",
        *(sys.executable, "-c", _TALK, stage.network.addresses["b"]),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def say(word: str) -> None:
        talk.stdin.write(f"{word}\n")
        talk.stdin.flush()

    say("hello")
    assert talk.stdout.readline() == "hello\n"
    stage.network.cut("b")
    say("lost")
    with pytest.raises(subprocess.TimeoutExpired):
        talk.wait(1)
    stage.network.join("b")
    assert talk.stdout.readline() == "lost\n"


def test_everything_is_gone_when_a_test_fails(tmp_path: Path) -> None:
    """Processes and what they have started, namespaces and files."""
    network = Network()
    network.add_host("a", 1)
    network.add_host("b", 2)
    network.ask_name_server("a", "b")
    orphan = "import subprocess; subprocess.Popen(['sleep', '600']); print('started', flush=True)"
    started = network.start("a", sys.executable, "-c", orphan, stdout=subprocess.PIPE, text=True)
    assert started.stdout.readline() == "started\n"
    started.wait(10)
    (left,) = network.list_pids()
    network.close()
    until(lambda: not Path(f"/proc/{left}").exists(), "the orphan ends")
    assert network.list_spaces() == []
    assert not [*Path("/etc").glob(f"netns/{network.name}*")]


def test_the_machine_s_own_network_is_left_alone(stage: Stage) -> None:
    """Interfaces and bridge are in namespaces, so that a network in use cannot be hit."""
    before = {name for _, name in socket.if_nameindex()}
    stage.add_hosts("a", "b")
    assert {name for _, name in socket.if_nameindex()} == before


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which program, and the package that brings it."""
    monkeypatch.setenv("PATH", "/nowhere")
    assert find_obstacle() == "there is no ip here (Debian: apt install iproute2)"
