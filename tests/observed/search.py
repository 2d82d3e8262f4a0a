"""What no single line shows: spans whose parent never came, and texts that nobody should have told.

Unlike the check it needs everything that arrived at once, so it is for runs that are short.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from urllib.parse import quote

from catena.collect import Recording

__all__ = ["exposed", "orphans", "spellings"]


def orphans(lines: Iterable[str]) -> list[str]:
    """Return the names of the spans whose parent, or a span that they link to, is not there."""
    arrived = Recording()
    for line in lines:
        arrived.add(line)
    known = {one.span_id for one in arrived.spans} | {""}
    return sorted(
        one.name
        for one in arrived.spans
        if one.parent_span_id not in known or any(link.span_id not in known for link in one.links)
    )


def exposed(words: Iterable[str], texts: Iterable[str]) -> list[str]:
    """Return the words that are in any of the texts, in any spelling."""
    known = list(texts)
    return [word for word in words if any(one in text for text in known for one in spellings(word))]


def spellings(word: str) -> set[str]:
    """Return what a text may look like in what was exported."""
    data = word.encode()
    # In base64, what stands before it decides among three; the ends depend on neighbours.
    shifted = [base64.b64encode(b"x" * at + data).decode()[4:-4] for at in range(3)]
    return {word, json.dumps(word)[1:-1], quote(word), data.hex(), *shifted}
