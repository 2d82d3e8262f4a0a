"""xoscar: an actor in each process of a pool, which take turns."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import xoscar

from . import engine_work as work
from .client import Options
from .engines_client import Engine


class Server(xoscar.Actor):
    """An actor."""

    async def echo(self, value: Any) -> Any:
        """The value, there and back."""
        return work.echo(value)

    async def burn(self, seconds: float) -> None:
        """Keep a processor busy."""
        work.burn(seconds)

    async def here(self) -> tuple[int, str]:
        """Which process answers, and on which loop."""
        return work.here()


@asynccontextmanager
async def opened(options: Options) -> AsyncIterator[Engine]:
    """A pool whose main process is this one, with an actor in each of the others."""
    pool = await xoscar.create_actor_pool(f"127.0.0.1:{_free_port()}", n_process=options.workers)
    async with pool:
        refs: list[Any] = [
            await xoscar.create_actor(
                Server,
                address=pool.external_address,
                uid=f"server-{number}",
                allocate_strategy=xoscar.allocate_strategy.ProcessIndex(number),
            )
            for number in range(1, options.workers + 1)
        ]
        turns = cycle(refs)

        async def echo(value: Any) -> Any:
            return await next(turns).echo(value)

        async def burn(seconds: float) -> None:
            await next(turns).burn(seconds)

        workers = {await ref.here() for ref in refs}
        yield Engine(echo, burn, workers, "one actor a process; no context")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
