"""Options of telemetry: what was asked for in code, and what the environment says.

Code outdoes the environment. What was asked for in code is handed to workers as variables.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Span, TracerProvider

Detail = Literal["off", "dispatch", "full"]
Hooked = Callable[["Span", Any], object]
"""Called with the recorded span of a call that begins, and its event."""

_log = logging.getLogger("catena")
_YES = ("1", "true", "yes", "on")
_TELEMETRY = "CATENA_TELEMETRY"
_SWITCHES = ("CATENA_RECORD_MESSAGES", "CATENA_BAGGAGE", "CATENA_PENDING_SPANS")


@dataclass(frozen=True)
class Options:
    """What was asked for; without providers, the global ones count once they are configured."""

    detail: Detail
    tracer_provider: TracerProvider | None = None
    meter_provider: MeterProvider | None = None
    propagator: TextMapPropagator | None = None
    record_messages: bool = False
    baggage: bool = False
    hooks: tuple[Hooked | None, Hooked | None] = (None, None)
    pending: bool = False
    logs_only: bool = False
    for_workers: Mapping[str, str] = field(default_factory=dict[str, str])
    """What was asked for in code, as variables."""


def from_environment() -> Options:
    """Return what the environment asks for."""
    return choose_options(logs_only=_is_left_out())


def choose_options(
    detail: Detail | None = None,
    switches: tuple[bool | None, bool | None, bool | None] = (None, None, None),
    **others: Any,
) -> Options:
    """Return what was asked for in code, and where that is None, what the environment says.

    ``switches`` are those of messages, of baggage and of pending spans.
    """
    said = dict(zip(_SWITCHES, switches, strict=True))
    messages, baggage, pending = (is_asked_for(name, is_on) for name, is_on in said.items())
    for_workers = {name: "1" if is_on else "0" for name, is_on in said.items() if is_on is not None}
    if detail is not None:
        for_workers[_TELEMETRY] = detail
    return Options(
        detail or _detail_of_environment(),
        record_messages=messages,
        baggage=baggage,
        pending=pending,
        for_workers=for_workers,
        **others,
    )


def _detail_of_environment() -> Detail:
    """Return the detail that CATENA_TELEMETRY names; one that is none is the default."""
    said = os.environ.get(_TELEMETRY, "").lower() or "full"
    if said in get_args(Detail):
        return cast("Detail", said)
    _log.warning("CATENA_TELEMETRY is %r, not off, dispatch or full: full it is", said)
    return "full"


def _is_left_out() -> bool:
    """Say whether the variable of ``opentelemetry-instrument`` leaves Catena out.

    It speaks of what is instrumented without a word in code; records of loggers are not that.
    """
    names = os.environ.get("OTEL_PYTHON_DISABLED_INSTRUMENTATIONS", "").split(",")
    return not {"catena", "*"}.isdisjoint(one.strip() for one in names)


def is_asked_for(variable: str, in_code: bool | None = None) -> bool:  # noqa: FBT001 - None is neither
    """Say whether something is switched on, in code or else by a variable."""
    return os.environ.get(variable, "").lower() in _YES if in_code is None else in_code
