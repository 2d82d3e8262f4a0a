"""Workers that are asked by a client of another language whether they serve, as Kubernetes does."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import catena
from catena.discovery import MemberRecord
from tests.pool.found_routines import rest_a_while
from tests.pool.test_worker_server import free_port
from tests.probing import BUILDING, NEEDS_GO, find_probe, probe
from tests.security.making import Authority
from tests.support import isolated, run

# Codes of the probe: what it asked is not serving; it could not ask.
NOT_SERVING, UNREACHABLE = 4, 2
W1 = "w1.shop.catena"

pytestmark = [NEEDS_GO, pytest.mark.timeout(BUILDING + 120)]


@pytest.fixture(autouse=True)
def _built() -> None:
    """Build the probe before the test's own time begins."""
    find_probe()


@asynccontextmanager
async def worker(folder: Path, *options: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a worker until the block is left."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "catena", "worker", *options),
        cwd=Path(__file__).parents[2],
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stderr is not None
        assert b"listens at" in await process.stderr.readline()
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@isolated
def test_a_probe_follows_a_worker_over_both_ports(tmp_path: Path) -> None:
    """P12: it serves, in plain text and over TLS; while it finishes its calls it does not."""
    authority = Authority()
    certs = authority.fill(tmp_path / "w1", W1)
    # Names count for nothing here: this one may not call.
    prober = authority.fill(tmp_path / "prober", "prober.elsewhere.catena")
    port, plain = free_port(), f"127.0.0.1:{free_port()}"
    own = f"127.0.0.1:{port}"
    trusted = (
        "-tls",
        f"-tls-ca-cert={prober}/ca.pem",
        f"-tls-client-cert={prober}/cert.pem",
        f"-tls-client-key={prober}/key.pem",
        f"-tls-server-name={W1}",
    )
    options = ("--listen", own, "--id", "w1", "--certs", str(certs), "--pool", "shop")

    async def main() -> None:
        caller = authority.fill(tmp_path / "caller", "alice.shop.catena")
        async with worker(tmp_path, *options, "--health", plain) as process:
            record = MemberRecord("w1", own)
            pool = catena.WorkerPool(discovery=[record], credentials=caller, name="shop")
            async with pool:
                for service in ("", "catena.v1.Worker"):
                    asked = f"-service={service}"
                    assert await probe(plain, asked) == (0, "status: SERVING\n")
                    assert await probe(own, asked, *trusted) == (0, "status: SERVING\n")
                call = asyncio.ensure_future(rest_a_while(3.0))
                await asyncio.sleep(0.3)
                process.send_signal(signal.SIGTERM)
                await asyncio.sleep(0.3)
                for address, way in ((plain, ()), (own, trusted)):
                    code, said = await probe(address, *way)
                    assert (code, "NOT_SERVING" in said) == (NOT_SERVING, True), said
                await call
            assert await process.wait() == 0
            assert (await probe(plain, "-connect-timeout=1s"))[0] == UNREACHABLE

    run(main(), 60)


@isolated
def test_a_probe_without_a_certificate_gets_no_answer(tmp_path: Path) -> None:
    """Trust: the worker's own port answers nobody whom its authority does not vouch for."""
    authority = Authority()
    certs = authority.fill(tmp_path / "w1", W1)
    own = f"127.0.0.1:{free_port()}"

    async def main() -> None:
        options = ("--listen", own, "--id", "w1", "--certs", str(certs), "--pool", "shop")
        async with worker(tmp_path, *options):
            bare = ("-tls", f"-tls-ca-cert={certs}/ca.pem", f"-tls-server-name={W1}")
            code, said = await probe(own, "-connect-timeout=2s", *bare)
            assert code == UNREACHABLE, said

    run(main(), 60)
