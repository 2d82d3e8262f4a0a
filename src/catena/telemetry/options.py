"""Options of telemetry: what was asked for in code, and what the environment says.

Code outdoes the environment. What was asked for in code is handed to workers as variables.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.propagators.textmap import TextMapPropagator
    from opentelemetry.trace import Span, TracerProvider

Detail = Literal["off", "dispatch", "full"]
Hooked = Callable[["Span", Any], object]
"""Called with the recorded span of a call that begins, and its event."""

MESSAGES, BAGGAGE = "CATENA_RECORD_MESSAGES", "CATENA_BAGGAGE"
PENDING = "CATENA_PENDING_SPANS"

_log = logging.getLogger("catena")
_YES = ("1", "true", "yes", "on")
_TELEMETRY = "CATENA_TELEMETRY"


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


def from_environment() -> Options:
    """Return what the environment asks for."""
    return Options(
        detail_of_environment(),
        logs_only=_is_left_out(),
        record_messages=is_asked_for(MESSAGES),
        baggage=is_asked_for(BAGGAGE),
        pending=is_asked_for(PENDING),
    )


def detail_of_environment() -> Detail:
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


def as_variables(detail: str | None, switches: Mapping[str, bool | None]) -> dict[str, str]:
    """Return the variables that say what was asked for in code; None was left open."""
    given = {} if detail is None else {_TELEMETRY: detail}
    said = {name: is_on for name, is_on in switches.items() if is_on is not None}
    return given | {name: "1" if is_on else "0" for name, is_on in said.items()}


def is_asked_for(variable: str, in_code: bool | None = None) -> bool:  # noqa: FBT001 - None is neither
    """Say whether something is switched on, in code or else by a variable."""
    return os.environ.get(variable, "").lower() in _YES if in_code is None else in_code
