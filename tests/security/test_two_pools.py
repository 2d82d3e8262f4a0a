"""Two pools in one worker, each with credentials of its own: nested calls never mix them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import catena
from catena.context.proxy import proxy
from catena.dispatch.dispatcher import bind_way
from catena.ids import new_id
from catena.proxy.balance import Proxy
from catena.security.credentials import Credentials
from catena.security.trust import Trust
from tests.security.ends import POOL, Worker, make_folders
from tests.support import isolated, run


@catena.routine
async def pool_here() -> bytes:
    """Return the id of the pool that is bound."""
    await asyncio.sleep(0)
    bound: bytes = proxy.get().id
    return bound


@catena.routine
async def nest(folder: str | None) -> tuple[bytes, bytes]:
    """Return the pool here and that of a nested call, made under the credentials of a folder."""
    here = proxy.get().id
    if folder is None:
        return here, await pool_here()
    with catena.credentials(folder):
        return here, await pool_here()


@isolated
def test_two_pools_with_different_credentials_never_mix(tmp_path: Path) -> None:
    """P1, P5: each call finds its own pool, and goes under the credentials of its own scope."""
    names = ("alice.jobs.catena", "bob.jobs.catena")
    authority = make_folders(tmp_path, *names)
    for label in ("w2", "w3"):
        authority.fill(tmp_path / label, f"{label}.jobs.catena")

    async def main() -> None:
        async with (
            Worker(tmp_path / "w1") as first,
            Worker(tmp_path / "w2", name="w2") as second,
            Worker(tmp_path / "w3", name="w3") as third,
        ):
            pools = {
                name: Proxy(
                    new_id(),
                    [(one.name, one.server.target) for one in (first, other)],
                    f"of {name}",
                    trust=Trust(Credentials(tmp_path / name), POOL),
                )
                for name, other in (("alice", second), ("bob", third))
            }

            async def call(name: str, number: int) -> None:
                folder = str(tmp_path / name) if number % 2 else None
                with bind_way(pools[name]):
                    assert await nest(folder) == (pools[name].id, pools[name].id)

            calls = [call(name, number) for number in range(20) for name in pools]
            await asyncio.gather(*calls)
            assert "bob.jobs.catena" not in second.peers
            assert "alice.jobs.catena" not in third.peers
            assert {*names} <= {*first.peers}
            assert first.table.list_members()
            for one in pools.values():
                await one.close()

    run(main(), 30)
