"""Text of a peer, or of a user, made fit for a line of ours: a log, an error's text, a repr.

A terminal obeys control characters, a log believes line breaks, and UTF-8 has no lone surrogates.
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
