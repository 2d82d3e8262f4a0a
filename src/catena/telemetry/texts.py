"""Texts and values in a form that every exporter and every JSON parser accepts.

A lone surrogate in one text, or a number beyond 64 bits, would cost a whole batch of telemetry,
because encoders refuse it when the batch has been made. So every value that does not come from
Catena is converted here first. The rule: nothing here raises, whatever the methods of a value do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence, Set as AbstractSet
from typing import Any, cast

_DEEPEST = 24
_INT64 = 1 << 63
_CONSTANTS: dict[Any, str] = {None: "null", True: "true", False: "false"}


def text(value: object) -> str:
    """Return a value's text, with lone surrogates escaped; of what has no text, say whose it is."""
    try:
        # Of a subclass of str, the text itself and not what its own methods make of it.
        found = str.__str__(value if isinstance(value, str) else str(value))
        return found if found.isascii() else found.encode("utf-8", "backslashreplace").decode()
    except (Exception, SystemExit):
        return f"<{_name_class(value)} without a text>"


def to_attribute(value: object) -> Any:
    """Return a value as attributes of OpenTelemetry may be: plain, or a list of texts."""
    if isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return _fit_number(value)
    if isinstance(value, list | tuple):
        return [text(one) for one in cast("Sequence[object]", value)]
    return text(value)


def json_line(fields: Mapping[Any, Any]) -> str:
    """Return one line of JSON, sorted by name, that strict parsers take."""
    return json.dumps(to_plain(fields), sort_keys=True, allow_nan=False)


def to_plain(value: Any, within: tuple[int, ...] = ()) -> Any:
    """Return a value as JSON has it: what holds itself, and what is no data, becomes a text."""
    try:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, int):
            return _fit_number(value)
        if isinstance(value, float):
            return float.__float__(value) if math.isfinite(value) else _name_number(value)
        if isinstance(value, Mapping | list | tuple | AbstractSet):
            return _convert_container(cast("Any", value), within)
    except (Exception, SystemExit):
        return f"<{_name_class(cast('object', value))} that cannot be read>"
    return text(cast("object", value))


def _convert_container(value: Any, within: tuple[int, ...]) -> Any:
    """Return what holds others."""
    if id(value) in within:
        return "<holds itself>"
    if len(within) >= _DEEPEST:
        return "<held too deep>"
    inner = (*within, id(value))
    if isinstance(value, Mapping):
        return _convert_items(cast("Mapping[Any, Any]", value).items(), inner)
    found = [to_plain(one, inner) for one in value]
    # The order of a set is another one in each process.
    return sorted(found, key=json.dumps) if isinstance(value, AbstractSet) else found


def _convert_items(items: Iterable[tuple[Any, Any]], within: tuple[int, ...]) -> dict[str, Any]:
    """Return items by names; where two keys have one text, the later one gets a mark."""
    found: dict[str, Any] = {}
    for key, value in items:
        name = _convert_key(key)
        while name in found:
            name += "'"
        found[name] = to_plain(value, within)
    return found


def _convert_key(key: object) -> str:
    if key is None or isinstance(key, bool):
        return _CONSTANTS[key]
    return text(key)


def _name_class(value: object) -> str:
    return text(type(value).__name__)


def _fit_number(value: int) -> int | str:
    """Return a number that takes 64 bits at most; a larger one as a text."""
    number = int.__int__(value)
    return number if -_INT64 <= number < _INT64 else text(number)


def _name_number(number: float) -> str:
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
