"""How the demo writes names and numbers.

Its one rule: no name of a file reaches a terminal with a character that it would obey.
"""

from __future__ import annotations

__all__ = ["counted", "duration", "shown"]


def shown(text: str) -> str:
    """``text`` with every character that a terminal would obey or cannot show written out."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def counted(count: int, one: str, many: str = "") -> str:
    """``1 file``, ``2 files``."""
    return f"{count} {one if count == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """``0.8 ms``, ``12 ms``, ``1.2 s``."""
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{seconds * 1e3:.1f} ms" if seconds < 0.01 else f"{seconds * 1e3:.0f} ms"
