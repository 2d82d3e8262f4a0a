"""A real name server (Debian's dnsmasq) on a host of the test's network, for the domain ``test``.

It reads its records when it starts. So it is started anew for each change, which takes it some
hundredths of a second, in which nobody answers.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.network.hosts import Network

_CONFIG = """\
no-daemon
no-hosts
no-resolv
bind-interfaces
user=root
pid-file=
listen-address={address}
auth-server=ns.test,{address}
auth-zone=test
auth-ttl=1
auth-soa=1,hostmaster.test,1,1,1
"""


class NameServer:
    """Answers for names that end in ``.test``; an answer counts for a second."""

    def __init__(self, network: Network, host: str, folder: Path) -> None:
        self._network = network
        self._host = host
        self._config = folder / f"{host}.conf"
        self._process: subprocess.Popen[Any] | None = None

    def serve(
        self,
        *,
        services: Iterable[tuple[str, str, int]] = (),
        addresses: Iterable[tuple[str, str]] = (),
    ) -> None:
        """Answer with these records alone: SRV (name, target, port) and A (name, address)."""
        lines = [f"srv-host={name},{target},{port}" for name, target, port in services]
        lines += [f"host-record={name},{address}" for name, address in addresses]
        address = self._network.addresses[self._host]
        self._config.write_text(_CONFIG.format(address=address) + "\n".join(lines) + "\n")
        self.stop()
        with self._config.with_suffix(".log").open("a") as log:
            command = ("dnsmasq", f"--conf-file={self._config}")
            self._process = self._network.start(self._host, *command, stderr=log)

    def stop(self) -> None:
        """Answer nothing: there is nobody at the port."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
