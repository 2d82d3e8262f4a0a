"""Texts of ours and of the standard library, made comparable."""

from __future__ import annotations

import re

__all__ = ["normalise"]

_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+(?=>)")
_NAMESPACE = re.compile(r""" namespace=(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")


def normalise(text: str) -> str:
    """Return a text without addresses and namespaces, the two things in which reprs may differ."""
    return _NAMESPACE.sub("", _ADDRESS.sub("", text))
