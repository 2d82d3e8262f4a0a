"""Catena's own gRPC streams, kept out of the traces of whoever instruments gRPC as well.

A pool and each of its workers share one stream for as long as both live; the calls in it have spans
of their own. A span of the stream would record each of them twice, and end with the pool.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from catena.link.service import SERVICE

__all__ = ["exclude", "not_catena"]

_EXCLUDED = "OTEL_PYTHON_GRPC_EXCLUDED_SERVICES"

Condition = Callable[[Any], bool]


def not_catena(filter_: Condition | None = None) -> Condition:
    """Return a filter for gRPC's instrumentors that leaves Catena's streams alone.

    Another filter may be given; then a call is traced when that one says so as well.
    """

    def condition(call: Any) -> bool:
        # As the instrumentors' own filters have it: servers and clients name a call differently.
        method = getattr(call, "method", None) or getattr(call, "full_method", None) or ""
        name = method.decode("utf-8", "replace") if isinstance(method, bytes) else str(method)
        if name.lstrip("/").rpartition("/")[0] == SERVICE:
            return False
        return filter_ is None or filter_(call)

    return condition


def exclude() -> Callable[[], None]:
    """Have gRPC's instrumentors that are made from here on leave Catena's streams alone.

    Returns what undoes that, which is nothing where it was so already.
    """
    services = _services()
    if SERVICE in services:
        return lambda: None
    os.environ[_EXCLUDED] = ",".join((*services, SERVICE))
    return _include


def _include() -> None:
    services = [one for one in _services() if one != SERVICE]
    if services:
        os.environ[_EXCLUDED] = ",".join(services)
    else:
        os.environ.pop(_EXCLUDED, None)


def _services() -> list[str]:
    return [one.strip() for one in os.environ.get(_EXCLUDED, "").split(",") if one.strip()]
