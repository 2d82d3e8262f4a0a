"""A program that finds the workers of the example and calls them."""

from __future__ import annotations

import asyncio
import os

import catena
from shop_tasks import weigh


def make_pool() -> catena.WorkerPool:
    """Return the pool that is found where the environment says."""
    return catena.WorkerPool(
        discovery=os.environ["WORKERS"],
        credentials=os.environ["CERTS"],
        name=os.environ["POOL"],
    )


async def main() -> None:
    """Have three parcels weighed, on as many workers as there are."""
    async with make_pool():
        for line in await asyncio.gather(*map(weigh, ("lamp", "table", "piano"))):
            print(line)


if __name__ == "__main__":
    asyncio.run(main())
