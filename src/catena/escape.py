"""Escaping text of a peer or a user for one line of output: in a log, an error's text, a repr.

Control characters would command a terminal, line breaks would forge lines of a log, and UTF-8
cannot encode lone surrogates.
"""

from __future__ import annotations

_MOST = 200


def printable(text: str, most: int = _MOST) -> str:
    """Return the text in printable characters only, the others escaped, cut after ``most``."""
    if len(text) > most:
        text = f"{text[:most]}…"
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else _escape_character(one) for one in text)


def _escape_character(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
