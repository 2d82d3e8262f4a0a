"""A caller of any release: tries the probes it is asked for, and prints what came of each.

Each probe has a proxy and an empty Context of its own. It is ``intact``, ``absent`` where the
release of the caller does not have the feature, or else says in a text what it is instead.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import sys
from typing import Any

import skew_process

SECONDS = 15.0


def main() -> None:
    """Try the probes."""
    skew_process.prepare()
    asked = json.loads(sys.argv[1])
    print(json.dumps(asyncio.run(_try_all(asked))), flush=True)


async def _try_all(asked: dict[str, Any]) -> dict[str, Any]:
    import skew_probes

    found: dict[str, Any] = {}
    for name in asked["probes"] or skew_probes.PROBES:
        context = contextvars.Context()
        trying = asyncio.get_running_loop().create_task(
            _try_probe(name, asked), name=name, context=context
        )
        found[name] = await trying
    return found


async def _try_probe(name: str, asked: dict[str, Any]) -> Any:
    import skew_probes

    import catena

    probe = skew_probes.PROBES[name]
    if probe.needs and not hasattr(catena, probe.needs):
        return {"outcome": "absent", "error": "", "events": []}
    way = _open_way(asked)
    outcome, error = "intact", ""
    try:
        await asyncio.wait_for(probe.run(way), SECONDS)
    except Exception as raised:
        outcome, error = f"{type(raised).__name__}: {raised}", type(raised).__name__
    await way.proxy.close()
    events = set(skew_process.take_events())
    del way
    for one in await _collect(asked):
        events.update(one)
    return {"outcome": outcome, "error": error, "events": sorted(events)}


async def _collect(asked: dict[str, Any]) -> list[list[str]]:
    """Return the events of the workers, which a call of its own fetches."""
    import skew_routines as there

    way = _open_way(asked)
    try:
        found = [(await there.take_records())[0]]
        if way.nested:
            found.append((await there.through("take_records"))[0])
        await way.proxy.close()
        return [*found, skew_process.take_events()]
    finally:
        await way.proxy.close()


def _open_way(asked: dict[str, Any]) -> Any:
    """Open a proxy to the first worker, whose own calls go to the last one alone."""
    import skew_probes

    from catena.dispatch.dispatcher import dispatcher
    from catena.ids import new_id
    from catena.proxy.balance import Proxy
    from catena.wire import codec

    first, *rest = (tuple(one) for one in asked["path"])
    proxy = Proxy(new_id(), (first,), "caller", secret=bytes.fromhex(asked["secret"]))
    if rest:
        (last,) = rest
        facts = getattr(codec, "MemberFacts", lambda *given: given)
        proxy.encoded = codec.encode_proxy(proxy.id, (facts(*last),))
    dispatcher.set(proxy)
    spare = asked["spare"]
    return skew_probes.Way(proxy, bool(rest), None if spare is None else tuple(spare))
