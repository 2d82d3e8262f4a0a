"""Which process recorded it: the resource attributes of a process that uses Catena.

Each process is an instance of its service, a worker as well as its parent.
"""

from __future__ import annotations

import os
import uuid

from opentelemetry.instrumentation.catena.environment import instance_of
from opentelemetry.sdk.resources import Resource, ResourceDetector

from catena.standing import worker_id

__all__ = ["CatenaResourceDetector"]

_drawn: dict[int, str] = {}


class CatenaResourceDetector(ResourceDetector):
    """Sets ``process.pid``, ``service.instance.id`` and, in a worker, ``catena.worker.id``.

    The instance is the one that OTEL_RESOURCE_ATTRIBUTES names, with the worker's id in a worker,
    or one drawn at random. Put its name, ``catena``, into OTEL_EXPERIMENTAL_RESOURCE_DETECTORS.
    """

    def detect(self) -> Resource:
        """Return the attributes; those of one process are the same each time."""
        worker = worker_id()
        inherited = instance_of(os.environ.get("OTEL_RESOURCE_ATTRIBUTES", ""), worker)
        attributes: dict[str, str | int] = {
            "process.pid": os.getpid(),
            "service.instance.id": inherited or _instance(),
        }
        if worker:
            attributes["catena.worker.id"] = worker
        return Resource(attributes)


def _instance() -> str:
    return _drawn.setdefault(os.getpid(), str(uuid.uuid4()))
