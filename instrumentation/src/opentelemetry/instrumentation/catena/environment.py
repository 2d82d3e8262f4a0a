"""What the environment of a worker says: how it is recorded, and who it is.

A worker inherits its parent's variables. Some of them name the parent; these are changed on their
way, and only for workers.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from catena.pool.bootstrap import BOOTSTRAP, Edit

__all__ = ["SPAN_EVENTS", "WORKER_BOOTSTRAP", "YES", "for_worker", "instance_of"]

SPAN_EVENTS = "CATENA_SPAN_EVENTS"
YES = ("1", "true", "yes", "on")
WORKER_BOOTSTRAP = "opentelemetry.instrumentation.catena.worker:bootstrap"

_DETECTORS = "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS"
_ATTRIBUTES = "OTEL_RESOURCE_ATTRIBUTES"
_INSTANCE = "service.instance.id"


def for_worker(workers: bool | str, span_events: bool | None) -> Edit:  # noqa: FBT001
    """Return what changes the environment of a worker so that it records as its parent does.

    ``workers`` names the bootstrap; True stands for ours, unless the environment names one.
    ``span_events`` is what the parent was given in code, None where it was not.
    """

    def edit(environment: dict[str, str], worker: str) -> None:
        if isinstance(workers, str):
            environment[BOOTSTRAP] = workers
        else:
            environment.setdefault(BOOTSTRAP, WORKER_BOOTSTRAP)
        if span_events is not None:
            environment[SPAN_EVENTS] = "1" if span_events else "0"
        # An SDK that is configured before the worker knows who it is asks the detector.
        detectors = [one for one in environment.get(_DETECTORS, "").split(",") if one.strip()]
        if not {"catena", "*"} & {one.strip() for one in detectors}:
            environment[_DETECTORS] = ",".join((*detectors, "catena"))
        _rename(environment, worker)

    return edit


def instance_of(attributes: str, worker: str) -> str:
    """Return a worker's ``service.instance.id`` where its parent's has been inherited.

    ``attributes`` is OTEL_RESOURCE_ATTRIBUTES; the result is empty when that names no instance.
    """
    given = next((value for name, value in _pairs(attributes) if name == _INSTANCE), "")
    known = unquote(given)
    return known if not known or known.endswith(worker) else f"{known}-{worker}"


def _rename(environment: dict[str, str], worker: str) -> None:
    """Let no two processes have the same instance: it is what keeps their series apart."""
    attributes = environment.get(_ATTRIBUTES, "")
    mine = instance_of(attributes, worker)
    if mine:
        others = [f"{name}={value}" for name, value in _pairs(attributes) if name != _INSTANCE]
        environment[_ATTRIBUTES] = ",".join((*others, f"{_INSTANCE}={quote(mine)}"))


def _pairs(attributes: str) -> list[tuple[str, str]]:
    split = (one.partition("=") for one in attributes.split(",") if "=" in one)
    return [(name.strip(), value.strip()) for name, _, value in split]
