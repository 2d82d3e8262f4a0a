"""A program whose trace headers are anybody's: each call brings another one along."""

from __future__ import annotations

import json
import os
from typing import Any

from opentelemetry import propagate, trace
from opentelemetry.propagators.textmap import TextMapPropagator

import catena
from catena.telemetry import carrier

__all__ = ["HEADERS", "main"]

_GOOD = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
HEADERS: dict[str, tuple[dict[str, str], str]] = {
    "none": ({}, "absent"),
    "unknown": ({"x-trace": "1"}, "malformed"),
    "empty": ({"traceparent": ""}, "malformed"),
    "no hex": ({"traceparent": _GOOD.replace("0af7", "zzzz")}, "malformed"),
    "zeros": ({"traceparent": f"00-{'0' * 32}-{'0' * 16}-01"}, "malformed"),
    "short": ({"traceparent": _GOOD[:40]}, "malformed"),
    "control characters": ({"traceparent": "\x00\r\n\x7f"}, "malformed"),
    "a refused version": ({"traceparent": "ff" + _GOOD[2:]}, "malformed"),
    "a long header": ({"traceparent": "x" * 100_000}, "oversized"),
    "many headers": ({f"header-{at}": "x" * 100 for at in range(2000)}, "oversized"),
    "a long state": ({"traceparent": _GOOD, "tracestate": "a=" + "b" * 1500}, "present"),
    "a state of nonsense": ({"traceparent": _GOOD, "tracestate": "=,=;" * 300}, "present"),
    "a future version": ({"traceparent": "01" + _GOOD[2:] + "-more"}, "present"),
    "future flags": ({"traceparent": _GOOD[:-2] + "ff"}, "present"),
    "a time of nonsense": ({"traceparent": _GOOD, "catena-sent": "-9" * 99}, "present"),
    "good": ({"traceparent": _GOOD}, "present"),
}
"""Each header by its name, and what an execution makes of it."""

number: catena.ContextVar[int] = catena.ContextVar("number", namespace="tests.headers", default=0)


class _Anything(TextMapPropagator):
    """Writes the header that it is told to write."""

    def __init__(self) -> None:
        self.header: dict[str, str] = {}
        self._real = propagate.get_global_textmap()

    @property
    def fields(self) -> set[str]:
        return self._real.fields

    def extract(self, *arguments: Any, **options: Any) -> Any:
        return self._real.extract(*arguments, **options)

    def inject(self, carrier: Any, *_: Any, **__: Any) -> None:
        carrier.update(self.header)


@catena.routine
async def named(name: str) -> int:
    """Set the variable to how long the name is."""
    trace.get_current_span().set_attribute("header", name)
    number.set(len(name))
    return os.getpid()


async def main() -> None:
    """Send each header with a call of its own; tell what came back."""
    anything = _Anything()
    propagate.set_global_textmap(anything)
    # As a peer would that knows no limit.
    carrier.CARRIER_LIMIT = 10**9
    told: dict[str, list[int]] = {}
    async with catena.WorkerPool(spawn=1) as pool:
        number.set(0)
        for name, (header, _) in HEADERS.items():
            anything.header = header
            told[name] = [await named(name), number.get()]
        (worker,) = pool.pids.values()
    print(json.dumps({"worker": worker, "told": told}), flush=True)
