"""Names and labels as Prometheus makes them from OTLP (its UnderscoreEscapingWithSuffixes).

Source: the OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", and the table
of tests in github.com/prometheus/otlptranslator.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Labels", "family_name", "label_name", "labels", "text", "unit_of"]

Labels = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""

_UNITS = {
    "d": "days",
    "h": "hours",
    "min": "minutes",
    "s": "seconds",
    "ms": "milliseconds",
    "us": "microseconds",
    "ns": "nanoseconds",
    "By": "bytes",
    "KiBy": "kibibytes",
    "MiBy": "mebibytes",
    "GiBy": "gibibytes",
    "TiBy": "tibibytes",
    "KBy": "kilobytes",
    "MBy": "megabytes",
    "GBy": "gigabytes",
    "TBy": "terabytes",
    "m": "meters",
    "V": "volts",
    "A": "amperes",
    "J": "joules",
    "W": "watts",
    "g": "grams",
    "Cel": "celsius",
    "Hz": "hertz",
    "1": "",
    "%": "percent",
}
_PER = {
    "s": "second",
    "m": "minute",
    "h": "hour",
    "d": "day",
    "w": "week",
    "mo": "month",
    "y": "year",
}
_INVALID = re.compile(r"[^a-zA-Z0-9:]+")
_INVALID_IN_LABEL = re.compile(r"[^a-zA-Z0-9_]")


def family_name(name: str, unit: str, kind: str) -> str:
    """Return the family's name; that of a counter stands here without its ``_total``.

    Empty when nothing of the name can be kept.
    """
    words = _words(name)
    for suffix in unit_of(unit):
        if suffix not in words:
            words.append(suffix)
    if kind == "counter":
        words = [word for word in words if word != "total"]
    if kind == "gauge" and unit == "1":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    whole = "_".join(words)
    return f"_{whole}" if whole[:1].isdigit() else whole


def unit_of(unit: str) -> list[str]:
    """Return the suffixes that a unit gives a name: none, ``seconds``, ``bytes, per_second``.

    Units in braces are annotations and give none.
    """
    main, _, per = (part.strip() for part in unit.partition("/"))
    found = "" if "{" in main or "}" in main else _UNITS.get(main, main)
    below = "" if "{" in per or "}" in per else _PER.get(per, per)
    found, below = "_".join(_words(found)), "_".join(_words(below))
    return [one for one in (found, below and f"per_{below}") if one]


def _words(name: str) -> list[str]:
    return [word for word in _INVALID.split(name) if word]


def label_name(key: str) -> str:
    """Return an attribute's key as a label's name, empty when Prometheus keeps it for itself."""
    name = _INVALID_IN_LABEL.sub("_", key)
    if name[:1].isdigit():
        return f"key_{name}"
    if name.startswith("__") or not name.strip("_"):
        return ""
    return f"key{name}" if name.startswith("_") else name


def labels(attributes: Iterable[Any], own: Mapping[str, str], without: str = "") -> Labels:
    """Return attributes (OTLP's KeyValue) as labels; ``own`` win, ``without`` is left out.

    Keys that become one name share it, their values joined by semicolons in the order of the keys.
    """
    found: dict[str, list[str]] = {}
    for each in sorted(attributes, key=lambda one: one.key):
        name = label_name(each.key)
        if name and name != without:
            found.setdefault(name, []).append(text(each.value))
    whole = {name: ";".join(values) for name, values in found.items()} | dict(own)
    return tuple(sorted((name, value) for name, value in whole.items() if value))


def text(value: Any) -> str:
    """Return an AnyValue as the text of a label."""
    plain = _plain(value)
    match plain:
        case str():
            return plain
        case None:
            return ""
        case _:
            return json.dumps(plain, separators=(",", ":"), ensure_ascii=False)


def _plain(value: Any) -> Any:
    match value.WhichOneof("value"):
        case None:
            return None
        case "array_value":
            return [_plain(each) for each in value.array_value.values]
        case "kvlist_value":
            return {each.key: _plain(each.value) for each in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case kind:
            return getattr(value, kind)
