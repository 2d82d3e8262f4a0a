"""Label values whose number somebody else decides: the first so many are kept, the rest is one."""

from __future__ import annotations

import logging

from catena.telemetry.tally import dropped

__all__ = ["OTHER", "Names"]

OTHER = "_OTHER"

_log = logging.getLogger("catena")


class Names:
    """Returns a name as it is, or ``_OTHER`` when ``most`` different ones came before it.

    The first that is not kept is told in one warning, the others are counted.
    """

    def __init__(self, most: int, label: str) -> None:
        self._most = most
        self._label = label
        self._known: set[str] = set()
        self._full = False

    def __call__(self, name: str) -> str:
        """Return what to put into the label."""
        if name in self._known or not name:
            return name
        if len(self._known) < self._most:
            self._known.add(name)
            return name
        dropped.add(("metrics", "names"))
        if not self._full:
            self._full = True
            text = "more than %d values of the metric label %s: the rest is %r"
            _log.warning(text, self._most, self._label, OTHER)
        return OTHER
