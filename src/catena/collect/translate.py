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

from catena.collect.otlp import read_value

Labels = tuple[tuple[str, str], ...]
"""Names and values, sorted by name."""


def _parse_table(text: str) -> dict[str, str]:
    return dict(one.split("=") for one in text.split())


_UNITS = _parse_table("""
    d=days h=hours min=minutes s=seconds ms=milliseconds us=microseconds ns=nanoseconds
    By=bytes KiBy=kibibytes MiBy=mebibytes GiBy=gibibytes TiBy=tibibytes
    KBy=kilobytes MBy=megabytes GBy=gigabytes TBy=terabytes
    m=meters V=volts A=amperes J=joules W=watts g=grams Cel=celsius Hz=hertz 1= %=percent
""")
_PER = _parse_table("s=second m=minute h=hour d=day w=week mo=month y=year")
_INVALID = re.compile(r"[^a-zA-Z0-9:]+")
_INVALID_IN_LABEL = re.compile(r"[^a-zA-Z0-9_]")


def family_name(name: str, unit: str, kind: str) -> str:
    """Return the family's name; that of a counter stands here without its ``_total``.

    Empty when nothing of the name can be kept.
    """
    words = _split_words(name)
    words += [suffix for suffix in unit_words(unit) if suffix not in words]
    if kind == "counter":
        words = [word for word in words if word != "total"]
    if kind == "gauge" and unit == "1":
        words = [*(word for word in words if word != "ratio"), "ratio"]
    whole = "_".join(words)
    return f"_{whole}" if whole[:1].isdigit() else whole


def unit_words(unit: str) -> list[str]:
    """Return the suffixes that a unit gives a name: none, ``seconds``, ``bytes, per_second``.

    Units in braces are annotations and give none.
    """
    main, _, per = unit.partition("/")
    found, below = _unit_suffix(main, _UNITS), _unit_suffix(per, _PER)
    return [one for one in (found, below and f"per_{below}") if one]


def _unit_suffix(unit: str, words: Mapping[str, str]) -> str:
    bare = unit.strip()
    return "" if "{" in bare or "}" in bare else "_".join(_split_words(words.get(bare, bare)))


def _split_words(name: str) -> list[str]:
    return [word for word in _INVALID.split(name) if word]


def label_name(key: str) -> str:
    """Return an attribute's key as a label's name, empty when Prometheus keeps it for itself."""
    name = _INVALID_IN_LABEL.sub("_", key)
    if name[:1].isdigit():
        return f"key_{name}"
    if name.startswith("__") or not name.strip("_"):
        return ""
    return f"key{name}" if name.startswith("_") else name


def make_labels(attributes: Iterable[Any], own: Mapping[str, str], without: str = "") -> Labels:
    """Return attributes (OTLP's KeyValue) as labels; ``own`` win, ``without`` is left out.

    Keys that become one name share it, their values joined by semicolons in the order of the keys.
    """
    found: dict[str, list[str]] = {}
    for each in sorted(attributes, key=lambda one: one.key):
        name = label_name(each.key)
        if name and name != without:
            found.setdefault(name, []).append(to_text(each.value))
    whole = {name: ";".join(values) for name, values in found.items()} | dict(own)
    return tuple(sorted((name, value) for name, value in whole.items() if value))


def to_text(any_value: Any) -> str:
    """Return an AnyValue as the text of a label."""
    value = read_value(any_value)
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bytes):
        return _encode_bytes(value)
    return json.dumps(value, default=_encode_bytes, separators=(",", ":"), ensure_ascii=False)


def _encode_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()
