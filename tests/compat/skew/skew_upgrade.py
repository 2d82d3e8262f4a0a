"""A routine for processes of any release, and a caller that keeps its link to one worker."""

from __future__ import annotations

import asyncio
import sys

import catena
from catena.dispatch.dispatcher import dispatcher
from catena.ids import new_id
from catena.proxy.balance import Proxy


@catena.routine
async def list_versions(depth: int) -> list[str]:
    """Return the versions of the workers of a call and of those within it."""
    return [catena.__version__, *(await list_versions(depth - 1) if depth else [])]


async def keep_link(worker: str, address: str) -> None:
    """Call the worker once; end with the standard input."""
    proxy = Proxy(new_id(), ((worker, address),), "report", secret=b"")
    dispatcher.set(proxy)
    print(len(await list_versions(0)), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await proxy.close()


def main() -> None:
    """Keep a link to the worker that the command line names."""
    asyncio.run(keep_link(*sys.argv[1:]))
