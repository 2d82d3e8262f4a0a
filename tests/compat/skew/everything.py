"""Calls of each kind from a caller of any release, through all workers of a pool in turn."""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
from typing import Any

import catena
from catena.dispatch.dispatcher import dispatcher
from catena.ids import new_id
from catena.proxy.balance import Proxy

request = contextvars.ContextVar("request", default="none")
if hasattr(catena, "carry"):
    catena.carry(request)
color = catena.ContextVar("color", namespace="compat", default="none")
basket = catena.ContextVar("basket", namespace="compat", default=None)


@catena.routine
async def version():
    """Return the version of the worker."""
    return catena.__version__


@catena.routine
async def paint(value):
    """Return the color that came, and set another one."""
    before = color.get()
    color.set(value)
    if basket.get() is not None:
        basket.get().append(value)
    return before


@catena.routine
async def count(to):
    """Yield numbers, and the color at each step."""
    for number in range(to):
        yield number, color.get()


@catena.routine
async def nested(depth):
    """Return the versions of the workers of a call and of those within it, and set the color."""
    inner = await nested(depth - 1) if depth else []
    color.set(f"depth {depth}")
    return [catena.__version__, *inner]


@catena.routine
async def requests(depth):
    """Return the request that each worker sees, of a call and of those within it."""
    inner = await requests(depth - 1) if depth else []
    return [[catena.__version__, request.get()], *inner]


@catena.routine
async def fail():
    """Raise an exception."""
    raise LookupError("there", 7)


async def everything():
    """Make calls of each kind; return what came of them."""
    found = {"caller": catena.__version__}
    found["workers"] = sorted({await version() for _ in range(4)})
    request.set("r1")
    found["unarmed request"] = (await requests(0))[0]
    color.set("red")
    basket.set([])
    found["paint"] = [await paint("green"), color.get(), await paint("blue"), color.get()]
    found["basket"] = basket.get()
    found["token"] = []
    with catena.RuntimeContext(timeout=20):
        token = color.set("kept")
        await paint("passing")
        color.reset(token)
        found["token"].append(color.get())
    found["count"] = [step async for step in count(3)]
    found["nested"] = await nested(3)
    found["after"] = color.get()
    found["requests"] = await requests(2)
    try:
        await fail()
    except LookupError as error:
        found["error"] = [type(error).__name__, list(error.args)]
    return found


async def call_all(members: list[list[str]], secret: str) -> dict[str, Any]:
    """Make them through a proxy to these workers."""
    proxy = Proxy(new_id(), tuple(map(tuple, members)), "caller", secret=bytes.fromhex(secret))
    dispatcher.set(proxy)
    found = await everything()
    await proxy.close()
    return found


def main() -> None:
    """Print what came of them."""
    calls = call_all(*json.loads(sys.argv[1]))
    print(json.dumps(asyncio.run(asyncio.wait_for(calls, 30))), flush=True)
