"""Tags: words that say what a worker is fit for, and by which calls choose one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from catena.escape import printable

TAG_LIMIT = 64
"""The most tags of a worker, and the most characters of a tag."""

Tags = frozenset[str]

NO_TAGS: Tags = frozenset()


def checked_tags(tags: object) -> Tags:
    """Return tags as a set. Raises TypeError for anything else than some texts, and ValueError.

    That is for more of them than a worker may have, and for a tag that is empty, too long, or not
    printable.
    """
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise TypeError(f'tags are a set of texts, such as {{"gpu"}}, and not {tags!r}')
    found: set[Any] = set(cast("Iterable[Any]", tags))
    for tag in found:
        if not isinstance(tag, str):
            raise TypeError(f"tags are texts, and {tag!r} is none")
    if len(found) > TAG_LIMIT:
        raise ValueError(f"{len(found)} tags are too many; {TAG_LIMIT} are the most")
    for tag in found:
        if not is_tag(tag):
            raise ValueError(
                f"the tag '{printable(tag)}' is not made of 1 to 64 printable characters"
            )
    return frozenset(found)


def is_tag(text: str) -> bool:
    """Say whether a text can be a tag."""
    return 0 < len(text) <= TAG_LIMIT and text.isprintable()


def read_tags(said: Iterable[str]) -> Tags:
    """Return what a peer has said as tags: what can be none is left out, and what is too much."""
    right = sorted({one for one in said if is_tag(one)})
    return frozenset(right[:TAG_LIMIT])


def show_tags(tags: Iterable[str]) -> str:
    """Return tags as a sentence has them: ``the tags eu and gpu``, ``the tag gpu``, ``no tags``."""
    words = sorted(map(printable, tags))
    if not words:
        return "no tags"
    if len(words) == 1:
        return f"the tag {words[0]}"
    return f"the tags {', '.join(words[:-1])} and {words[-1]}"
