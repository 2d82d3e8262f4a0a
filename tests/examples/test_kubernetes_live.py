"""The pods of the example as processes on loopback: their command lines, DNS, mounted Secrets."""

from __future__ import annotations

import asyncio
import importlib
import signal
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

import catena
from catena.discovery import dns_questions
from tests.discovery.name_server import NameServer, serving
from tests.examples.commands import parse_worker, seconds_to_end
from tests.examples.manifests import FOLDER, expand, find, mount_secret, pod_of, run_python
from tests.pool.test_worker_server import free_port
from tests.security.making import Authority
from tests.support import isolated, run

A, B = "workers-6f7d9c5b48-aaaaa", "workers-6f7d9c5b48-bbbbb"
SERVICE = "_catena._tcp.workers.shop.svc.cluster.local."
POD = pod_of(find("Deployment", "workers"))
(CONTAINER,) = POD["containers"]
(CALLING,) = pod_of(find("Job", "caller"))["containers"]


class Cluster:
    """What a cluster would do: issue certificates, mount them, start pods, and name them."""

    def __init__(self, folder: Path, names: NameServer) -> None:
        self.folder = folder
        self.names = names
        self.authority = Authority()
        self.pods: dict[str, tuple[asyncio.subprocess.Process, int]] = {}

    def mount(self, kind: str, name: str, certificate: str) -> Path:
        """Issue the certificate that is asked for, and mount it as the pod says."""
        asked = find("Certificate", certificate)["spec"]["dnsNames"]
        cert, key = self.authority.sign(*asked)
        secret = {"ca.crt": self.authority.pem, "tls.crt": cert, "tls.key": key}
        volumes = pod_of(find(kind, name))["volumes"]
        (volume,) = (one for one in volumes if "secret" in one)
        return mount_secret(volume, secret, self.folder / certificate)

    async def start(self, pod: str) -> int:
        """Start a worker by the command line of its container; return its process id."""
        port = free_port()
        places = {
            "/etc/catena/certs": str(self.folder / "workers"),
            "0.0.0.0:7800": f"127.0.0.1:{port}",
            "0.0.0.0:7801": f"127.0.0.1:{free_port()}",
        }
        words = expand([*CONTAINER["command"], *CONTAINER["args"]], {"POD_NAME": pod})
        for ours, here in places.items():
            words = [one.replace(ours, here) for one in words]
        process = await asyncio.create_subprocess_exec(
            *run_python(words), cwd=FOLDER, stderr=asyncio.subprocess.PIPE
        )
        self.pods[pod] = process, port
        assert process.stderr is not None
        assert b"listens at" in await process.stderr.readline()
        self.publish()
        return process.pid

    def publish(self, *without: str) -> None:
        """Give each pod its records, as the headless Service does."""
        found = {pod: port for pod, (_, port) in self.pods.items() if pod not in without}
        services = [f"0 33 {port} {pod}.{SERVICE}" for pod, port in found.items()]
        self.names.zone = {f"{pod}.{SERVICE}": {"A": (1, ["127.0.0.1"])} for pod in found}
        self.names.zone[SERVICE] = {"SRV": (1, services)}

    async def close(self) -> None:
        """End what runs still."""
        for process, _ in self.pods.values():
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Cluster]:
    """Play a cluster that this process is part of: it asks the cluster's name server."""
    async with AsyncExitStack() as stack:
        names = await stack.enter_async_context(serving())
        monkeypatch.setattr(dns_questions, "Resolver", names.resolver)
        found = Cluster(folder, names)
        stack.push_async_callback(found.close)
        found.mount("Deployment", "workers", "workers")
        certs = found.mount("Job", "caller", "caller")
        for one in CALLING["env"]:
            here = str(certs) if one["name"] == "CERTS" else one["value"]
            monkeypatch.setenv(one["name"], here)
        yield found


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program that the Job runs."""
    monkeypatch.syspath_prepend(str(FOLDER))
    yield importlib.import_module(Path(CALLING["command"][1]).stem)
    for name in ("call_shop", "shop_tasks"):
        sys.modules.pop(name, None)


@isolated
def test_the_job_calls_the_workers_of_the_deployment(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    program: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """P8: found by DNS, over TLS with mounted certificates, without a change to any of them."""

    async def main() -> None:
        async with cluster(tmp_path, monkeypatch) as found:
            await asyncio.gather(*(found.start(one) for one in (A, B)))
            await program.main()
        lines = capsys.readouterr().out.splitlines()
        assert [line.partition(", ")[0] for line in lines] == [
            "lamp: 4 kg",
            "table: 5 kg",
            "piano: 5 kg",
        ]

    run(main(), 60)


@isolated
def test_a_pod_that_is_stopped_costs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Any
) -> None:
    """P12: calls go on while one worker is stopped, its record goes, and another one comes."""

    async def main() -> None:
        async with cluster(tmp_path, monkeypatch) as found, calling(program) as caller:
            await found.start(A)
            await caller.uses(A)
            await found.start(B)
            await caller.uses(A, B)
            old, _ = found.pods[A]
            old.send_signal(signal.SIGTERM)
            found.publish(A)
            words = [*CONTAINER["command"], *CONTAINER["args"]]
            async with asyncio.timeout(
                seconds_to_end(parse_worker(expand(words, {"POD_NAME": A})))
            ):
                assert await old.wait() == 0
            await caller.uses(B)

    run(main(), 60)


@isolated
def test_a_renewed_certificate_costs_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: Any
) -> None:
    """Trust: when the Secrets are renewed, new connections show what is new; calls go on."""

    async def main() -> None:
        async with cluster(tmp_path, monkeypatch) as found, calling(program) as caller:
            await found.start(A)
            await caller.uses(A)
            _, port = found.pods[A]
            before = await serial_at(port, tmp_path / "caller")
            found.mount("Deployment", "workers", "workers")
            found.mount("Job", "caller", "caller")
            assert await serial_at(port, tmp_path / "caller") != before
            # A worker that comes now, and links that are made now, are good as well.
            await found.start(B)
            await caller.uses(A, B)

    run(main(), 60)


@asynccontextmanager
async def calling(program: Any) -> AsyncIterator[Caller]:
    """Have a parcel weighed again and again while the block runs; no call may fail."""
    caller = Caller(program)
    async with asyncio.TaskGroup() as group:
        group.create_task(caller.weigh_on())
        yield caller
        caller.over.set()
    assert caller.many > 10


class Caller:
    """What the Job's program does, without an end."""

    def __init__(self, program: Any) -> None:
        self.over = asyncio.Event()
        self.many = 0
        self._weigh = program.weigh
        self._pool: catena.WorkerPool = program.make_pool()

    async def weigh_on(self) -> None:
        """Open the pool, which waits for a worker, and call."""
        async with self._pool:
            while not self.over.is_set():
                assert (await self._weigh("lamp")).startswith("lamp: 4 kg")
                self.many += 1
                await asyncio.sleep(0.005)

    async def uses(self, *pods: str) -> None:
        """Wait until the pool has these workers and no others."""
        async with asyncio.timeout(30):
            while {*self._pool.workers} != {*pods}:
                await asyncio.sleep(0.05)


async def serial_at(port: int, certs: Path) -> int:
    """Return the serial number of the certificate that a worker shows to a new connection."""
    made = ssl.create_default_context(cafile=str(certs / "ca.pem"))
    made.load_cert_chain(certs / "cert.pem", certs / "key.pem")
    made.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=made, server_hostname="shop.catena"
    )
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(shown).serial_number
